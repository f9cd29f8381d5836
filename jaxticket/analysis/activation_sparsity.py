"""How much of a network is silent: activations at or near zero, and filters with hardly a weight."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.errors import MaskError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ActivationRates:
    """How often the channels of a layer are silent; add those of several batches up with `+`.

    Attributes:
        zeros: int32 [C], for each channel the number of values that are exactly zero.
        near_zeros: int32 [C], the number of values that are at most `threshold` in size.
        values: int32 scalar, the number of values of one channel.
    """

    zeros: jax.Array
    near_zeros: jax.Array
    values: jax.Array

    def __add__(self, other: "ActivationRates") -> "ActivationRates":
        return jax.tree.map(jnp.add, self, other)

    @property
    def zero(self) -> float:
        """The share of all values that are exactly zero; NaN where there are none."""
        return float(self.channel_zero.mean())

    @property
    def near_zero(self) -> float:
        """The share of all values that are at most the threshold in size; NaN where there are none."""
        return float(self.channel_near_zero.mean())

    @property
    def channel_zero(self) -> np.ndarray:
        """The share of exact zeros of each channel, float64 [C]."""
        return self._share(self.zeros)

    @property
    def channel_near_zero(self) -> np.ndarray:
        """The share of values at most the threshold in size of each channel, float64 [C]."""
        return self._share(self.near_zeros)

    @property
    def dead(self) -> np.ndarray:
        """Channels that are exactly zero for all inputs and at all positions, bool [C]."""
        return np.asarray(self.zeros) == np.asarray(self.values)

    def _share(self, counts: jax.Array) -> np.ndarray:
        values = int(self.values)
        return np.asarray(counts, np.float64) / values if values else np.full(np.shape(counts), np.nan)


def activation_rates(x: Any, threshold: float = 1e-2) -> ActivationRates:
    """How many outputs of a layer are zero, and how many nearly so.

    Jaiswal et al., "Training Your Sparse Neural Network Better with Any Mask" (ICML 2022), compare activation functions
    by it. For a smooth activation a value near zero may come of a large negative input. Traceable by `jit`; the counts
    of one channel must stay below 2**31.

    Args:
        x: float [..., channels], activations of a batch.
        threshold: the largest size that is near zero, at least 0.

    Raises:
        MaskError: no channel axis, or a threshold below 0.

    Example:
        >>> from jaxticket import analysis
        >>> rates = analysis.activation_rates(jnp.array([[0.0, 0.0], [0.0, 1.0]]))
        >>> rates.zero, rates.dead.tolist()
        (0.75, [True, False])
    """
    if not threshold >= 0:
        raise MaskError(f"activation_rates(threshold={threshold!r}): must be at least 0")
    x = jnp.asarray(x)
    if not x.ndim:
        raise MaskError("activation_rates(): x is one number; must be an array [..., channels]")
    rows = x.reshape(-1, x.shape[-1]) if x.size else jnp.zeros((0, x.shape[-1]))
    return ActivationRates(
        zeros=(rows == 0).sum(0, dtype=jnp.int32),
        near_zeros=(jnp.abs(rows) <= threshold).sum(0, dtype=jnp.int32),
        values=jnp.int32(rows.shape[0]),
    )


def filter_zero_rates(kernel: Any, tiny: float = 1e-5) -> np.ndarray:
    """The share of the weights of each filter that are less than `tiny` in size.

    Args:
        kernel: float [..., outputs]; a filter is what makes one output.
        tiny: above 0.

    Returns:
        float64 [outputs].

    Raises:
        MaskError: a kernel of rank below 2, or a `tiny` that is not above 0.

    Example:
        >>> from jaxticket import analysis
        >>> analysis.filter_zero_rates(np.array([[0.0, 1.0], [2.0, 3.0]])).tolist()
        [0.5, 0.0]
    """
    if not tiny > 0:
        raise MaskError(f"filter_zero_rates(tiny={tiny!r}): must be above 0")
    weights = np.asarray(kernel)
    if weights.ndim < 2:
        raise MaskError(f"filter_zero_rates(): the kernel has shape {weights.shape}; must be [..., inputs, outputs]")
    return (np.abs(weights) < tiny).reshape(-1, weights.shape[-1]).mean(0)


def empty_filters(kernel: Any, threshold: float = 0.9, tiny: float = 1e-5) -> np.ndarray:
    """Which filters have hardly a weight left: a share of more than `threshold` is less than `tiny` in size.

    Args:
        kernel: float [..., outputs], zero where pruned.
        threshold: the share from which on, exclusively, a filter is empty, in [0, 1).
        tiny: the size below which a weight does not count, above 0.

    Returns:
        bool [outputs].

    Raises:
        MaskError: as for `filter_zero_rates`, or a threshold out of range.

    Example:
        >>> from jaxticket import analysis
        >>> analysis.empty_filters(np.array([[0.0, 0.5], [0.0, 0.0]])).tolist()
        [True, False]
    """
    if not 0 <= threshold < 1:
        raise MaskError(f"empty_filters(threshold={threshold!r}): must be at least 0 and less than 1")
    return filter_zero_rates(kernel, tiny) > threshold
