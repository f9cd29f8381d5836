"""Options of the experiment with cyclic overlapping tickets."""

import dataclasses

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.data.subsets import check_parts
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.rates import Rates, check_rates


@dataclasses.dataclass(frozen=True)
class ColtOptions(ExperimentOptions):
    """Tickets from the overlap of the masks of class partitions (arXiv 2212.12770).

    Attributes:
        partitions: number of parts that the classes are divided into, all of one size; `data.class_order` and
            `data.class_seed` set the order.
        rounds: the most rounds of pruning, for COLT and LTH alike.
        target: the sparsity at which pruning stops; 0: it stops after `rounds`, or when a round removes nothing.
        target_counts: what that sparsity counts: the `prunable` weights, or the `total` of kernels and normalisation
            scales.
        rates: ordered (regular expression, rate) pairs. Each is a group of leaves that is ranked separately and loses
            that share of its survivors in a round. An expression matches a leaf's whole path, or its role: `conv`,
            `dense`, `head`, `scale`, `bias`. Parameters that match no expression are never pruned.
        scope: `global` ranks the leaves of a group together, `layer` each by itself.
        evaluate: whether every ticket is trained on the whole data set with a new classifier.
        lth: whether to run iterative magnitude pruning on the whole data set too, from the same initial weights.
        lth_rates: the rates of that run, written as `rates`.
        lth_matched: whether to run iterative magnitude pruning again, with as many weights in every round as COLT kept
            in it: branch `lth_matched`, the control that separates what the parts find from how fast they prune. It
            needs at least two partitions and `evaluate`; without them there is none.
        random_masks: whether to train, for every ticket, a network with as many weights in every layer, at random
            positions, from the same initial weights: branch `random`; needs `evaluate`.
    """

    partitions: int = option(2, minimum=1)
    rounds: int = option(16, minimum=1)
    target: float = option(0.0, minimum=0, maximum=1)
    target_counts: str = option("prunable", choices=("prunable", "total"))
    rates: Rates = (("conv", 0.15),)
    scope: str = option("global", choices=("global", "layer"))
    evaluate: bool = option(True)
    lth: bool = option(True)
    lth_rates: Rates = (("conv", 0.2),)
    lth_matched: bool = option(True)
    random_masks: bool = option(False, only=("evaluate", True))

    def check(self, where: str) -> None:
        """Refuses partitions that would lose a class, and rates that are none."""
        super().check(where)
        check_rates(self.rates, "rates")
        check_rates(self.lth_rates, "lth_rates")
        if self.data.part != "full":
            raise ConfigError(f"config.data.part={self.data.part!r}: partitions are made of all classes; set 'full'")
        if self.init and self.partitions > 1:
            raise ConfigError(
                f"config.init={self.init!r}: a part of the classes has a classifier of its own; set partitions=1, or "
                "leave it"
            )
        try:
            check_parts(self.data.spec, self.part(0))
        except ConfigError as error:
            raise ConfigError(f"config.partitions={self.partitions}: {error}") from error

    @property
    def matches(self) -> bool:
        """Whether iterative magnitude pruning follows COLT's own sparsities."""
        return self.lth_matched and self.evaluate and self.partitions > 1

    def part(self, index: int) -> str:
        """The name of a part, from 0, as `data.part` has it."""
        return f"{index + 1}/{self.partitions}" if self.partitions > 1 else "full"
