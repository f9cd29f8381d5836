"""Options of one round of pruning."""

import dataclasses

from jaxticket.core.criteria import Criterion, criteria
from jaxticket.core.errors import ConfigError
from jaxticket.core.granularities import find_granularity
from jaxticket.core.options import option
from jaxticket.core.rules import check_expressions
from jaxticket.core.scopes import scopes

_NO_CLASSIFIER = (r"(.*/)?head/.*", False)


@dataclasses.dataclass(frozen=True)
class PruneOptions:
    """What is ranked, and what is compared with what.

    Attributes:
        rate: share of the surviving weights that a round removes, unless a sparsity is given.
        scope: a name of `jt.scopes`: `global` ranks all layers together, `layer` each separately, `output` compares the
            weights of an output with each other; `erk` gives small layers a higher density.
        criterion: what is ranked, a name of `jt.criteria`, or `FILE.py:NAME`, a function (params, mask):
            `magnitude`, `random` as a control, `lamp`, `snip` (on
            trained weights: Taylor), `grasp`, `obd`, `movement`, `wanda`, or `synflow`, which is global and
            unstructured; or, with granularity `channel`, `bn_scale`: the channels whose normalisation has the smallest
            scale are removed, with the weights that produce and read them (Liu et al. 2017), the fewest of them with
            which no more weights are left than were asked for.
        ratio_of: for `bn_scale`, what rates and sparsities are shares of: `weights`, or all `channels` of the network;
            then the channels with the smallest scales are removed anywhere, in residual blocks too (Liu et al. 2017).
        granularity: what is removed as one unit, as `jt.granularities` has it: `unstructured` (a weight), `channel`,
            `block:16x128`; or `n_of_m:2:4`, which removes half and leaves scope and rate nothing to say.
        max_layer_sparsity: with scope `global`, the largest share that any layer may lose in total.
        images_per_class: training images per class for criteria that need data.
        rounds: rounds of `synflow`, each with new scores.
        rules: ordered (regular expression, prunable or not) pairs over parameter paths, first full match wins; empty
            for every kernel but the stem's and the head's. Where whole channels are ranked the head is left out in any
            case, for its channels are the classes.
    """

    rate: float = option(0.2, above=0, below=1)
    scope: str = option("global", choices=scopes.names)
    criterion: str = option("magnitude", choices=criteria.names)
    ratio_of: str = option("weights", choices=("weights", "channels"))
    granularity: str = option("unstructured")
    max_layer_sparsity: float = option(1.0, above=0, maximum=1)
    images_per_class: int = option(10, minimum=1)
    rounds: int = option(100, minimum=1)
    rules: tuple[tuple[str, bool], ...] = ()

    @property
    def prunable(self) -> tuple[tuple[str, bool], ...]:
        """The rules, without the classifier where its channels would be removed."""
        by_kernel = self.granularity == "channel" and not self.ranks_scales
        return (_NO_CLASSIFIER, *self.rules) if by_kernel and self.rules else self.rules

    @property
    def row(self) -> Criterion:
        """The criterion."""
        return criteria.get(self.criterion, "prune.criterion")

    @property
    def ranks_scales(self) -> bool:
        """Whether scales of normalisations decide on channels."""
        return self.row.ranks == "scales"

    @property
    def units(self) -> str:
        """The text of the granularity that counts: of shares of weights, scales remove channels until few are left."""
        return "unstructured" if self.ranks_scales and self.ratio_of == "weights" else self.granularity

    def is_more_than(self, *names: str) -> bool:
        """Whether other options than these have been set."""
        return self != PruneOptions(**{name: getattr(self, name) for name in names})

    def check(self, where: str) -> None:
        """Refuses rules that are no regular expressions, and combinations without a meaning."""
        check_expressions(self.rules, f"{where}.rules")
        granularity, _ = find_granularity(self.granularity, f"config.{where}.granularity")
        if granularity.fixed and (self.scope, self.max_layer_sparsity) != ("global", 1):
            raise ConfigError(
                f"config.{where}.granularity={self.granularity!r}: fixes by itself what is removed; leave scope "
                "and max_layer_sparsity at their defaults"
            )
        if self.max_layer_sparsity < 1 and not scopes.get(self.scope).together:
            raise ConfigError(
                f"config.{where}.max_layer_sparsity={self.max_layer_sparsity}: needs scope='global', found "
                f"{self.scope!r}"
            )
        whole = (self.scope, self.max_layer_sparsity) == ("global", 1)
        if self.ranks_scales and not (whole and self.granularity == "channel"):
            raise ConfigError(
                f"config.{where}.criterion={self.criterion!r}: needs granularity='channel', scope='global' and "
                f"max_layer_sparsity=1.0, found {self.granularity!r}, {self.scope!r} and {self.max_layer_sparsity}"
            )
        if self.ratio_of == "channels" and (not self.ranks_scales or self.rules):
            raise ConfigError(
                f"config.{where}.ratio_of='channels': ranks the scales of all normalisations; needs "
                f"criterion='bn_scale' and no rules, found {self.criterion!r} and {self.rules}"
            )
        if self.row.prunes and not (whole and self.granularity == "unstructured"):
            raise ConfigError(
                f"config.{where}.criterion={self.criterion!r}: is global and unstructured; leave scope, granularity "
                f"and max_layer_sparsity at their defaults"
            )
