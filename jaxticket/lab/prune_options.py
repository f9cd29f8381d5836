"""How one round of pruning chooses."""

import dataclasses
import re

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.core.rules import check_expressions

# Criteria that look at images, and all.
DATA_CRITERIA = ("snip", "grasp", "obd")
CRITERIA = ("magnitude", "random", "lamp", "bn_scale", "synflow", *DATA_CRITERIA)
_NO_CLASSIFIER = (r"(.*/)?head/.*", False)


@dataclasses.dataclass(frozen=True)
class PruneOptions:
    """What is ranked, and what is compared with what.

    Attributes:
        rate: share of the surviving weights that a round removes, where no sparsity is asked for.
        scope: `global` ranks all layers together, `layer` each by itself; `erk` gives small layers a higher density.
        criterion: what is ranked: `magnitude`, `random` as a control, `lamp`, `snip` (on trained weights: Taylor),
            `grasp`, `obd`, or `synflow`, which is global and unstructured; or, with granularity `channel`, `bn_scale`:
            the channels whose normalisation has the smallest scale go, with the weights that make and read them (Liu et
            al. 2017), the fewest of them with which no more weights are left than were asked for.
        ratio_of: of `bn_scale`, what rates and sparsities are shares of: `weights`, or all `channels` of the network,
            where those with the smallest scales go wherever they are, in residual blocks too (Liu et al. 2017).
        granularity: what goes as one piece: `unstructured` (a weight), `channel` or `block:16x128`.
        max_layer_sparsity: with scope `global`, the largest share that any layer may lose in all.
        images_per_class: training images that a criterion which needs any looks at.
        rounds: of `synflow`, each with new scores.
        rules: ordered (regular expression, prunable or not) pairs over parameter paths, first full match wins; empty
            for every kernel but the stem's and the head's. Where whole channels are ranked the head is left out in any
            case, for its channels are the classes.
    """

    rate: float = option(0.2, above=0, below=1)
    scope: str = option("global", choices=("global", "layer", "erk"))
    criterion: str = option("magnitude", choices=CRITERIA)
    ratio_of: str = option("weights", choices=("weights", "channels"))
    granularity: str = option("unstructured")
    max_layer_sparsity: float = option(1.0, above=0, maximum=1)
    images_per_class: int = option(10, minimum=1)
    rounds: int = option(100, minimum=1)
    rules: tuple[tuple[str, bool], ...] = ()

    @property
    def prunable(self) -> tuple[tuple[str, bool], ...]:
        """The rules, without the classifier where its channels would go."""
        by_kernel = self.granularity == "channel" and self.criterion != "bn_scale"
        return (_NO_CLASSIFIER, *self.rules) if by_kernel and self.rules else self.rules

    def check(self, where: str) -> None:
        """Refuses rules that are no regular expressions, and combinations without a meaning."""
        check_expressions(self.rules, f"{where}.rules")
        if not re.fullmatch(r"unstructured|channel|block:[1-9]\d*x[1-9]\d*", self.granularity):
            raise ConfigError(
                f"config.{where}.granularity={self.granularity!r}: must be 'unstructured', 'channel' or such as "
                f"'block:16x128'"
            )
        if self.max_layer_sparsity < 1 and self.scope != "global":
            raise ConfigError(
                f"config.{where}.max_layer_sparsity={self.max_layer_sparsity}: needs scope='global', found "
                f"{self.scope!r}"
            )
        if self.criterion == "bn_scale" and (self.granularity, self.scope, self.max_layer_sparsity) != (
            "channel",
            "global",
            1,
        ):
            raise ConfigError(
                f"config.{where}.criterion='bn_scale': needs granularity='channel', scope='global' and "
                f"max_layer_sparsity=1.0, found {self.granularity!r}, {self.scope!r} and {self.max_layer_sparsity}"
            )
        if self.ratio_of == "channels" and (self.criterion != "bn_scale" or self.rules):
            raise ConfigError(
                f"config.{where}.ratio_of='channels': ranks the scales of all normalisations; needs "
                f"criterion='bn_scale' and no rules, found {self.criterion!r} and {self.rules}"
            )
        plain = self.scope == "global" and self.granularity == "unstructured" and self.max_layer_sparsity == 1
        if self.criterion == "synflow" and not plain:
            raise ConfigError(
                f"config.{where}.criterion='synflow': is global and unstructured; leave scope, granularity and "
                f"max_layer_sparsity at their defaults"
            )
