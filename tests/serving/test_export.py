"""Exported models compute what the models did, for any batch, in a process that has no jaxticket."""

import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxticket as jt
from jaxticket import models
from jaxticket.core.errors import ConfigError, TicketError
from jaxticket.core.paths import leaves
from jaxticket.interop import functional
from tests.serving.test_saved_model import network, sparsified

pytestmark = [pytest.mark.feature("serving")]

# Everything that a server needs to know. `jaxticket` cannot be imported: neither found, nor the file's name known.
SERVER = """
import sys


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("jaxticket", "flax", "optax", "orbax"):
            raise ImportError(name)


sys.meta_path.insert(0, Refuse())

import jax.export
import numpy as np
from safetensors.numpy import load_file

with open("model.stablehlo", "rb") as file:
    model = jax.export.deserialize(bytearray(file.read()))
weights = load_file("weights.safetensors")
for size in (1, 6):
    np.save(f"outputs{size}.npy", model.call(weights, np.load(f"inputs{size}.npy")))
assert "jaxticket" not in sys.modules
"""


def cut(name):
    """A network of the package without half of its channels, and an input."""
    model = models.create_model(name, num_classes=10)
    params, state = models.init_variables(model, jax.random.key(0), (32, 32, 3))
    variables = {"params": params, **state}
    x = jax.random.normal(jax.random.key(1), (6, 32, 32, 3))
    pruned = jt.prune_channels(model.apply, variables, x[:1], ratio=0.5, min_channels=2)
    return jt.shrink(model.apply, variables, pruned.mask, x[:1]), x


def test_exported_model_runs_in_plain_jax(tmp_path):
    small, x = cut("lenet5")
    exported = jt.export(small, x[:1], folder=tmp_path, batch="b", meta={"name": "lenet5"})
    assert exported.weights.keys() == {f"params/{name}" for name in leaves(small.params["params"])}
    for size in (1, 6):
        np.save(tmp_path / f"inputs{size}.npy", x[:size])
    subprocess.run([sys.executable, "-c", SERVER], check=True, cwd=tmp_path)
    again = jt.load_exported(tmp_path)
    assert again.meta == {"name": "lenet5"}
    for size in (1, 6):
        expected = jax.jit(small.apply)(small.params, x[:size])
        np.testing.assert_allclose(np.load(tmp_path / f"outputs{size}.npy"), expected, atol=1e-5)
        np.testing.assert_array_equal(again(x[:size]), exported(x[:size]))
    assert sum(file.stat().st_size for file in tmp_path.glob("*.stablehlo")) < 50_000  # no weights are in it


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_sparse_models_take_batches_of_any_size(kind, tmp_path):
    _, found, x = sparsified(kind)
    exported = jt.export(found, x, folder=tmp_path, batch="b", platforms=["cpu", "cuda"])
    assert "tensor<40x24xf32>" not in exported.exported.mlir_module()
    for rows in (2, 600):  # more than a tile
        many = jax.random.normal(jax.random.key(rows), (rows, 40))
        expected = jax.jit(found.apply)(found.variables, many)
        np.testing.assert_allclose(jt.load_exported(tmp_path)(many), expected, atol=1e-5)


def test_sparse_convolutions_take_batches_of_any_size():
    model = nnx.Conv(16, 32, (3, 3), rngs=nnx.Rngs(0))
    mask = {"kernel": np.zeros((3, 3, 16, 32), bool)}
    mask["kernel"][1, :, :8] = True
    x = jax.random.normal(jax.random.key(0), (2, 24, 24, 16))
    found = jt.sparsify(model, None, mask, x, block=(8, 32), min_speedup=0, shrink=False)
    exported = jt.export(found, x, batch="b")
    for size in (1, 3):
        many = jnp.tile(x[:1], (size, 1, 1, 1))
        np.testing.assert_allclose(exported(many), jax.jit(found.apply)(found.variables, many), atol=1e-5)


def test_functions_with_trees_of_inputs_are_exported(tmp_path):
    model = network("nnx")[0]
    apply, params = functional(model)

    def both(params, x):
        return {"first": apply(params, x["image"]), "scale": x["scale"]}

    x = {"image": jnp.ones((2, 40)), "scale": jnp.float32(2)}
    exported = jt.export((both, params), x, folder=tmp_path, batch="n")
    many = {"image": jnp.ones((7, 40)), "scale": jnp.float32(3)}
    found = jt.load_exported(tmp_path)(many)
    assert (found["first"].shape, float(found["scale"])) == ((7, 10), 3.0)
    assert exported.exported.in_avals[-2].shape[1:] == (40,)


def test_what_looks_at_the_batch_is_refused(tmp_path):
    model = (lambda w, x: x * w if x.shape[0] > 3 else x), jnp.float32(2)
    with pytest.raises(ConfigError, match=r"compute sizes from x.shape without comparing them, or give batch=None"):
        jt.export(model, jnp.ones((2, 3)), folder=tmp_path, batch="b")
    assert not list(tmp_path.iterdir())
    assert jt.export(model, jnp.ones((4, 3)))(jnp.ones((4, 3))).sum() == 24


@pytest.mark.skipif(importlib.util.find_spec("jax2onnx") is None, reason="needs the extra `onnx`")
def test_onnx_runtime_computes_the_same(tmp_path):
    import onnxruntime

    small, x = cut("lenet5")  # with max pooling, which is rewritten
    difference = jt.export_onnx(small, x[:1], file=tmp_path / "model.onnx", batch="b")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(None, {"input_0": np.asarray(x)})
    np.testing.assert_allclose(found, jax.jit(small.apply)(small.params, x), atol=1e-5)
    assert difference < 1e-5


def test_onnx_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    session = SimpleNamespace(
        get_inputs=lambda: [SimpleNamespace(name="input_0")],
        run=lambda outputs, inputs: [inputs["input_0"] + 1],
    )
    proto = SimpleNamespace(SerializeToString=lambda: b"onnx")
    monkeypatch.setitem(sys.modules, "jax2onnx", SimpleNamespace(to_onnx=lambda *args, **how: proto))
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=lambda *args, **how: session))
    with pytest.raises(TicketError, match="nothing was written"):
        jt.export_onnx((lambda w, x: x + w, jnp.float32(0)), jnp.ones((2, 3)), file=tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
