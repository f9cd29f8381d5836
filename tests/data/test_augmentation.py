"""Random changes of images: what each one does to a batch, checked against what it must look like."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.data import augmentation

pytestmark = [pytest.mark.feature("data sets")]

KEY = jax.random.key(0)
B, SIDE = 512, 12
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(1, 256, (B, SIDE, SIDE, 3), dtype=np.uint8)  # no black pixel of their own


def test_random_crop_is_window_of_padded_image():
    found = np.asarray(jax.jit(augmentation.random_crop, static_argnums=2)(KEY, jnp.asarray(IMAGES), 2))
    assert (found.dtype, found.shape) == (np.uint8, IMAGES.shape)
    padded = np.pad(IMAGES, ((0, 0), (2, 2), (2, 2), (0, 0)))
    places = {}
    for image, cropped in zip(padded, found, strict=True):
        match = [
            (y, x) for y in range(5) for x in range(5) if np.array_equal(image[y : y + SIDE, x : x + SIDE], cropped)
        ]
        assert len(match) == 1
        places[match[0]] = places.get(match[0], 0) + 1
    assert len(places) == 25
    assert max(places.values()) < 5 * B / 25


def test_random_flip_mirrors_about_half_of_the_images():
    found = np.asarray(augmentation.random_flip(KEY, jnp.asarray(IMAGES)))
    mirrored = np.array([np.array_equal(a, b[:, ::-1]) for a, b in zip(found, IMAGES, strict=True)])
    kept = np.array([np.array_equal(a, b) for a, b in zip(found, IMAGES, strict=True)])
    assert (mirrored ^ kept).all()
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / math.sqrt(B)


def ramps(height, width, batch=B):
    """Images whose first channel is the row and whose second is the column, so that geometry can be read off."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return jnp.asarray(np.broadcast_to(np.stack([rows, columns], -1), (batch, height, width, 2)))


def test_random_rotation_is_at_most_given_angle():
    side, degrees = 13, 20.0
    centred = ramps(side, side) - 6
    found = np.asarray(augmentation.random_rotation(KEY, centred, degrees))
    # A pixel one column right of the centre shows the point (sin a, cos a) of the image as it was.
    sin, cos = found[:, 6, 7, 0], found[:, 6, 7, 1]
    np.testing.assert_allclose(sin**2 + cos**2, 1, atol=1e-4)
    np.testing.assert_allclose(found[:, 6, 6], 0, atol=1e-5)
    angles = np.degrees(np.arctan2(sin, cos))
    assert np.abs(angles).max() <= degrees
    assert np.abs(angles).max() > 0.9 * degrees
    assert abs(angles.mean()) < 5 * degrees / math.sqrt(3 * B)
    np.testing.assert_allclose(found[:, 8, 6], np.stack([2 * cos, -2 * sin], -1), atol=1e-4)  # no shear, no mirror


def test_rotation_by_nothing_is_the_image():
    still = augmentation.random_rotation(KEY, jnp.asarray(IMAGES), 0.0)
    np.testing.assert_allclose(still, IMAGES, atol=1e-3)
    turned = np.asarray(augmentation.random_rotation(KEY, jnp.asarray(IMAGES), 45.0))
    assert (turned[:, 0, 0] == 0).all(axis=-1).mean() > 0.5


def test_random_resized_crop_has_published_areas_and_ratios():
    height, width, side = 60, 60, 20
    found = np.asarray(jax.jit(augmentation.random_resized_crop, static_argnums=2)(KEY, ramps(height, width), side))
    assert found.shape == (B, side, side, 2)
    middle = side // 2
    rows = (found[:, middle + 4, middle, 0] - found[:, middle - 4, middle, 0]) / 8 * side
    columns = (found[:, middle, middle + 4, 1] - found[:, middle, middle - 4, 1]) / 8 * side
    area, ratio = rows * columns / (height * width), columns / rows
    assert 0.075 < area.min() < 0.15
    assert 0.8 < area.max() <= 1.001
    assert abs(area.mean() - 0.53) < 0.06  # uniform on 0.08 to 1, but for windows cut to the image
    assert 0.74 < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 1.34
    tops = found[:, middle, middle, 0] - (middle + 0.5) * rows / side + 0.5
    assert tops.min() > -0.6
    assert (tops + rows).max() < height + 0.6
    assert np.ptp(tops) > height / 2


