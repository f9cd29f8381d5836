"""What is watched in a network while it trains, and may end the training."""

import abc
import dataclasses
from typing import Any

import jax
import numpy as np

from jaxticket.core.types import Mask


@dataclasses.dataclass(frozen=True)
class Watch(abc.ABC):
    """Looks at a network at some steps of its training; the fields are part of the key of a training run.

    What it has seen is a record on the device: saved and restored with the training state, and one for each replicate
    where several train side by side.
    """

    @property
    def may_stop(self) -> bool:
        """Whether `stop` can ever be true; such runs train one after the other."""
        return False

    @abc.abstractmethod
    def times(self, steps_per_epoch: int, total_steps: int) -> range:
        """The numbers of finished optimizer steps after which there is a look."""

    @abc.abstractmethod
    def begin(self, params: Any, mask: Mask, looks: int) -> Any:
        """The record before the first of `looks` looks: a pytree of arrays that keep their shapes."""

    @abc.abstractmethod
    def look(self, record: Any, params: Any, mask: Mask, number: jax.Array) -> Any:
        """The record after look `number` (int32, from 0); traced."""

    def stop(self, record: Any, looks: int) -> bool:
        """Whether training ends now, after `looks` looks."""
        del record, looks
        return False

    def keep(self, record: Any, looks: int) -> tuple[str, ...]:
        """Names under which the weights of this moment are kept, after `looks` looks; letters, digits, `_`, `.`."""
        del record, looks
        return ()

    @abc.abstractmethod
    def result(self, record: Any, looks: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What is kept when training has ended: arrays by their names, and findings, JSON-ready."""
