import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.data import Dataset, Split
from jaxticket.training.state import Keys, Weights


def apply(params, model_state, images, *, train):
    """A two-layer network that also counts the batches it was trained on."""
    x = images.reshape(len(images), -1)
    x = jnp.tanh(x @ params["fc1"]["kernel"] + params["fc1"]["bias"][None])
    logits = x @ params["head"]["kernel"] + params["head"]["bias"][None]
    return logits, {"seen": model_state["seen"] + jnp.int32(train)}


def make_split(count, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count).astype(np.int32)
    images = rng.integers(0, 100, (count, 4, 4, 1)).astype(np.uint8)
    images[np.arange(count), labels] += np.uint8(100)
    return Split(images, labels)


@pytest.fixture(scope="session")
def dataset():
    return Dataset(
        name="stripes",
        train=make_split(70, 0),
        val=make_split(21, 1),
        test=make_split(33, 2),
        num_classes=3,
        class_names=("a", "b", "c"),
        mean=(0.3,),
        std=(0.2,),
    )


@pytest.fixture(scope="session")
def network():
    return apply


@pytest.fixture
def start():
    rng = np.random.default_rng(5)
    params = {
        "fc1": {"kernel": rng.normal(0, 0.3, (16, 12)), "bias": np.zeros(12)},
        "head": {"kernel": rng.normal(0, 0.3, (12, 3)), "bias": np.zeros(3)},
    }
    return Weights(jax.tree.map(np.float32, params), {"seen": np.int32(0)})


@pytest.fixture
def mask():
    rng = np.random.default_rng(6)
    return {"fc1/kernel": rng.random((16, 12)) < 0.4, "head/kernel": rng.random((12, 3)) < 0.8}


@pytest.fixture
def keys():
    return Keys(jax.random.key(1), jax.random.key(2))
