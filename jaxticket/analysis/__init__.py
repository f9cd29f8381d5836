"""What trained and pruned networks say: correlation, verdict, statistics, overlap of masks, error barriers."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.analysis.correlation import correlation as correlation
    from jaxticket.analysis.correlation import layer_correlation as layer_correlation
    from jaxticket.analysis.interpolation import Barrier as Barrier
    from jaxticket.analysis.interpolation import error_barrier as error_barrier
    from jaxticket.analysis.interpolation import interpolate as interpolate
    from jaxticket.analysis.overlap import Overlap as Overlap
    from jaxticket.analysis.overlap import overlap as overlap
    from jaxticket.analysis.statistics import Difference as Difference
    from jaxticket.analysis.statistics import mean_interval as mean_interval
    from jaxticket.analysis.statistics import paired_difference as paired_difference
    from jaxticket.analysis.verdict import CONDITIONS as CONDITIONS
    from jaxticket.analysis.verdict import Verdict as Verdict
    from jaxticket.analysis.verdict import verdict as verdict

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "correlation": ("correlation", "layer_correlation"),
        "interpolation": ("Barrier", "error_barrier", "interpolate"),
        "overlap": ("Overlap", "overlap"),
        "statistics": ("Difference", "mean_interval", "paired_difference"),
        "verdict": ("CONDITIONS", "Verdict", "verdict"),
    },
)
