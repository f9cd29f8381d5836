import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxticket.core.criteria.wanda import wanda
from jaxticket.core.errors import MaskError
from jaxticket.core.masks import full_mask
from jaxticket.interop.linen_inputs import input_norms

pytestmark = [pytest.mark.feature("criteria")]


def test_wanda_weighs_weights_by_norm_of_their_input() -> None:
    params = {"fc": {"kernel": jnp.array([[1.0, -2.0], [3.0, 0.5]])}}
    mask = full_mask(params)
    scores = wanda(params, mask, {"fc/kernel": np.array([10.0, 1.0])})["fc/kernel"]
    np.testing.assert_array_equal(scores, [[10, 20], [3, 0.5]])


def test_wanda_gives_groups_of_convolution_their_inputs() -> None:
    params = {"conv": {"kernel": jnp.ones((3, 3, 2, 6))}}
    norms = {"conv/kernel": jnp.array([1.0, 2.0, 10.0, 20.0])}  # two groups of two inputs, three outputs each
    scores = wanda(params, full_mask(params), norms)["conv/kernel"]
    np.testing.assert_array_equal(scores[1, 2], [[1, 1, 1, 10, 10, 10], [2, 2, 2, 20, 20, 20]])


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(6, (3, 3), name="stem")(x))
        x = nn.relu(nn.Conv(6, (3, 3), feature_group_count=6, name="depthwise")(x))
        shared = nn.Dense(6, name="shared")
        return nn.Dense(3, name="head")(shared(shared(x.mean((1, 2)))))


def test_input_norms_are_those_of_all_batches() -> None:
    model = Net()
    x = np.random.default_rng(0).standard_normal((6, 5, 5, 2)).astype(np.float32)
    params = model.init(jax.random.key(0), x)["params"]
    calls = []

    def apply_fn(params, x):
        calls.append(x.shape)
        return model.apply({"params": params}, x)

    norms = input_norms(apply_fn, params, ((x[i : i + 2], None) for i in range(0, 6, 2)))
    assert len(calls) == 1  # compiled once for all batches
    assert {path: norm.shape for path, norm in norms.items()} == {
        "stem/kernel": (2,),
        "depthwise/kernel": (6,),
        "shared/kernel": (6,),
        "head/kernel": (6,),
    }
    np.testing.assert_allclose(norms["stem/kernel"], np.sqrt((x**2).sum((0, 1, 2))), rtol=1e-5)
    # A layer that is called twice: the norm over both inputs.
    _, seen = model.apply({"params": params}, x, capture_intermediates=True, mutable=["intermediates"])
    middle = nn.relu(seen["intermediates"]["depthwise"]["__call__"][0]).mean((1, 2))
    both = jnp.concatenate([middle, seen["intermediates"]["shared"]["__call__"][0]])
    np.testing.assert_allclose(norms["shared/kernel"], jnp.sqrt((both**2).sum(0)), rtol=1e-4)
    last = seen["intermediates"]["shared"]["__call__"][1]
    np.testing.assert_allclose(norms["head/kernel"], jnp.sqrt((last**2).sum(0)), rtol=1e-4)
    scores = wanda(params, full_mask(params, [(".*kernel", True), (".*", False)]), norms)
    np.testing.assert_allclose(
        scores["depthwise/kernel"], jnp.abs(params["depthwise"]["kernel"]) * norms["depthwise/kernel"][None, None, None]
    )


def test_mistakes_are_named() -> None:
    params = {"fc": {"kernel": jnp.ones((2, 4)), "scale": jnp.ones(4)}}
    mask = full_mask(params)
    with pytest.raises(MaskError, match="input_norms has no 'fc/kernel'"):
        wanda(params, mask, {})
    for shape in ((3,), (6,), (2, 1), (0,)):
        with pytest.raises(MaskError, match=r"input_norms\['fc/kernel'\] has shape"):
            wanda(params, mask, {"fc/kernel": jnp.ones(shape)})
    with pytest.raises(MaskError, match=r"'fc/scale' of shape \(4,\)"):
        wanda(params, {"fc/scale": jnp.ones(4, bool)}, {})
    with pytest.raises(MaskError, match="no batches"):
        input_norms(lambda params, x: x, params, [])
    with pytest.raises(MaskError, match=r"called no nn\.Dense"):
        input_norms(lambda params, x: x, params, [(jnp.ones((1, 2)), None)])
