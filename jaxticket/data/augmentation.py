"""Random changes of training images, inside jit: a batch stays on the device from its uint8 pixels to the network.

Every function takes a key and a batch [B, H, W, C] and draws for each image separately. Pixels from outside of an
image are 0, black, as they are before normalisation in PyTorch's pipelines.
"""

import math

import jax
import jax.numpy as jnp

from jaxticket.data.decoding import AREA, LOG_ASPECT, RESIZE_PER_CROP


def random_crop(key: jax.Array, images: jax.Array, padding: int) -> jax.Array:
    """Crops of the images' own size, at a random position after `padding` pixels of zeros are put on every side."""
    batch, height, width, channels = images.shape
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    corners = jax.random.randint(key, (batch, 2), 0, 2 * padding + 1)

    def crop(image: jax.Array, corner: jax.Array) -> jax.Array:
        start = (corner[0], corner[1], jnp.zeros((), corner.dtype))
        return jax.lax.dynamic_slice(image, start, (height, width, channels))

    return jax.vmap(crop)(padded, corners)


def random_flip(key: jax.Array, images: jax.Array) -> jax.Array:
    """Each image mirrored left to right with probability one half."""
    mirrored = jax.random.bernoulli(key, 0.5, (len(images), 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1], images)


def random_rotation(key: jax.Array, images: jax.Array, degrees: float) -> jax.Array:
    """Each image turned about its centre by an angle from U(-degrees, degrees), bilinear; float32 [B, H, W, C]."""
    batch, height, width, _ = images.shape
    angles = jax.random.uniform(key, (batch,), jnp.float32, -math.radians(degrees), math.radians(degrees))
    rows = jnp.arange(height, dtype=jnp.float32)[:, None] - (height - 1) / 2
    columns = jnp.arange(width, dtype=jnp.float32)[None, :] - (width - 1) / 2

    def rotate(image: jax.Array, angle: jax.Array) -> jax.Array:
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        source = [cos * rows - sin * columns + (height - 1) / 2, sin * rows + cos * columns + (width - 1) / 2]
        sample = jax.vmap(lambda plane: jax.scipy.ndimage.map_coordinates(plane, source, order=1), -1, -1)
        return sample(image)

    return jax.vmap(rotate)(images.astype(jnp.float32), angles)


def random_resized_crop(key: jax.Array, images: jax.Array, side: int) -> jax.Array:
    """A random window of each image, scaled to side x side: float32 [B, side, side, C].

    The window has 8 to 100 % of the image's area and a ratio of width to height from 3/4 to 4/3, uniform in its
    logarithm (Szegedy et al. 2015, section 6); a side that would be longer than the image's is cut to it. Scaling is
    linear with antialiasing.
    """
    batch, height, width, channels = images.shape
    area_key, ratio_key, position_key = jax.random.split(key, 3)
    area = height * width * jax.random.uniform(area_key, (batch,), jnp.float32, *AREA)
    log_ratio = jax.random.uniform(ratio_key, (batch,), jnp.float32, *LOG_ASPECT)
    sides = jnp.sqrt(jnp.stack([area / jnp.exp(log_ratio), area * jnp.exp(log_ratio)], axis=1))
    whole = jnp.asarray([[height, width]], jnp.float32)
    sides = jnp.minimum(sides, whole)
    corners = jax.random.uniform(position_key, (batch, 2), jnp.float32) * (whole - sides)

    def resize(image: jax.Array, window: jax.Array, corner: jax.Array) -> jax.Array:
        scale = side / window
        shape = (side, side, channels)
        return jax.image.scale_and_translate(image, shape, (0, 1), scale, -corner * scale, "linear")

    return jax.vmap(resize)(images.astype(jnp.float32), sides, corners)


def cutout(key: jax.Array, images: jax.Array, side: int) -> jax.Array:
    """A square of zeros, partly outside perhaps, at a random centre of each normalised image (DeVries, Taylor 2017)."""
    batch, height, width, _ = images.shape
    centres = jax.random.randint(key, (batch, 2), 0, jnp.asarray([[height, width]]))

    def outside(centre: jax.Array, length: int) -> jax.Array:
        first = centre[:, None] - side // 2
        pixels = jnp.arange(length)[None, :]
        return (pixels < first) | (pixels >= first + side)

    kept = outside(centres[:, 0], height)[:, :, None] | outside(centres[:, 1], width)[:, None, :]
    return images * kept[..., None].astype(images.dtype)


def mixup(key: jax.Array, images: jax.Array, alpha: float) -> tuple[jax.Array, jax.Array]:
    """Each image mixed with its partner, the image as far from the batch's end (Zhang et al. 2018).

    Args:
        key: a JAX random key.
        images: normalised, [B, H, W, C]; a batch is already in random order.
        alpha: of the distribution Beta(alpha, alpha) of the first image's share, above 0.

    Returns:
        The mixtures, and the share of the image itself, float32 scalar, one for the whole batch; the share of its
        partner, whose label is `labels[::-1]`, is the rest.
    """
    share = jax.random.beta(key, alpha, alpha, dtype=jnp.float32)
    own = share.astype(images.dtype)
    return own * images + (1 - own) * images[::-1], share


def resize_and_crop(images: jax.Array, side: int) -> jax.Array:
    """The crop of test images where training images have a random resized crop: float32 [B, side, side, C].

    The shorter side is scaled to `side * 256 / 224`, linear with antialiasing, and the middle is cropped.
    """
    batch, height, width, channels = images.shape
    shorter = round(side * RESIZE_PER_CROP)
    scale = shorter / min(height, width)
    rows, columns = max(shorter, round(height * scale)), max(shorter, round(width * scale))
    resized = jax.image.resize(images.astype(jnp.float32), (batch, rows, columns, channels), "linear")
    top, left = (rows - side) // 2, (columns - side) // 2
    return resized[:, top : top + side, left : left + side]
