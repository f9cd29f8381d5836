"""Sparse models as files and as StableHLO."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

import jaxticket as jt
from jaxticket import storage
from jaxticket.core.errors import MaskError, TicketError
from jaxticket.kernels import Timings
from jaxticket.kernels.backends.cost_model import Rates
from jaxticket.kernels.export import export_stablehlo, load_sparse, save_sparse

pytestmark = [pytest.mark.feature("sparse kernels")]

# A device on which nothing but multiply-accumulates costs anything, so that what stores least is chosen.
IDEAL = Timings("ideal", {"float32": Rates((1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 0.0))})


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(10, name="fc2")(nn.relu(nn.Dense(24, name="fc1")(x)))


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.fc1, self.fc2 = nnx.Linear(40, 24, rngs=rngs), nnx.Linear(24, 10, rngs=rngs)

    def __call__(self, x):
        return self.fc2(nnx.relu(self.fc1(x)))


def sparsified(kind):
    """One layer by blocks, one by groups."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((5, 40)), jnp.float32)
    mask = {"fc1/kernel": np.zeros((40, 24), bool), "fc2/kernel": np.zeros((24, 10), bool)}
    mask["fc1/kernel"][:8, :16] = mask["fc1/kernel"][16:24, 8:] = True
    mask["fc2/kernel"][::3, 1:] = True
    if kind == "linen":
        model, variables = Net(), Net().init(jax.random.key(0), x)
    else:
        model, variables = NnxNet(nnx.Rngs(0)), None
    return jt.sparsify(model, variables, mask, x, block=(8, 8), timings=IDEAL, check_speed=False, shrink=False), x


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_packed_weights_come_back_to_the_bit(kind, tmp_path):
    found, x = sparsified(kind)
    assert {layer.form for layer in found.report.layers} == {"blocks 8x8", "groups"}
    save_sparse(tmp_path / "model.safetensors", found.variables)
    back = load_sparse(tmp_path / "model.safetensors", None if kind == "linen" else found.variables)
    assert jax.tree.structure(back) == jax.tree.structure(found.variables)
    for one, other in zip(jax.tree.leaves(back), jax.tree.leaves(found.variables), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(jax.jit(found.apply)(back, x), jax.jit(found.apply)(found.variables, x))


def test_files_that_do_not_fit_are_refused(tmp_path):
    found, _ = sparsified("linen")
    save_sparse(tmp_path / "model.safetensors", found.variables)
    with pytest.raises(MaskError, match="give those of the same model"):
        load_sparse(tmp_path / "model.safetensors", {"params": {}})
    arrays = storage.load_arrays(tmp_path / "model.safetensors")
    arrays["params/fc1/kernel@blocks/values"] = arrays["params/fc1/kernel@blocks/values"][1:]
    storage.save_arrays(tmp_path / "broken.safetensors", arrays)
    with pytest.raises(TicketError, match="params/fc1/kernel' is no whole sparse weight"):
        load_sparse(tmp_path / "broken.safetensors")


def test_stablehlo_runs_without_the_model():
    """The exported model has its weights, and no dense kernel, inside."""
    found, x = sparsified("linen")
    exported = export_stablehlo(found, x, platforms=["cpu"])
    np.testing.assert_allclose(exported.call(x), jax.jit(found.apply)(found.variables, x), atol=1e-6)
    assert "tensor<40x24xf32>" not in exported.mlir_module()
    if importlib.util.find_spec("flatbuffers"):
        assert len(jax.export.deserialize(exported.serialize()).in_avals) == 1
