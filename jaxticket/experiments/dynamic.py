"""Dynamic sparse training: SET (Mocanu et al. 2018), RigL (Evci et al. 2020), and a static random mask."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from jaxticket.analysis import Pair
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.core.spans import WITHIN, Length, Span
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.registry import Experiment

if TYPE_CHECKING:
    from jaxticket.lab.lab import Lab


@dataclasses.dataclass(frozen=True)
class DynamicOptions(ExperimentOptions):
    """Sparse from the start, with a mask that moves: SET and RigL, and a mask that stays.

    Attributes:
        methods: `static`, `set`, `rigl`, each a branch of the rows.
        sparsities: increasing; level k of the rows is the k-th.
        prune: scope (`erk` is customary) and rules of the random first mask.
        rate: share of the kept weights of each layer that is exchanged at first; it falls to 0 along a cosine.
        end: share of all steps after which the mask stays.
        every_steps: steps between two exchanges.
        dense: whether to train the dense network too, as level 0.
    """

    methods: tuple[str, ...] = option(
        ("static", "set", "rigl"), choices=("static", "set", "rigl"), nonempty=True, unique=True
    )
    sparsities: tuple[float, ...] = option((0.5, 0.9), above=0, below=1, nonempty=True, increasing=True)
    prune: PruneOptions = PruneOptions(scope="erk", criterion="random")
    rate: float = option(0.3, above=0, below=1)
    end: float = option(0.75, above=0, maximum=1)
    every_steps: int = option(10, minimum=1)
    dense: bool = option(True)

    def check(self, where: str) -> None:
        """Refuses what is not used."""
        super().check(where)
        if self.prune.criterion != "random":
            raise ConfigError(f"config.prune.criterion={self.prune.criterion!r}: the first mask is 'random'")

    def spans(self, length: Length, where: str) -> Iterator[Span]:
        """A mask that moves needs a step at which it does."""
        if "steps" in length and self.methods != ("static",):
            moving = round(self.end * length["steps"])
            of = f"training until end={self.end}"
            yield Span("every_steps", self.every_steps, self.every_steps, moving, "steps", WITHIN, of)


_GROWTH = {"set": "random", "rigl": "gradient"}


def dynamic(lab: "Lab", options: DynamicOptions) -> None:
    """Trains from random masks, all methods from the same one, and lets them move while they train."""
    from jaxticket.training.mask_updates import Regrowth

    end = round(options.end * lab.setting.duration.total_steps)

    def one_seed(seed: int) -> None:
        init = lab.init(seed)
        full = lab.full_mask(options.prune)
        if options.dense:
            lab.train_row("dense", 0, seed, init, full)
        for level, sparsity in enumerate(options.sparsities, start=1):
            first = lab.prune(init, full, options.prune, seed=seed, sparsity=sparsity)
            for method in options.methods:
                if method == "static":
                    lab.train_row(method, level, seed, init, first, pruned=init)
                else:  # a mask that moves while it is trained has no weights that were pruned to it
                    growth = Regrowth(_GROWTH[method], options.every_steps, end, options.rate)
                    lab.train_row(method, level, seed, init, first, mask_update=growth)

    lab.for_each_seed(one_seed)
    lab.recorder.compare(
        *(Pair(method, "static") for method in options.methods if method != "static"),
        *(Pair(method, "dense", control_level=0) for method in options.methods),
    )


EXPERIMENT = Experiment(
    name="dynamic",
    title="Dynamic sparse training",
    question="is a sparse network better when its mask moves while it trains?",
    paper="SET: Mocanu et al. (2018), arXiv 1707.04780; RigL: Evci et al. (2020), arXiv 1911.11134",
    options=DynamicOptions,
    run="jaxticket.experiments.dynamic:dynamic",
)