def test_resize_and_crop_takes_the_middle():
    found = np.asarray(augmentation.resize_and_crop(ramps(64, 96, batch=1), 28))[0]
    assert found.shape == (28, 28, 2)
    np.testing.assert_allclose(found[:, :, 0].mean(), (64 - 1) / 2, atol=0.01)
    np.testing.assert_allclose(found[:, :, 1].mean(), (96 - 1) / 2, atol=0.01)
    # The shorter side became 32 = 28 * 256 / 224 pixels, so a pixel is two pixels apart from the next.
    np.testing.assert_allclose(np.diff(found[4:-4, 14, 0]), 2, atol=0.01)


def test_cutout_zeroes_one_square():
    images = jnp.ones((B, SIDE, SIDE, 3))
    found = np.asarray(augmentation.cutout(KEY, images, 4))
    assert set(np.unique(found)) == {0, 1}
    holes = (found == 0).all(axis=-1)
    assert ((found == 0) == holes[..., None]).all()
    for hole in holes:
        rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        assert hole.sum() == len(rows) * len(columns)
        assert 2 <= len(rows) <= 4
        assert 2 <= len(columns) <= 4
        assert np.ptp(rows) == len(rows) - 1
    assert (holes.sum((1, 2)) == 16).mean() > 0.4
    assert holes.any(0).all()  # every pixel is hidden in some image


def test_mixup_mixes_with_the_reversed_batch():
    images = jnp.asarray(IMAGES[:6], jnp.float32)
    mixed, share = augmentation.mixup(KEY, images, 0.4)
    assert 0 < float(share) < 1
    np.testing.assert_allclose(mixed, share * images + (1 - share) * images[::-1], rtol=1e-5)
    shares = jax.vmap(lambda key: augmentation.mixup(key, images[:1], 0.4)[1])(jax.random.split(KEY, 2000))
    # Beta(a, a) has the variance 1 / (4 (2a + 1)).
    assert float(shares.var()) == pytest.approx(1 / (4 * 1.8), rel=0.1)
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "change",
    [
        lambda key, x: augmentation.random_crop(key, x, 3),
        augmentation.random_flip,
        lambda key, x: augmentation.random_rotation(key, x, 15.0),
        lambda key, x: augmentation.random_resized_crop(key, x, 8),
        lambda key, x: augmentation.cutout(key, x, 5),
        lambda key, x: augmentation.mixup(key, x.astype(jnp.float32), 1.0)[0],
    ],
)
def test_same_key_gives_same_images(change):
    same = jnp.broadcast_to(jnp.asarray(IMAGES[:1]), (16, SIDE, SIDE, 3))
    first, again = change(KEY, same), jax.jit(change)(KEY, same)
    np.testing.assert_allclose(first, again, atol=1e-3)
    other = change(jax.random.key(1), jnp.asarray(IMAGES[:16]))
    assert not np.array_equal(other, change(KEY, jnp.asarray(IMAGES[:16])))


def test_images_of_a_batch_are_changed_independently():
    same = jnp.broadcast_to(jnp.asarray(IMAGES[:1]), (16, SIDE, SIDE, 3))
    for change in (
        augmentation.random_crop(KEY, same, 3),
        augmentation.random_flip(KEY, same),
        augmentation.random_rotation(KEY, same, 15.0),
        augmentation.random_resized_crop(KEY, same, 8),
        augmentation.cutout(KEY, same, 5),
    ):
        assert len({np.asarray(image).tobytes() for image in change}) > 1
