"""What trained and pruned networks say: correlation, verdict, statistics, masks compared, error barriers."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.analysis.activation_sparsity import ActivationRates as ActivationRates
    from jaxticket.analysis.activation_sparsity import activation_rates as activation_rates
    from jaxticket.analysis.activation_sparsity import empty_filters as empty_filters
    from jaxticket.analysis.activation_sparsity import filter_zero_rates as filter_zero_rates
    from jaxticket.analysis.comparisons import Comparison as Comparison
    from jaxticket.analysis.comparisons import Pair as Pair
    from jaxticket.analysis.comparisons import compare as compare
    from jaxticket.analysis.comparisons import treatment_of as treatment_of
    from jaxticket.analysis.families import PairedTest as PairedTest
    from jaxticket.analysis.families import holm as holm
    from jaxticket.analysis.families import paired_tests as paired_tests
    from jaxticket.analysis.interpolation import Barrier as Barrier
    from jaxticket.analysis.interpolation import error_barrier as error_barrier
    from jaxticket.analysis.interpolation import interpolate as interpolate
    from jaxticket.analysis.mask_convergence import band_matrix as band_matrix
    from jaxticket.analysis.mask_convergence import channel_mask as channel_mask
    from jaxticket.analysis.mask_convergence import emergence as emergence
    from jaxticket.analysis.mask_convergence import mask_distances as mask_distances
    from jaxticket.analysis.mask_overlap import Overlap as Overlap
    from jaxticket.analysis.mask_overlap import overlap as overlap
    from jaxticket.analysis.statistics import Difference as Difference
    from jaxticket.analysis.statistics import mean_interval as mean_interval
    from jaxticket.analysis.statistics import p_value as p_value
    from jaxticket.analysis.statistics import paired_difference as paired_difference
    from jaxticket.analysis.weight_correlation import correlation as correlation
    from jaxticket.analysis.weight_correlation import layer_correlation as layer_correlation
    from jaxticket.analysis.winning_ticket import CONDITIONS as CONDITIONS
    from jaxticket.analysis.winning_ticket import Verdict as Verdict
    from jaxticket.analysis.winning_ticket import verdict as verdict

__getattr__, __dir__, __all__ = lazy_exports(__name__)
