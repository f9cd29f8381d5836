import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxticket.core.errors import ConfigError
from jaxticket.data.pipeline import epoch_order, normalise, pad_to_multiple, take_batch
from jaxticket.data.splits import Split

pytestmark = [pytest.mark.feature("data sets")]

N, BATCH = 50, 8
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 4, 4, 3)).astype(np.uint8)
IMAGES[:, 0, 0, 0] = np.arange(N)
LABELS = np.arange(N, dtype=np.int32)


def test_epoch_is_permutation_its_own_and_same_again():
    key = jax.random.key(3)
    orders = [np.asarray(epoch_order(key, epoch, N)) for epoch in range(4)]
    for order in orders:
        assert order.dtype == np.int32
        assert sorted(order) == list(range(N))
    assert len({tuple(order) for order in orders}) == 4
    assert orders[2][:8].tolist() == [17, 26, 33, 11, 46, 45, 15, 9], "a resumed run meets another order"
    assert np.array_equal(orders[2], epoch_order(key, jnp.asarray(2), N))
    assert not np.array_equal(orders[0], epoch_order(jax.random.key(4), 0, N))


def test_every_example_comes_once_per_epoch():
    images, labels = jnp.asarray(IMAGES), jnp.asarray(LABELS)
    take = jax.jit(take_batch, static_argnames="batch_size")
    order = epoch_order(jax.random.key(0), 0, N)
    seen = []
    for step in range(N // BATCH):
        batch_images, batch_labels = take(images, labels, order, step * BATCH, BATCH)
        assert batch_images.shape == (BATCH, 4, 4, 3)
        assert (batch_images.dtype, batch_labels.dtype) == (np.uint8, np.int32)
        assert np.array_equal(batch_images, IMAGES[np.asarray(batch_labels)])
        seen += batch_labels.tolist()
    assert seen == order[: len(seen)].tolist()
    assert len(set(seen)) == len(seen) == 48


def test_a_whole_epoch_inside_one_scan():
    images, labels = jnp.asarray(IMAGES), jnp.asarray(LABELS)

    @jax.jit
    def epoch(key, number):
        order = epoch_order(key, number, N)

        def step(total, position):
            batch, targets = take_batch(images, labels, order, position, 10)
            first = batch[:, 0, 0, 0].astype(jnp.int32)
            return total + jnp.sum(first == targets), targets

        return jax.lax.scan(step, jnp.zeros((), jnp.int32), jnp.arange(0, N, 10))

    matches, targets = epoch(jax.random.key(1), jnp.asarray(5))
    assert int(matches) == N
    assert sorted(np.asarray(targets).ravel().tolist()) == list(range(N))


def test_replicates_have_orders_of_their_own():
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(lambda key: epoch_order(key, 1, N))(keys)
    for key, order in zip(keys, together, strict=True):
        assert np.array_equal(order, epoch_order(key, 1, N))
    batches = jax.vmap(take_batch, in_axes=(None, None, 0, None, None))(
        jnp.asarray(IMAGES), jnp.asarray(LABELS), together, 0, BATCH
    )
    assert np.array_equal(batches[1], together[:, :BATCH])


def test_a_batch_larger_than_the_split_is_refused():
    with pytest.raises(ConfigError, match="batch_size=51: must be at most the 50 training images"):
        take_batch(jnp.asarray(IMAGES), jnp.asarray(LABELS), jnp.arange(N), 0, 51)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_normalise(dtype):
    mean, std = (0.5, 0.25, 0.1), (0.2, 0.3, 1.0)
    found = jax.jit(normalise, static_argnums=(1, 2, 3))(jnp.asarray(IMAGES), mean, std, dtype)
    assert found.dtype == dtype
    expected = (IMAGES / 255 - np.array(mean)) / np.array(std)
    tolerance = 1e-6 if dtype == "float32" else 2**-8
    np.testing.assert_allclose(found.astype(jnp.float32), expected, rtol=tolerance, atol=tolerance)


def test_normalised_images_have_mean_zero_deviation_one():
    from jaxticket import data

    digits = data.load("digits")
    found = normalise(jnp.asarray(digits.train.images), digits.mean, digits.std)
    assert float(found.mean()) == pytest.approx(0, abs=1e-5)
    assert float(found.std()) == pytest.approx(1, abs=1e-5)


@settings(max_examples=40)
@given(size=st.integers(0, 20), batch=st.integers(1, 9))
def test_padding_keeps_every_example_and_weighs_nothing(size, batch):
    images, labels, weights = pad_to_multiple(Split(IMAGES[:size], LABELS[:size]), batch)
    assert isinstance(images, np.ndarray)
    assert len(images) == len(labels) == len(weights) == -(-size // batch) * batch
    assert np.array_equal(images[:size], IMAGES[:size])
    assert np.array_equal(labels[:size], LABELS[:size])
    assert (images.dtype, labels.dtype, weights.dtype) == (np.uint8, np.int32, np.float32)
    assert weights.tolist() == [1.0] * size + [0.0] * (len(weights) - size)
    assert not images[size:].any()
    assert not labels[size:].any()


def test_padding_inside_jit():
    padded = jax.jit(pad_to_multiple, static_argnums=1)((jnp.asarray(IMAGES), jnp.asarray(LABELS)), 8)
    expected = pad_to_multiple(Split(IMAGES, LABELS), 8)
    for ours, theirs in zip(padded, expected, strict=True):
        assert isinstance(ours, jax.Array)
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)
