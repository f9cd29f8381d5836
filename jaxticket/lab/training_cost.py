"""What the networks of a plan cost, before any of them is trained."""

import dataclasses
from collections.abc import Iterable

# Forward and backward together cost three forward passes.
PASSES = 3


@dataclasses.dataclass(frozen=True)
class TrainingCost:
    """The cost of training a network, or of all of a plan.

    Attributes:
        networks: how many.
        steps: of the optimizer.
        macs: multiply-accumulates of all steps, forward and backward, every layer dense: masks save none.
        disk: bytes of the weights that are kept, and of a mask and a ticket of each network.
    """

    networks: int = 0
    steps: int = 0
    macs: int = 0
    disk: int = 0

    def __str__(self) -> str:
        """As people read it, such as `12 networks, 4,800 steps, 3.1e+12 multiply-accumulates, about 1.2 GB on disk`."""
        size = f"{self.disk / 1e9:.1f} GB" if self.disk >= 1e9 else f"{self.disk / 1e6:.1f} MB"
        return (
            f"{self.networks:,} networks, {self.steps:,} steps, {self.macs:.2g} multiply-accumulates, "
            f"about {size} on disk"
        )


NO_COST = TrainingCost()


def total(costs: Iterable[TrainingCost]) -> TrainingCost:
    """The cost of all together."""
    every = [dataclasses.astuple(cost) for cost in costs]
    return TrainingCost(*map(sum, zip(*every, strict=True))) if every else NO_COST
