"""Whole models made sparse: the same outputs as the masked dense model, and a reason for every layer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

import jaxticket as jt
from jaxticket.core import paths
from jaxticket.core.errors import MaskError
from jaxticket.kernels import BlockSparse, DenseGroups, Timings
from jaxticket.kernels.backends.cost_model import Rates

pytestmark = [pytest.mark.feature("sparse kernels")]

BLOCK = (4, 8)
# A device on which nothing but multiply-accumulates costs anything: sparse is faster by the density.
IDEAL = Timings("ideal", {"float32": Rates((1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 0.0))})
SLOW = Timings("slow", {"float32": Rates((1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (100.0, 0.0, 0.0, 0.0, 0.0))})


class Net(nn.Module):
    """A convolution with batch normalisation, one with strides, one in groups, and two dense layers."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(8, (3, 3), padding=1, name="conv1")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=True, name="norm")(x))
        x = nn.relu(nn.Conv(16, (3, 3), strides=2, use_bias=False, name="conv2")(x))
        x = nn.relu(nn.Conv(16, (3, 3), feature_group_count=2, name="grouped")(x))
        x = nn.relu(nn.Dense(24, name="fc1")(x.reshape(x.shape[0], -1)))
        return nn.Dense(3, name="head")(x)


class NnxNet(nnx.Module):
    """The same in NNX."""

    def __init__(self, rngs):
        self.conv1 = nnx.Conv(4, 8, (3, 3), padding=1, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.conv2 = nnx.Conv(8, 16, (3, 3), strides=2, use_bias=False, rngs=rngs)
        self.grouped = nnx.Conv(16, 16, (3, 3), feature_group_count=2, rngs=rngs)
        self.fc1 = nnx.Linear(144, 24, rngs=rngs)
        self.head = nnx.Linear(24, 3, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.conv1(x)))
        x = nnx.relu(self.conv2(x))
        x = self.drop(nnx.relu(self.grouped(x)))
        return self.head(nnx.relu(self.fc1(x.reshape(x.shape[0], -1))))


def images(batch=4):
    return jnp.asarray(np.random.default_rng(0).standard_normal((batch, 6, 6, 4)), jnp.float32)


@functools.cache
def linen_net():
    variables = jax.jit(Net().init)(jax.random.key(0), images())
    # Biases count only where they are not zero; that of conv1 would keep its channels from being cut out.
    variables["params"]["fc1"]["bias"] = jnp.linspace(-1.0, 1.0, 24)
    variables["params"]["norm"]["bias"] = jnp.linspace(-0.5, 0.5, 8)
    return Net(), variables


@functools.cache
def nnx_net():
    model = NnxNet(nnx.Rngs(0))
    model.norm.mean[...] = jnp.linspace(0.1, -0.1, 8)  # behind the ReLU the first are zero
    model.fc1.bias[...] = jnp.linspace(-1.0, 1.0, 24)
    return model


def masked_nnx(mask):
    masked = nnx.clone(nnx_net())
    nnx.update(masked, jt.apply_mask(nnx.state(masked, nnx.Param), mask))
    masked.eval()
    return masked, nnx.jit(lambda model, x: model(x))(masked, images())


def block_mask(params, share=0.5, dead=0):
    """Blocks of 4 x 8 at random; of conv1 the first `dead` output channels go entirely."""
    mask = jt.full_mask(params)
    random = np.random.default_rng(1)
    scores = {path: random.random(np.shape(leaf)).astype(np.float32) for path, leaf in mask.items()}
    mask = jt.prune(mask, scores, sparsity=share, scope="layer", granularity=jt.block(*BLOCK))
    for path in mask:
        if dead and path.endswith("conv1/kernel"):
            mask[path] = mask[path].at[..., :dead].set(False)
    return mask


def masked_outputs(apply, variables, mask, x):
    known = {path if path in paths.leaves(variables) else f"params/{path}": kept for path, kept in mask.items()}
    return jax.jit(apply)(jt.apply_mask(variables, known), x)


def forms(found):
    return {layer.path.removeprefix("params/").partition("/")[0]: layer.form for layer in found.report.layers}


def test_a_linen_model_computes_the_same():
    """Conversion exact for Linen, and the gradient of the stored values is that of the masked weights."""
    model, variables = linen_net()
    mask, x = block_mask(variables["params"]), images()
    found = jt.sparsify(model, variables, mask, x, block=BLOCK, timings=IDEAL, check_speed=False, shrink=False)
    assert forms(found) == {
        "conv1": "blocks 4x8", "conv2": "blocks 4x8", "fc1": "blocks 4x8", "grouped": "dense",
    }  # fmt: skip
    assert isinstance(found.variables["params"]["fc1"]["kernel"], BlockSparse)
    expected = masked_outputs(model.apply, variables, mask, x)
    np.testing.assert_allclose(jax.jit(found.apply)(found.variables, x), expected, atol=1e-6)
    assert found.report.difference < 1e-5
    assert found.report.bytes[1] < 0.7 * found.report.bytes[0]
    assert "its channels are in groups" in str(found.report)

    def loss(apply, variables):
        return lambda params: (apply({**variables, "params": params}, x) ** 2).sum()

    masked = jt.apply_mask(variables["params"], mask)
    dense = jax.jit(jax.grad(loss(model.apply, variables)))(masked)
    sparse = jax.jit(jax.grad(loss(found.apply, found.variables)))(found.variables["params"])
    for name in ("fc1", "conv2"):
        kept = np.where(mask[f"{name}/kernel"], dense[name]["kernel"], 0)
        np.testing.assert_allclose(sparse[name]["kernel"].to_dense(), kept, atol=1e-5)
    np.testing.assert_allclose(sparse["norm"]["scale"], dense["norm"]["scale"], atol=1e-5)


