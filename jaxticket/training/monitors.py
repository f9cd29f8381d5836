"""Monitors: what is measured in a network while it trains, and may end the training."""

import abc
import dataclasses
from typing import Any

import jax
import numpy as np

from jaxticket.core.types import Mask, Params, PyTree


@dataclasses.dataclass(frozen=True)
class Monitor(abc.ABC):
    """Measures a network after some steps of its training; the fields are part of the key of a training run.

    Its state is a pytree of arrays on the device: saved and restored with the training state, and one for each
    replicate where several train side by side.
    """

    @property
    def may_stop(self) -> bool:
        """Whether `stop` can ever be true; such runs train one after the other."""
        return False

    @abc.abstractmethod
    def steps(self, steps_per_epoch: int, total_steps: int) -> range:
        """The numbers of finished optimizer steps after which there is a measurement."""

    @abc.abstractmethod
    def init_state(self, params: Params, mask: Mask, measurements: int) -> PyTree:
        """The state before the first of so many measurements: arrays that keep their shapes."""

    @abc.abstractmethod
    def update(self, state: PyTree, params: Params, mask: Mask, number: jax.Array) -> PyTree:
        """The state after measurement `number` (int32, from 0); traced."""

    def stop(self, state: PyTree, measurements: int) -> bool:
        """Whether training ends now, after so many measurements; `state` has NumPy arrays."""
        del state, measurements
        return False

    def keep(self, state: PyTree, measurements: int) -> tuple[str, ...]:
        """Names under which the weights of this moment are stored; letters, digits, `_`, `.`."""
        del state, measurements
        return ()

    @abc.abstractmethod
    def result(self, state: PyTree, measurements: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What is stored when training has ended: arrays by their names, and findings, JSON-ready."""
