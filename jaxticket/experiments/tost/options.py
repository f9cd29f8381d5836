"""Options of the experiment with aids of sparse training."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from jaxticket.core.criteria import criteria_of_initial_weights
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.core.spans import UP_TO, Length, Span
from jaxticket.lab.aid_options import AidOptions
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.recipes.soft import SOFT_ACTIVATIONS

# Where a mask comes from, by the names of the paper; more are the criteria that can score initial weights.
SOURCES = ("rp", "omp", "gmp", "tp", "snip", "grasp", "synflow", "lt")
OF_TRAINED = {"omp": "magnitude", "tp": "snip"}
PARTS = ("soft", "ghost", "smoothing", "lrsi")
PLAIN = "plain"
# A swish that sharpens is one of training, not of a network.
ACTIVATIONS = ("relu", *(row.name for row in SOFT_ACTIVATIONS if not row.sharpens))


@dataclasses.dataclass(frozen=True)
class TostOptions(ExperimentOptions):
    """Sparse networks trained with and without aids, whatever their masks come from.

    `aids` says how each aid works; `treatments` say which are on.

    Attributes:
        sources: of masks, each a branch of the rows: random (`rp`), magnitudes of the trained dense network (`omp`),
            gradual pruning (`gmp`), SNIP's score of the trained dense network (`tp`), `snip`, `grasp` and `synflow` of
            the initial weights, iterative magnitude pruning (`lt`), and every other criterion of
            initial weights by its name; and folders of saved tickets, such as
            `runs/imp-1a2b3c4d/tickets/imp-4-0`, whose own mask and weights are trained: the branch is the folder's
            name, its level 1.
        sparsities: increasing; level k of the rows is the k-th.
        treatments: which aids are on: `plain`, `all`, or some of soft, ghost, smoothing, lrsi, such as `soft+ghost`.
            The plain network is always trained, to compare with.
        prune: scope, rules, images and rounds of the criteria; its rate is that of the rounds of `lt`.
        gmp_end: share of all steps at which gradual pruning, which begins at once, has reached the sparsity.
        gmp_every_steps: steps between two of its updates.
        dense: whether the dense network is a row; it is trained anyway if a source needs it.
        analyse: whether to train dense networks with several activations too, for the first seed, and compare how many
            of their activations are near zero while they train, their masks, and the filters that the masks empty.
        activations: the activations of these networks.
        measurements: number of evenly spaced epochs at which activations are recorded.
        near_zero: the largest size of an activation that counts as near zero.
    """

    sources: tuple[str, ...] = ("omp", "snip", "rp")
    sparsities: tuple[float, ...] = option((0.9, 0.95), above=0, below=1, nonempty=True, increasing=True)
    treatments: tuple[str, ...] = (PLAIN, *PARTS, "all")
    prune: PruneOptions = PruneOptions()
    gmp_end: float = option(0.75, above=0, maximum=1)
    gmp_every_steps: int = option(10, minimum=1)
    dense: bool = option(True)
    analyse: bool = option(False)
    activations: tuple[str, ...] = option(
        ("relu", "swish", "mish"), choices=ACTIVATIONS, nonempty=True, unique=True, only=("analyse", True)
    )
    measurements: int = option(5, minimum=1, up_to="epochs", only=("analyse", True))
    near_zero: float = option(0.01, minimum=0, only=("analyse", True))

    def check(self, where: str) -> None:
        """Refuses what does not exist, or would not be used."""
        super().check(where)
        branches = [branch_of(source) for source in self.sources]
        unknown = [source for source in self.sources if not is_named(source) and not is_ticket(source)]
        if not branches or unknown or len(set(branches)) < len(branches):
            raise ConfigError(
                f"config.sources={self.sources}: must be different ones of {', '.join(SOURCES)}, or folders of tickets "
                "of different names"
            )
        parts = [parts_of(cell) for cell in self.treatments]
        if len(set(parts)) < len(parts):
            raise ConfigError(f"config.treatments={self.treatments}: must be different from each other")
        if self.aids.ghost_skips or self.aids.rescale_init:
            raise ConfigError(
                "config.aids: the treatments switch ghost_skips and rescale_init; leave them False and set treatments"
            )
        if self.train.label_smoothing and any("smoothing" in found for found in parts):
            raise ConfigError(
                f"config.train.label_smoothing={self.train.label_smoothing}: the treatments switch smoothing; set "
                "aids.label_smoothing instead, or leave it out of treatments"
            )
        if self.prune.criterion != "magnitude":
            raise ConfigError(f"config.prune.criterion={self.prune.criterion!r}: comes from sources; leave it")
        if self.analyse and not self.train.epochs:
            raise ConfigError("config.analyse=True: measures after epochs; set config.train.epochs instead of steps")

    def spans(self, length: Length, where: str) -> Iterator[Span]:
        """Gradual pruning needs a step at which it is done."""
        if "steps" in length and "gmp" in self.sources:
            pruning, of = self.gmp_end * length["steps"], f"training until gmp_end={self.gmp_end}"
            yield Span("gmp_every_steps", self.gmp_every_steps, self.gmp_every_steps, pruning, "steps", UP_TO, of)

    @property
    def all_treatments(self) -> tuple[str, ...]:
        """The treatments to train, the plain one first."""
        return (PLAIN, *(cell for cell in self.treatments if parts_of(cell)))


def criterion_of_initial(source: str) -> str | None:
    """The criterion of initial weights that a source is; None for every other source."""
    name = "random" if source == "rp" else source
    return name if name in criteria_of_initial_weights() else None


def is_named(source: str) -> bool:
    """Whether a source is one by name."""
    return source in SOURCES or criterion_of_initial(source) is not None


def is_ticket(source: str) -> bool:
    """Whether a source is the folder of a ticket, and no name."""
    return not is_named(source) and ("/" in source or Path(source).is_dir())


def branch_of(source: str) -> str:
    """What the rows of a source are called."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", Path(source).absolute().name) if is_ticket(source) else source


def parts_of(cell: str) -> frozenset[str]:
    """Which aids a cell has on.

    Raises:
        ConfigError: one of them does not exist.
    """
    if cell in (PLAIN, "all"):
        return frozenset(PARTS if cell == "all" else ())
    parts = cell.split("+")
    if set(parts) - set(PARTS) or len(set(parts)) < len(parts):
        raise ConfigError(
            f"config.treatments: {cell!r} must be 'plain', 'all' or different ones of {', '.join(PARTS)}, such as "
            "'soft+ghost'"
        )
    return frozenset(parts)


def aids_of(cell: str, aids: AidOptions) -> AidOptions:
    """The aids of a cell: those it has on, in the way `aids` says."""
    parts = parts_of(cell)
    return dataclasses.replace(
        aids,
        activation=(aids.activation or "swish") if "soft" in parts else "",
        ghost_skips="ghost" in parts,
        label_smoothing=(aids.label_smoothing or 0.1) if "smoothing" in parts else 0.0,
        rescale_init="lrsi" in parts,
    )