def test_an_nnx_model_computes_the_same():
    """Conversion exact for NNX: layers are replaced in a copy, in the way they are used for inference."""
    model = nnx_net()
    mask, x = block_mask(nnx.state(model, nnx.Param)), images()
    found = jt.sparsify(model, None, mask, x, block=BLOCK, timings=IDEAL, check_speed=False, shrink=False)
    assert list(forms(found).values()).count("blocks 4x8") == 3
    assert type(model.fc1) is nnx.Linear
    masked, expected = masked_nnx(mask)
    np.testing.assert_allclose(jax.jit(found.apply)(found.variables, x), expected, atol=1e-6)
    again = jt.sparsify(
        model, nnx.state(masked, nnx.Param), mask, x, block=BLOCK, timings=IDEAL, check_speed=False, shrink=False
    )
    assert jax.tree.structure(again.variables) == jax.tree.structure(found.variables)


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_dead_channels_are_cut_out_first(kind):
    x = images()
    if kind == "linen":
        model, variables = linen_net()
        mask = block_mask(variables["params"], dead=3)
        expected = masked_outputs(model.apply, variables, mask, x)
    else:
        model, variables = nnx_net(), None
        mask = block_mask(nnx.state(model, nnx.Param), dead=3)
        _, expected = masked_nnx(mask)
    found = jt.sparsify(model, variables, mask, x, block=BLOCK, timings=IDEAL, check_speed=False)
    layers = {layer.path.removeprefix("params/"): layer for layer in found.report.layers}
    assert layers["conv1/kernel"].bytes[0] == 3 * 3 * 4 * 5 * 4
    assert layers["conv2/kernel"].bytes[0] == 3 * 3 * 5 * 16 * 4
    np.testing.assert_allclose(jax.jit(found.apply)(found.variables, x), expected, atol=1e-5)
    assert "parameters" in str(found.report)


def test_layers_are_found_where_no_channel_goes():
    """A shift behind the normalisation makes a constant of dead channels; shrink has traced the model before."""
    model, variables = linen_net()
    mask = block_mask(variables["params"])
    mask["conv1/kernel"] = mask["conv1/kernel"].at[..., 6:].set(False)  # those whose shift is positive
    found = jt.sparsify(model, variables, mask, images(), block=BLOCK, timings=IDEAL, check_speed=False)
    assert found.report.shrunk.shapes == {}
    assert forms(found)["conv1"] == "groups"  # without the dead ones
    assert list(forms(found).values()).count("dense") == 1


def test_a_regrouped_ticket_runs_by_its_groups():
    """Gather and a dense product for each group, where blocks in place are all touched."""
    model, variables = linen_net()
    random = np.random.default_rng(2)
    scattered = {"fc1/kernel": jnp.asarray(random.random((144, 24)) < 0.3)}
    mask = jt.regroup(scattered, groups=2, min_rows=4).mask
    found = jt.sparsify(model, variables, mask, images(), timings=IDEAL, check_speed=False, shrink=False)
    assert forms(found) == {"fc1": "groups"}
    assert isinstance(found.variables["params"]["fc1"]["kernel"], DenseGroups)
    expected = masked_outputs(model.apply, variables, mask, images())
    np.testing.assert_allclose(jax.jit(found.apply)(found.variables, images()), expected, atol=1e-6)


def test_scattered_weights_stay_dense():
    """Unstructured tickets get nothing from blocks: every one of them has something."""
    model, variables = linen_net()
    scattered = {"fc1/kernel": np.random.default_rng(0).random((144, 24)) < 0.3}
    found = jt.sparsify(model, variables, scattered, images(), block=(8, 24), timings=IDEAL, check_speed=False)
    assert forms(found) == {"fc1": "dense"}
    assert "1.05 is needed" in found.report.layers[0].reason
    assert found.report.bytes[0] == found.report.bytes[1]


def test_a_layer_stays_dense_unless_predicted_faster():
    model, variables = linen_net()
    mask, x = block_mask(variables["params"]), images()
    assert set(forms(jt.sparsify(model, variables, mask, x, block=BLOCK, timings=SLOW)).values()) == {"dense"}
    unknown = jt.sparsify(model, variables, mask, x, block=BLOCK, timings=Timings("a new device", {}))
    assert "no timings of float32 on a new device" in unknown.report.layers[0].reason
    anyway = jt.sparsify(model, variables, mask, x, block=BLOCK, timings=SLOW, min_speedup=0)
    assert list(forms(anyway).values()).count("dense") == 1  # the grouped convolution


