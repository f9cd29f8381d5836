"""Input inside jit: a data set stays on the device as uint8, an epoch is a permutation, a batch is a gather.

What a run must remember to continue at any step is the key, the epoch and the position: three numbers.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from jaxticket.core.errors import ConfigError
from jaxticket.data.splits import Split


@functools.partial(jax.jit, static_argnames="n")
def epoch_order(key: jax.Array, epoch: ArrayLike, n: int) -> jax.Array:
    """The order of the training images in one epoch.

    Args:
        key: the run's key for the order of its data; every epoch folds its number into it.
        epoch: the epoch, counted from 0; may be traced.
        n: number of training images.

    Returns:
        A permutation of `0 .. n-1`, int32 [n], the same on any number of devices.
    """
    return jax.random.permutation(jax.random.fold_in(key, epoch), jnp.arange(n, dtype=jnp.int32))


def take_batch(
    images: jax.Array, labels: jax.Array, order: jax.Array, position: ArrayLike, batch_size: int
) -> tuple[jax.Array, jax.Array]:
    """The batch that starts at `position` of an epoch's order.

    Args:
        images: [N, H, W, C], any dtype.
        labels: [N].
        order: int32 [N], from `epoch_order`.
        position: index into `order` of the first example; may be traced. An epoch has `N // batch_size`
            batches, at 0, batch_size, ...; a position beyond `N - batch_size` gives the last full batch.
        batch_size: number of examples, static, at most N.

    Returns:
        Images [batch_size, H, W, C] and labels [batch_size], of the dtypes they came in.

    Raises:
        ConfigError: the batch is larger than the split.
    """
    if batch_size > len(order):
        raise ConfigError(f"batch_size={batch_size}: must be at most the {len(order)} training images")
    rows = jax.lax.dynamic_slice_in_dim(order, position, batch_size)
    return jnp.take(images, rows, axis=0, mode="clip"), jnp.take(labels, rows, axis=0, mode="clip")


def normalise(
    images: jax.Array, mean: tuple[float, ...], std: tuple[float, ...], dtype: DTypeLike = jnp.float32
) -> jax.Array:
    """Images as a network wants them: `(images / 255 - mean) / std` per channel.

    Args:
        images: uint8 [..., C].
        mean: per channel, on the scale from 0 to 1 of a pixel's values, as `Dataset.mean`.
        std: likewise, as `Dataset.std`.
        dtype: of the result; the arithmetic is float32 whatever it is.

    Returns:
        [..., C] of `dtype`.
    """
    shape = (1,) * (images.ndim - 1) + (images.shape[-1],)
    centre = jnp.asarray(mean, jnp.float32).reshape(shape)
    scale = jnp.asarray(std, jnp.float32).reshape(shape)
    return ((images.astype(jnp.float32) / 255 - centre) / scale).astype(dtype)


def pad_to_multiple(
    split: Split | tuple[jax.Array, jax.Array], batch_size: int
) -> tuple[ArrayLike, ArrayLike, ArrayLike]:
    """A split padded to whole batches, for evaluation of every example with one compiled step.

    NumPy arrays stay NumPy arrays, JAX arrays stay on their device and may be traced.

    Args:
        split: images [N, H, W, C] and labels [N]; N may be 0.
        batch_size: at least 1.

    Returns:
        Images [M, H, W, C], labels [M] and weights float32 [M], where M is N rounded up to a multiple of
        `batch_size`. Padding is all zeros with weight 0; real examples have weight 1.
    """
    images, labels = split
    xp = jnp if isinstance(images, jax.Array) else np
    size = len(labels)
    padding = -size % batch_size
    weights = xp.asarray(np.arange(size + padding) < size, dtype=np.float32)
    if not padding:
        return images, labels, weights

    def pad(array: ArrayLike) -> ArrayLike:
        return xp.pad(array, [(0, padding)] + [(0, 0)] * (np.ndim(array) - 1))

    return pad(images), pad(labels), weights
