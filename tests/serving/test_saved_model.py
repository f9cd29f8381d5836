"""Cut and sparse models come back from files, to the bit, and run again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

import jaxticket as jt
from jaxticket import storage
from jaxticket.core.errors import ConfigError, MaskError, TicketError
from jaxticket.kernels import Timings
from jaxticket.kernels.backends.cost_model import Rates
from jaxticket.structure.shrink.resized import fit_nnx

pytestmark = [pytest.mark.feature("serving")]

# A device on which nothing but multiply-accumulates costs anything, so that what stores least is chosen.
IDEAL = Timings("ideal", {"float32": Rates((1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 0.0))})
FILE = "model.safetensors"


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=True, name="norm")(nn.Dense(24, name="fc1", use_bias=False)(x))
        return nn.Dense(10, name="fc2")(nn.relu(x))


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.fc1, self.fc2 = nnx.Linear(40, 24, use_bias=False, rngs=rngs), nnx.Linear(24, 10, rngs=rngs)
        self.norm, self.drop = nnx.BatchNorm(24, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.fc2(self.drop(nnx.relu(self.norm(self.fc1(x)))))


def network(kind):
    """A module, its variables for `sparsify`, an input, and a mask: of blocks, of groups, and of whole channels."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((5, 40)), jnp.float32)
    mask = {"fc1/kernel": np.zeros((40, 24), bool), "fc2/kernel": np.zeros((24, 10), bool)}
    mask["fc1/kernel"][:8, :16] = mask["fc1/kernel"][16:24, 8:16] = True
    mask["fc2/kernel"][::3, 1:] = True
    if kind == "linen":
        return Net(), Net().init(jax.random.key(0), x), x, mask
    return NnxNet(nnx.Rngs(0)), None, x, mask


def sparsified(kind):
    """One layer by blocks with a normalisation in it, one by groups."""
    model, variables, x, mask = network(kind)
    how = {"timings": IDEAL, "check_speed": False, "shrink": False, "fold_norms": True}
    return model, jt.sparsify(model, variables, mask, x, block=(8, 8), **how), x


def same(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, *map(without_keys, (tree, other)))


def without_keys(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)]


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_sparse_model_runs_again_bit_for_bit(kind, tmp_path):
    _model, found, x = sparsified(kind)
    assert {layer.form for layer in found.report.layers} == {"blocks 8x8", "groups"}
    assert [norm.rpartition("/")[2] for norm in found.folded.values()] == ["norm"]
    jt.save_model(tmp_path, found)
    apply, variables = jt.load_model(tmp_path, network(kind)[0])
    same(variables, found.variables)
    np.testing.assert_array_equal(jax.jit(apply)(variables, x), jax.jit(found.apply)(found.variables, x))
    assert not any(array.shape == (40, 24) for array in storage.load_arrays(tmp_path / FILE).values())


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_cut_model_runs_again_bit_for_bit(kind, tmp_path):
    model, variables, x, mask = network(kind)
    del mask["fc2/kernel"]
    if kind == "linen":
        fn, like = lambda variables, x: model.apply(variables, x), None
    else:
        model.eval()
        graph, like = nnx.split(model)

        def fn(state, x):
            return fit_nnx(nnx.merge(graph, state, copy=True))(x)

        variables = like
    found = jt.shrink(fn, variables, mask, x, mask_bn=True)
    assert found.report.groups[0].after == 16
    jt.save_model(tmp_path, found)
    for given, how in ((fn, {"like": like}), (network(kind)[0], {})):
        apply, small = jt.load_model(tmp_path, given, **how)
        same(small, found.params)
        np.testing.assert_array_equal(jax.jit(apply)(small, x), jax.jit(found.apply)(found.params, x))


def test_models_that_do_not_fit_are_refused(tmp_path):
    _model, found, _ = sparsified("nnx")
    jt.save_model(tmp_path / "a", found)
    other = nnx.Linear(4, 4, rngs=nnx.Rngs(0))
    with pytest.raises(MaskError, match="'drop/rngs/count' is no leaf of the model"):
        jt.load_model(tmp_path / "a", other)
    with pytest.raises(MaskError, match=r"give the Linen or NNX module that jt.sparsify was given"):
        jt.load_model(tmp_path / "a", lambda params, x: x)
    jt.save_model(tmp_path / "b", (lambda params, x: x, [jnp.ones(3)]))
    with pytest.raises(ConfigError, match="its parameters are a list; give like="):
        jt.load_model(tmp_path / "b", lambda params, x: x)
    with pytest.raises(MaskError, match="'0' is not both in"):
        jt.load_model(tmp_path / "b", lambda params, x: x, like={"a": jnp.ones(3)})
    with pytest.raises(ConfigError, match=r"dataclasses.replace\(sparsified"):
        jt.save_model(tmp_path / "c", (found.apply, found.variables))
    assert not (tmp_path / "c").exists()


def test_damaged_and_foreign_folders_are_refused(tmp_path):
    def fn(params, x):
        return x @ params["kernel"]

    model = fn, {"kernel": jnp.ones((3, 4))}
    jt.save_model(tmp_path, model)
    jt.export(model, jnp.ones((1, 3)), folder=tmp_path / "exported")
    with pytest.raises(TicketError, match=r"holds no jaxticket-model: there is no model.json"):
        jt.load_model(tmp_path / "exported", fn)
    with pytest.raises(TicketError, match=r"holds no jaxticket-export: there is no export.json"):
        jt.load_exported(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:-1] + b"\1")
    with pytest.raises(TicketError, match=r"model.safetensors is not the file that model.json describes"):
        jt.load_model(tmp_path, fn)
    (tmp_path / FILE).unlink()
    with pytest.raises(TicketError, match="there is no such file"):
        jt.load_model(tmp_path, fn)
    for name in ("model.stablehlo", "weights.safetensors", "export.json"):
        damaged = tmp_path / "exported" / name
        whole = damaged.read_bytes()
        damaged.write_bytes(whole.replace(whole[20:22], b"!!", 1))
        with pytest.raises(TicketError, match=name):
            jt.load_exported(tmp_path / "exported")
        damaged.write_bytes(whole)


def test_incomplete_sparse_weights_are_refused(tmp_path):
    _, found, _ = sparsified("linen")
    jt.save_model(tmp_path, found)
    content, files = storage.read_bundle(tmp_path, "model.json", {"format": "jaxticket-model", "version": 1})
    arrays = storage.parse_arrays(files[FILE], FILE)
    arrays["params/fc1/kernel@blocks/values"] = arrays["params/fc1/kernel@blocks/values"][1:]
    kind = {"format": "jaxticket-model", "version": 1}
    storage.write_bundle(tmp_path, "model.json", kind, {FILE: storage.dump_arrays(arrays)}, content)
    with pytest.raises(TicketError, match="params/fc1/kernel' is no whole sparse weight"):
        jt.load_model(tmp_path, Net())
