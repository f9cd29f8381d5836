"""Monitors that see a ticket emerge: the masks that would be drawn during training, and their distances."""

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.analysis.mask_convergence import band_matrix, emergence
from jaxticket.core import paths
from jaxticket.core.criteria.magnitude import magnitude
from jaxticket.core.prune import prune
from jaxticket.core.types import Mask, Params, PyTree
from jaxticket.lab.channel_tickets import scale_paths
from jaxticket.training.monitors import Monitor


@dataclasses.dataclass(frozen=True)
class EmergenceMonitor(Monitor):
    """What both kinds have in common: when they measure, when they end training, and what they return in the end.

    Attributes:
        ratios: shares of the channels, or of the weights, that would be pruned; one mask each.
        rule: see `jaxticket.analysis.emergence`.
        window: likewise.
        epsilon: likewise; a tuple has one for each ratio.
        every_steps: optimizer steps between two measurements; 0 measures after every epoch.
        stops: whether training ends when the tickets of all ratios have emerged.
    """

    ratios: tuple[float, ...] = (0.3, 0.5, 0.7)
    rule: str = "latest_vs_window"
    window: int = 5
    epsilon: float | tuple[float, ...] = 0.1
    every_steps: int = 0
    stops: bool = False

    @property
    def may_stop(self) -> bool:
        """Whether it ends training."""
        return self.stops

    def steps(self, steps_per_epoch: int, total_steps: int) -> range:
        """The end of every epoch, or every so many steps."""
        every = self.every_steps or steps_per_epoch
        return range(every, total_steps + 1, every)

    def stop(self, state: PyTree, measurements: int) -> bool:
        """True after the measurement at which the last of the tickets emerges."""
        return self.stops and None not in self._emerged(state, measurements)

    def keep(self, state: PyTree, measurements: int) -> tuple[str, ...]:
        """`p<ratio>` of the tickets that emerge at this very measurement."""
        emerged = zip(self.ratios, self._emerged(state, measurements), strict=True)
        return tuple(f"p{ratio}" for ratio, number in emerged if number == measurements)

    def result(self, state: PyTree, measurements: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and findings.

        Returns:
            Arrays `distance_p<ratio>` float32 [measurements, measurements]; `emergence`, ratio -> the number of the
            measurement at which its ticket emerged, from 1, or None.
        """
        distances = np.asarray(state["distances"])[:, :measurements]
        arrays = {
            f"distance_p{ratio}": band_matrix(band).astype(np.float32)
            for ratio, band in zip(self.ratios, distances, strict=True)
        }
        emerged = self._emerged(state, measurements)
        found = {str(ratio): number for ratio, number in zip(self.ratios, emerged, strict=True)}
        return arrays, {"measurements": measurements, "emergence": found}

    def init_state(self, params: Params, mask: Mask, measurements: int) -> PyTree:
        """No masks and no distances: `bits` uint8 [ratios, masks, bytes], `distances` [ratios, measurements, masks]."""
        size, kept = self._bytes(params, mask), self._masks(measurements)
        return {
            "bits": jnp.zeros((len(self.ratios), kept, size), jnp.uint8),
            "distances": jnp.zeros((len(self.ratios), measurements, kept), jnp.float32),
        }

    def update(self, state: PyTree, params: Params, mask: Mask, number: jax.Array) -> PyTree:
        """With the masks of this moment in position of the oldest, and their distances from those before them."""
        drawn, size = self._draw(params, mask)
        kept = state["bits"].shape[1]
        bits = jnp.bitwise_xor(state["bits"], drawn[:, None])
        apart = jax.lax.population_count(bits).sum(axis=2, dtype=jnp.uint32).astype(jnp.float32) / size
        before = jnp.mod(number - 1 - jnp.arange(kept, dtype=number.dtype), kept)
        return {
            **state,
            "bits": state["bits"].at[:, jnp.mod(number, kept)].set(drawn),
            "distances": state["distances"].at[:, number].set(apart[:, before]),
        }

    @abc.abstractmethod
    def _draw(self, params: Params, mask: Mask) -> tuple[jax.Array, int]:
        """The masks of this moment, a bit for each unit, uint8 [ratios, bytes]; and the number of units."""

    @abc.abstractmethod
    def _bytes(self, params: Params, mask: Mask) -> int:
        """The size of a mask."""

    @abc.abstractmethod
    def _masks(self, measurements: int) -> int:
        """How many masks of each ratio are remembered."""

    def _emerged(self, state: PyTree, measurements: int) -> list[int | None]:
        distances = np.asarray(state["distances"])[:, :measurements]
        each = self.epsilon if isinstance(self.epsilon, tuple) else (self.epsilon,) * len(self.ratios)
        return [
            emergence(band_matrix(band), self.rule, self.window, epsilon)
            for band, epsilon in zip(distances, each, strict=True)
        ]


@dataclasses.dataclass(frozen=True)
class ScaleMonitor(EmergenceMonitor):
    """Remembers the scales of all normalisations, float32 [measurements, N], from which the masks of any ratio follow.

    The channels of all layers are ranked together; exactly `round(ratio * N)` are pruned, of equal ones the first.
    For VGG-16's 4,224 channels the history of 160 measurements takes 2.7 MB, and each mask 528 bytes.
    """

    def init_state(self, params: Params, mask: Mask, measurements: int) -> PyTree:
        """An empty history, and all masks."""
        history = jnp.zeros((measurements, sum(leaf.size for leaf in _scales(params))), jnp.float32)
        return {**super().init_state(params, mask, measurements), "scales": history}

    def update(self, state: PyTree, params: Params, mask: Mask, number: jax.Array) -> PyTree:
        """With the scales of this moment too."""
        state = super().update(state, params, mask, number)
        return {**state, "scales": state["scales"].at[number].set(_joined(params))}

    def result(self, state: PyTree, measurements: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The distances and findings of every monitor, and `scales` [measurements, N], in the order of sorted paths."""
        arrays, findings = super().result(state, measurements)
        return {"scales": np.asarray(state["scales"])[:measurements], **arrays}, findings

    def _draw(self, params: Params, mask: Mask) -> tuple[jax.Array, int]:
        del mask
        scales = _joined(params)
        order = jnp.argsort(scales, stable=True)
        position = jnp.zeros_like(order).at[order].set(jnp.arange(scales.size, dtype=order.dtype))
        masks = [position >= round(ratio * scales.size) for ratio in self.ratios]
        return jnp.packbits(jnp.stack(masks), axis=1), scales.size

    def _bytes(self, params: Params, mask: Mask) -> int:
        del mask
        return (sum(leaf.size for leaf in _scales(params)) + 7) // 8

    def _masks(self, measurements: int) -> int:
        return measurements


@dataclasses.dataclass(frozen=True)
class WeightMonitor(EmergenceMonitor):
    """Remembers the last few magnitude masks of single weights, a bit for each weight.

    Distances further back than the rule considers are not known.

    Attributes:
        scope: what is ranked together, as for `jt.prune`.
    """

    scope: str = "global"

    def _draw(self, params: Params, mask: Mask) -> tuple[jax.Array, int]:
        scores = magnitude(params, mask)
        bits = []
        for ratio in self.ratios:
            drawn = prune(mask, scores, sparsity=ratio, scope=self.scope)
            bits.append(jnp.concatenate([jnp.packbits(drawn[path].ravel()) for path in sorted(drawn)]))
        return jnp.stack(bits), sum(leaf.size for leaf in mask.values())

    def _bytes(self, params: Params, mask: Mask) -> int:
        del params
        return sum((leaf.size + 7) // 8 for leaf in mask.values())

    def _masks(self, measurements: int) -> int:
        return min(measurements, self.window - 1 if self.rule == "latest_vs_window" else 1)


def _scales(params: Params) -> list[jax.Array]:
    leaves = paths.leaves(params)
    return [leaves[path] for path in scale_paths(params)]


def _joined(params: Params) -> jax.Array:
    return jnp.concatenate([jnp.abs(leaf.astype(jnp.float32)) for leaf in _scales(params)])
