"""What the networks of a plan cost, before any of them is trained."""

import dataclasses
from collections.abc import Iterable

import jax

from jaxticket.lab.setting import Setting
from jaxticket.training.options import TrainOptions

# Forward and backward together cost three forward passes.
_PASSES = 3


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


def cost_of(setting: Setting, train: TrainOptions, steps: int, kept: int) -> TrainingCost:
    """The cost of a training of `steps` steps that keeps `kept` files of weights."""
    arrays = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(setting.shapes))
    # A mask has a byte for each weight; a ticket is a mask and weights.
    disk = (kept + 1) * arrays + 2 * setting.parameters
    return TrainingCost(1, steps, _PASSES * setting.macs * train.batch_size * steps, disk)
