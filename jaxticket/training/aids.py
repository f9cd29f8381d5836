"""Aids: what helps a network while it trains, and leaves the plain network behind.

An aid is compiled into the training step. Its own parameters have an optimizer state of their own, next to that of the
network, so masks, monitors, snapshots and the weights that are stored know nothing of them. At the step at which it
ends the loop drops them from the state; what is compiled from then on is the step without an aid.
"""

import abc

import jax

from jaxticket.core.types import Params, PyTree
from jaxticket.training.state import Weights

# The key under which weights carry the parameters of an aid that stays.
GHOST = "ghost"
# A step after the end of every schedule: what evaluation sees.
AT_THE_END = 2**30


class Aid(abc.ABC):
    """What acts on a network in its first steps of training."""

    @property
    @abc.abstractmethod
    def steps(self) -> int | None:
        """The first step without it; None: it stays and is a part of the network, in evaluation too."""

    @abc.abstractmethod
    def begin(self, params: Params, model_state: PyTree, key: jax.Array) -> tuple[Params, PyTree]:
        """Its own parameters and what it collects on the way, as `params` and `model_state` of a network; may be empty.

        Args:
            params: of the network.
            model_state: of the network.
            key: for what is random.
        """

    @abc.abstractmethod
    def apply(
        self,
        own: Weights,
        params: Params,
        model_state: PyTree,
        images: jax.Array,
        step: jax.Array,
        *,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, PyTree, PyTree]:
        """The network with its aid; traced.

        Args:
            own: of the aid.
            params: of the network.
            model_state: of the network.
            images: float [B, H, W, C].
            step: int32, from 0.
            train: whether normalisations use the batch; without it only an aid that stays is asked.
            key: for what the network draws in training.

        Returns:
            Logits [B, K], the network's model state, and the aid's.
        """


def with_own(weights: Weights, own: Weights) -> Weights:
    """Weights that carry those of an aid; as they are where it has none."""
    if not own.params:
        return weights
    return Weights({**weights.params, GHOST: own.params}, {**weights.model_state, GHOST: own.model_state})


def split_off(weights: Weights) -> tuple[Weights, Weights | None]:
    """The network's weights, and those of an aid that they carry, if they do."""
    if not isinstance(weights.params, dict) or GHOST not in weights.params:
        return weights, None
    plain = Weights(*({name: part for name, part in tree.items() if name != GHOST} for tree in weights))
    return plain, Weights(weights.params[GHOST], weights.model_state.get(GHOST, {}))