def test_what_is_measured_decides(monkeypatch):
    """A layer that is predicted to be faster and is not stays dense, and so does a model that is slower."""
    model, variables = linen_net()
    mask = {"fc1/kernel": block_mask(variables["params"])["fc1/kernel"]}
    how = {"block": BLOCK, "timings": IDEAL, "measure": True, "shrink": False}
    monkeypatch.setattr("jaxticket.kernels.convert.choose_format.measure_layer", lambda *_: [1.0, 0.99])
    slower = jt.sparsify(model, variables, mask, images(), **how)
    assert slower.report.layers[0].form == "dense"
    assert "1.01 times as fast by blocks 4x8 is measured, 1.05 is needed" in slower.report.layers[0].reason
    monkeypatch.setattr("jaxticket.kernels.convert.choose_format.measure_layer", lambda *_: [1.0, 0.5])
    monkeypatch.setattr("jaxticket.kernels.convert.time_model.least_seconds", lambda *_: [1.0, 2.0])
    undone = jt.sparsify(model, variables, mask, images(), **how)
    assert undone.report.layers[0].reason.endswith("but the whole model was slower")
    assert undone.report.measured == (1.0, 1.0)
    assert not isinstance(undone.variables["params"]["fc1"]["kernel"], BlockSparse)


def test_a_model_that_gets_slower_stays_dense(monkeypatch):
    """Whatever is predicted of each; with channels cut out it is compared with the smaller dense model."""
    model, variables = linen_net()
    blocks, channels, x = block_mask(variables["params"]), block_mask(variables["params"], dead=3), images()
    timed = []

    def seconds(contenders, rounds):
        timed.append(len(contenders))
        return [*speeds][: len(contenders)]

    monkeypatch.setattr("jaxticket.kernels.convert.time_model.least_seconds", seconds)
    for mask, speeds, how, form, measured in (
        (blocks, (4.0, 2.0), {}, "blocks 4x8", (4.0, 2.0)),
        (blocks, (1.0, 2.0), {}, "dense", (1.0, 1.0)),
        (channels, (4.0, 2.0, 1.0), {}, "dense", (4.0, 1.0)),
        (channels, (1.0, 2.0, 3.0), {}, "dense", (1.0, 1.0)),
        (channels, (), {"min_speedup": 0}, "blocks 4x8", None),
        (channels, (), {"check_speed": False}, "blocks 4x8", None),
    ):
        found = jt.sparsify(model, variables, mask, x, block=BLOCK, timings=IDEAL, **how)
        assert forms(found)["fc1"] == form
        assert found.report.measured == measured
        assert ("slower" in str(found.report.shrunk)) == (mask is channels and speeds[:1] == (1.0,))
        expected = masked_outputs(model.apply, variables, mask, x)
        np.testing.assert_allclose(jax.jit(found.apply)(found.variables, x), expected, atol=1e-5)
    assert timed == [2, 2, 3, 3]


def test_a_model_that_changes_is_refused():
    class Counting(nn.Module):
        calls = 0

        @nn.compact
        def __call__(self, x):
            Counting.calls += 1
            return Counting.calls * nn.Dense(8, name="fc")(x)

    x = jnp.ones((2, 16))
    variables = Counting().init(jax.random.key(0), x)
    mask = block_mask(variables["params"])
    with pytest.raises(MaskError, match="outputs of the sparse model differ"):
        jt.sparsify(Counting(), variables, mask, x, block=BLOCK, timings=IDEAL, check_speed=False)


def test_outputs_that_are_not_numbers_are_refused():
    x = jnp.ones((2, 16))
    variables = nn.Dense(8).init(jax.random.key(0), x)
    mask = block_mask(variables["params"])
    variables["params"]["bias"] = jnp.full(8, jnp.nan)
    with pytest.raises(MaskError, match="differ by nan of the largest"):
        jt.sparsify(nn.Dense(8), variables, mask, x, block=BLOCK, timings=IDEAL, check_speed=False)


def test_errors_name_what_is_wrong():
    model, variables = linen_net()
    mask = {"fc1/kernel": block_mask(variables["params"])["fc1/kernel"]}
    with pytest.raises(MaskError, match="got a function"):
        jt.sparsify(lambda x: x, variables, mask, images())
    with pytest.raises(MaskError, match="have 'params'"):
        jt.sparsify(model, variables["params"], mask, images())
    with pytest.raises(MaskError, match="min_speedup=-1"):
        jt.sparsify(model, variables, mask, images(), min_speedup=-1)
    with pytest.raises(MaskError, match="nowhere/kernel"):
        jt.sparsify(model, variables, {"nowhere/kernel": np.ones((2, 2), bool)}, images())
