"""Gradual magnitude pruning (Zhu and Gupta 2018)."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from jaxticket.analysis import Pair
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.core.spans import UP_TO, Length, Span
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.registry import Experiment

if TYPE_CHECKING:
    from jaxticket.lab.lab import Lab


@dataclasses.dataclass(frozen=True)
class GradualOptions(ExperimentOptions):
    """Gradual magnitude pruning while training.

    Attributes:
        sparsities: final sparsities, one network each; increasing.
        prune: its `scope` and `rules`; the rest is not used.
        begin: share of all steps after which pruning begins.
        end: share of all steps at which the sparsity is reached.
        every_steps: steps between two prunings.
        dense: whether to train the dense network too, as level 0.
    """

    sparsities: tuple[float, ...] = option((0.5, 0.9), above=0, below=1, nonempty=True, increasing=True)
    prune: PruneOptions = PruneOptions()
    begin: float = option(0.0, minimum=0, below=1)
    end: float = option(0.75, above=0, maximum=1)
    every_steps: int = option(10, minimum=1)
    dense: bool = option(True)

    def check(self, where: str) -> None:
        """Refuses spans that end before they begin, and what is not used."""
        super().check(where)
        if self.begin >= self.end:
            raise ConfigError(f"config.begin={self.begin}: must be less than end={self.end}")
        if self.prune.is_more_than("scope", "rules"):
            raise ConfigError("config.prune: gradual pruning by magnitude uses scope and rules alone; leave the rest")

    def spans(self, length: Length, where: str) -> Iterator[Span]:
        """Pruning needs a step at which it is done."""
        if "steps" in length:
            pruning = (self.end - self.begin) * length["steps"]
            of = f"training between begin={self.begin} and end={self.end}"
            yield Span("every_steps", self.every_steps, self.every_steps, pruning, "steps", UP_TO, of)


def gradual_magnitude_pruning(lab: "Lab", options: GradualOptions) -> None:
    """Trains once for each sparsity, pruning on the way along a cubic."""
    from jaxticket.training.mask_updates import GradualPruning

    total, every = lab.setting.duration.total_steps, options.every_steps
    start = round(options.begin * total)
    # Whole intervals, so that the last pruning is one to the sparsity asked for.
    most = max(1, (total - start) // every)
    end = start + min(most, max(1, round((options.end * total - start) / every))) * every

    def one_seed(seed: int) -> None:
        init = lab.init(seed)
        full = lab.full_mask(options.prune)
        if options.dense:
            lab.train_row("dense", 0, seed, init, full)
        for level, sparsity in enumerate(options.sparsities, start=1):
            pruning = GradualPruning(start, end, every, sparsity, scope=options.prune.scope)
            lab.train_row("gmp", level, seed, init, full, mask_update=pruning)

    lab.for_each_seed(one_seed)
    lab.recorder.compare(Pair("gmp", "dense", control_level=0))


EXPERIMENT = Experiment(
    name="gradual",
    title="Gradual magnitude pruning",
    question="how accurate is a network that is pruned step by step while it trains?",
    paper="Zhu & Gupta (2017), arXiv 1710.01878",
    options=GradualOptions,
    run="jaxticket.experiments.gradual:gradual_magnitude_pruning",
)
