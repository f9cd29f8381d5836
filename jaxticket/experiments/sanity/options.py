"""Options of the sanity checks."""

import dataclasses

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.prune_options import PruneOptions

# How each network of the study starts: `lt` from the weights the dense network started from, `rr` from others of the
# same seed, `wr` from those of the rewind point. `omp` masks come from the dense network, `imp` masks from rounds.
SETTINGS = ("lt_imp", "rr_imp", "wr_imp", "lt_omp", "rr_omp", "wr_omp", "retrain", "sdt")
TICKETS = ("lt_imp", "lt_omp", "wr_imp", "wr_omp")
UNSTABLE = ("dense", "lt_imp", "lt_omp")


@dataclasses.dataclass(frozen=True)
class VerdictOptions:
    """What counts as equal and as clearly better (Ma et al. 2021, section 2.2).

    Attributes:
        tolerance: how far below the dense network an accuracy still counts as about as good: 0.005 for CIFAR-10, 0.01
            for CIFAR-100 and Tiny-ImageNet, 0.015 for ImageNet.
        gap: a larger difference than this is clearly better.
        min_sparsity: the lowest sparsity that is not trivial.
        single_lr: whether conditions 3 to 5 must hold at one and the same learning rate.
        confidence: confidence of the intervals over seeds.
    """

    tolerance: float = option(0.005, minimum=0, below=1)
    gap: float = option(0.005, minimum=0, below=1)
    min_sparsity: float = option(0.59, minimum=0, below=1)
    single_lr: bool = option(False)
    confidence: float = option(0.95, above=0, below=1)


@dataclasses.dataclass(frozen=True)
class SanityOptions(ExperimentOptions):
    """The study that asks whether a ticket wins because of its initial weights.

    Attributes:
        lrs: learning rates; the dense network and all that comes from it are trained with each of them, and `train.lr`
            is not used.
        levels: increasing rounds of IMP at which everything is compared; round k leaves (1 - prune.rate)^k, and
            one-shot masks have the same sparsities.
        settings: what is trained in addition to the dense network: the ticket (`lt_`), random reinitialisation (`rr_`)
            and weight rewinding (`wr_`) under masks of `imp` and `omp`; `retrain`, the trained weights under the
            one-shot mask with the schedule restarted; `sdt`, a narrower dense network with about as many parameters.
        prune: what a round removes.
        rewind_epochs: the rewind point of `wr_`.
        correlation: share of the largest weights that the correlation indicator compares.
        instability: which of `dense`, `lt_imp` and `lt_omp` are trained a second time, with the data in another order,
            for the error barrier between the two; may be empty.
        verdict: what counts as equal and as clearly better.
    """

    lrs: tuple[float, ...] = option((0.01, 0.1), above=0, nonempty=True, unique=True)
    levels: tuple[int, ...] = option((4, 6, 8, 11, 13, 14), minimum=1, nonempty=True, increasing=True)
    settings: tuple[str, ...] = option(SETTINGS, choices=SETTINGS, nonempty=True, unique=True)
    prune: PruneOptions = PruneOptions()
    rewind_epochs: int = option(1, minimum=0, within="epochs")
    correlation: float = option(0.1, above=0, maximum=1)
    instability: tuple[str, ...] = option(("dense", "lt_imp"), choices=UNSTABLE, unique=True)
    verdict: VerdictOptions = VerdictOptions()

    def check(self, where: str) -> None:
        """Refuses settings that do not exist or cannot be trained."""
        super().check(where)
        rewinding = [setting for setting in self.settings if setting.startswith("wr_")]
        if rewinding and not self.rewind_epochs:
            raise ConfigError(
                f"config.rewind_epochs=0: {rewinding[0]} needs a rewind point; set it or leave {rewinding} out"
            )
        for branch in self.instability:
            if branch != "dense" and branch not in self.settings:
                raise ConfigError(f"config.instability={self.instability}: {branch} must be one of config.settings too")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of masks that are needed."""
        named = {"imp": "_imp", "omp": "_omp"}
        return tuple(
            kind
            for kind, ending in named.items()
            if any(setting.endswith(ending) or (kind == "omp" and setting == "retrain") for setting in self.settings)
        )
