"""Updates of masks while a network trains: when, and how.

A mask is data of the compiled step, so a changing mask compiles nothing anew. After the steps that an update names, the
loop calls it; weights and moments of what the new mask prunes become zero, and what it brings back starts from zero.
"""

import abc
import dataclasses
import math

import jax
import jax.numpy as jnp

from jaxticket.core.admm import Multipliers, admm_penalty, start_admm, update_admm
from jaxticket.core.criteria.magnitude import magnitude
from jaxticket.core.prune import prune
from jaxticket.core.regrow import random_order, regrow
from jaxticket.core.schedules import cubic
from jaxticket.core.types import Mask, Params, PyTree


@dataclasses.dataclass(frozen=True)
class MaskUpdate(abc.ABC):
    """How the mask changes during training; its fields are part of the key of a training run."""

    @property
    def needs_gradients(self) -> bool:
        """Whether `update` is given the gradients of all weights, pruned ones too."""
        return False

    @property
    def penalises(self) -> bool:
        """Whether `penalty` is part of the loss, which compiles a training step of its own."""
        return False

    @abc.abstractmethod
    def steps(self, total_steps: int) -> range:
        """The numbers of finished optimizer steps after which there is an update."""

    @abc.abstractmethod
    def update(
        self, step: int, params: Params, mask: Mask, state: PyTree, gradients: Params | None, key: jax.Array
    ) -> tuple[Mask, PyTree]:
        """The new mask and the new state.

        Args:
            step: the number of finished optimizer steps.
            params: the parameters, zero where pruned.
            mask: path -> bool array.
            state: of this update, as `init_state` or the last `update` returned it.
            gradients: of the loss, a tree like the parameters, or None.
            key: for what is random.
        """

    def init_state(self, params: Params, mask: Mask) -> PyTree:
        """The state before the first update: a pytree of arrays, or None."""
        del params, mask
        return None

    def penalty(self, params: Params, mask: Mask, state: PyTree) -> jax.Array:
        """What is added to the loss, a float32 scalar; traced, and called only where `penalises`."""
        del params, mask, state
        return jnp.zeros((), jnp.float32)


@dataclasses.dataclass(frozen=True)
class GradualPruning(MaskUpdate):
    """Gradual magnitude pruning (Zhu and Gupta 2018): the sparsity follows a cubic from `initial` to `final`.

    Attributes:
        start: the step at which the cubic begins.
        end: the step at which it is at `final`; a multiple of `every` steps later than `start`.
        every: steps between two prunings.
        final: the sparsity in the end.
        initial: the sparsity at `start`.
        scope: `global`, `layer` or `erk`.
    """

    start: int
    end: int
    every: int
    final: float
    initial: float = 0.0
    scope: str = "global"

    def steps(self, total_steps: int) -> range:
        """From `start` to `end`, as far as training goes."""
        return range(self.start, min(self.end, total_steps) + 1, self.every)

    def update(
        self, step: int, params: Params, mask: Mask, state: PyTree, gradients: Params | None, key: jax.Array
    ) -> tuple[Mask, PyTree]:
        """Prunes the smallest weights."""
        del gradients, key
        sparsity = cubic(self.start, self.end, self.initial, self.final, self.every)(step)
        return prune(mask, magnitude(params, mask), sparsity=float(sparsity), scope=self.scope), state


@dataclasses.dataclass(frozen=True)
class Regrowth(MaskUpdate):
    """SET (Mocanu et al. 2018) and RigL (Evci et al. 2020): the smallest weights are pruned, and as many others grow.

    The share that is pruned falls from `rate` to 0 along a cosine until `end` (RigL, section 3).

    Attributes:
        grow: which weights grow: `random` (SET) or those with the largest `gradient` (RigL).
        every: steps between two updates.
        end: the step after which the mask stays.
        rate: the share of the kept weights of each layer that is pruned at first.
    """

    grow: str
    every: int
    end: int
    rate: float = 0.3

    @property
    def needs_gradients(self) -> bool:
        """Whether growth looks at gradients."""
        return self.grow == "gradient"

    def steps(self, total_steps: int) -> range:
        """Multiples of `every` before `end`."""
        return range(self.every, min(self.end, total_steps), self.every)

    def update(
        self, step: int, params: Params, mask: Mask, state: PyTree, gradients: Params | None, key: jax.Array
    ) -> tuple[Mask, PyTree]:
        """Prunes and regrows; every layer keeps its number of weights."""
        rate = self.rate / 2 * (1 + math.cos(math.pi * step / self.end))
        grow = magnitude(gradients, mask) if self.needs_gradients else random_order(mask, key)
        return regrow(mask, magnitude(params, mask), grow, rate), state


@dataclasses.dataclass(frozen=True)
class Admm(MaskUpdate):
    """Weights are drawn towards their pruned copy (Zhang et al. 2018); the mask itself stays.

    Attributes:
        every: steps between two updates of the copy and the multipliers.
        rho: weight of the penalty.
        sparsity: of the copy.
        scope: `global`, `layer` or `erk`.
    """

    every: int
    rho: float
    sparsity: float
    scope: str = "global"

    @property
    def penalises(self) -> bool:
        """The distance to the copy is part of the loss."""
        return True

    def init_state(self, params: Params, mask: Mask) -> Multipliers:
        """The pruned weights, and multipliers of zero."""
        return start_admm(params, mask, sparsity=self.sparsity, scope=self.scope)

    def penalty(self, params: Params, mask: Mask, state: Multipliers) -> jax.Array:
        """`rho / 2 * |W - Z + U|^2`."""
        return admm_penalty(params, mask, state, self.rho)

    def steps(self, total_steps: int) -> range:
        """Multiples of `every`, the end not among them."""
        return range(self.every, total_steps, self.every)

    def update(
        self, step: int, params: Params, mask: Mask, state: PyTree, gradients: Params | None, key: jax.Array
    ) -> tuple[Mask, Multipliers]:
        """The copy and the multipliers follow the weights."""
        del step, gradients, key
        return mask, update_admm(params, mask, state, sparsity=self.sparsity, scope=self.scope)
