"""Masked channels are cut out and nothing else changes; what cannot go stays, and the report says why."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

import jaxticket as jt
from jaxticket.core import paths
from jaxticket.core.errors import MaskError
from jaxticket.structure import fit_nnx

pytestmark = [pytest.mark.feature("smaller networks (shrink)")]

IMAGE = (2, 8, 8, 3)


def x_of(shape=IMAGE):
    return jnp.asarray(np.random.default_rng(7).standard_normal(shape, np.float32))


def random_like(tree, seed=0):
    """Kernels and all vectors random, none of them zero; variances above zero."""
    rng = np.random.default_rng(seed)

    def leaf(path, a):
        positive = path.endswith(("var", "scale"))
        values = rng.uniform(0.5, 1.5, a.shape) if positive else rng.standard_normal(a.shape) * 0.5
        return jnp.asarray(values.astype(np.float32))

    return paths.replace(tree, {path: leaf(path, a) for path, a in paths.leaves(tree).items()})


def masked_out(tree, **channels):
    """A mask with False at the channels of each leaf's last axis; keys are paths with `__` for a slash."""
    mask = {}
    for name, out in channels.items():
        path = name.replace("__", "/")
        mask[path] = np.ones(paths.leaves(tree)[path].shape, bool)
        mask[path][..., out] = False
    return mask


def assert_same(fn, shrunk, x, **how):
    expected, found = fn(shrunk.masked, x, **how), jax.jit(shrunk.apply)(shrunk.params, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def shape(tree, path):
    return paths.leaves(tree)[path].shape


def mlp(params, x):
    x = jax.nn.relu(x @ params["fc1"]["kernel"] + params["fc1"]["bias"][None])
    return x @ params["fc2"]["kernel"] + params["fc2"]["bias"][None]


def mlp_params(sizes=(5, 6, 4)):
    first, hidden, last = sizes
    return random_like({
        "fc1": {"kernel": jnp.zeros((first, hidden)), "bias": jnp.zeros(hidden)},
        "fc2": {"kernel": jnp.zeros((hidden, last)), "bias": jnp.zeros(last)},
    })  # fmt: skip


def test_plain_function_folds_constant_of_lost_channel():
    params, x = mlp_params(), x_of((3, 5))
    params["fc1"]["bias"] = params["fc1"]["bias"].at[1].set(0.7)
    mask = masked_out(params, fc1__kernel=[1, 4])
    constant = np.maximum(params["fc1"]["bias"][np.array([1, 4])], 0)
    shrunk = jt.shrink(mlp, params, mask, jax.ShapeDtypeStruct((1, 5), jnp.float32))
    assert [shape(shrunk.params, path) for path in ("fc1/kernel", "fc1/bias", "fc2/kernel")] == [(5, 4), (4,), (4, 4)]
    folded = params["fc2"]["bias"] + constant @ params["fc2"]["kernel"][np.array([1, 4])]
    np.testing.assert_allclose(shrunk.params["fc2"]["bias"], folded, rtol=1e-6)
    assert_same(mlp, shrunk, x)
    assert shrunk.report.parameters == (5 * 6 + 6 + 6 * 4 + 4, 5 * 4 + 4 + 4 * 4 + 4)
    assert shrunk.report.macs == (5 * 6 + 6 * 4, 5 * 4 + 4 * 4)
    assert shrunk.report.shapes["fc1/kernel"] == ((5, 6), (5, 4))
    assert "fc1/kernel: 6 -> 4 channels" in str(shrunk.report)
    gradient = jax.grad(lambda params: shrunk.apply(params, x).sum())(shrunk.params)
    assert gradient["fc1"]["kernel"].shape == (5, 4)


def test_without_bias_constant_stays_and_is_reported():
    def fn(params, x):
        return jax.nn.relu(x @ params["fc1"]["kernel"] + params["fc1"]["bias"][None]) @ params["fc2"]["kernel"]

    params = mlp_params()
    params["fc1"]["bias"] = jnp.asarray([-1.0, 1.0, 1.0, 1.0, 1.0, -1.0])  # behind the ReLU: 0 and 1
    shrunk = jt.shrink(fn, params, masked_out(params, fc1__kernel=[0, 1]), x_of((1, 5)))
    (group,) = shrunk.report.groups
    assert (group.after, group.kept) == (
        5,
        {"it gives a constant to a sum behind which there is no bias of its own": 1},
    )
    assert "1 stay: it gives a constant to a sum" in str(shrunk.report)
    assert_same(fn, shrunk, x_of((3, 5)))


def test_constant_of_two_removals_is_folded_once():
    def fn(params, x):
        x = jnp.tanh(jnp.einsum("bi,ihd->bhd", x, params["split"]["kernel"]) + params["split"]["bias"][None])
        return jnp.einsum("bhd,hdo->bo", x, params["join"]["kernel"]) + params["join"]["bias"][None]

    params = random_like({
        "split": {"kernel": jnp.zeros((5, 3, 4)), "bias": jnp.zeros((3, 4))},
        "join": {"kernel": jnp.zeros((3, 4, 2)), "bias": jnp.zeros(2)},
    })  # fmt: skip
    mask = masked_out(params, split__kernel=[2])
    mask["split/kernel"][:, 1] = False
    shrunk = jt.shrink(fn, params, mask, x_of((1, 5)))
    assert shape(shrunk.params, "join/kernel") == (2, 3, 2)
    assert_same(fn, shrunk, x_of((3, 5)))


def test_weights_zero_by_chance_are_no_channel():
    params = mlp_params()
    params["fc1"]["kernel"] = params["fc1"]["kernel"].at[:, 2].set(0)
    mask = masked_out(params, fc1__kernel=[3])
    mask["fc1/kernel"][0, 2] = False
    assert shape(jt.shrink(mlp, params, mask, x_of((1, 5))).params, "fc1/kernel") == (5, 5)


def test_scale_that_starts_from_zero_is_unmasked():
    def fn(params, x):
        x = (x @ params["stem"]) * params["norm1"]["scale"][None]
        y = (x @ params["outer"]) * params["norm2"]["scale"][None]
        return (x + y) @ params["head"]

    shapes = {"stem": (5, 6), "outer": (6, 6), "head": (6, 2)}
    params = random_like({name: jnp.zeros(size) for name, size in shapes.items()})
    params["norm1"], params["norm2"] = {"scale": jnp.ones(6)}, {"scale": jnp.zeros(6)}
    mask = masked_out(params, norm1__scale=[0, 1])
    assert shape(jt.shrink(fn, params, mask, x_of((1, 5))).params, "stem") == (5, 6)
    mask |= masked_out(params, norm2__scale=[1])
    assert shape(jt.shrink(fn, params, mask, x_of((1, 5))).params, "stem") == (5, 5)


def test_one_channel_of_a_group_stays():
    params = mlp_params()
    shrunk = jt.shrink(mlp, params, masked_out(params, fc1__kernel=range(6)), x_of((1, 5)))
    assert shape(shrunk.params, "fc1/kernel") == (5, 1)
    assert shrunk.report.groups[0].kept == {"one channel has to stay": 1}
    assert_same(mlp, shrunk, x_of((3, 5)))


class ConvNorm(nn.Module):
    """Two convolutions, the first with normalisation; the padding of the second decides what is constant."""

    padding: str = "SAME"
    activation: str = "relu"

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(6, (3, 3), use_bias=False, name="conv1")(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, name="bn1")(x)
        x = {"relu": jax.nn.relu, "tanh": jnp.tanh}[self.activation](x)
        x = nn.Conv(4, (3, 3), use_bias=False, padding=self.padding, name="conv2")(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, name="bn2")(x)
        return nn.Dense(3, name="head")(x.mean(axis=(1, 2)))


def conv_norm(**how):
    model = ConvNorm(**how)
    variables = random_like(jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(IMAGE)))
    return variables, lambda variables, x, **how: model.apply(variables, x, **how)


def test_borders_a_constant_channel_before_zero_padding_stays():
    variables, fn = conv_norm(activation="tanh")
    mask = masked_out(variables["params"], conv1__kernel=[0, 3])  # without the leading params/
    shrunk = jt.shrink(fn, variables, mask, x_of())
    assert shape(shrunk.params, "params/conv1/kernel")[-1] == 6
    assert list(shrunk.report.groups[0].kept.values()) == [2]
    assert "padded at the borders" in next(iter(shrunk.report.groups[0].kept))
    assert_same(fn, shrunk, x_of())


def test_without_padding_running_mean_behind_reader_takes_constant():
    variables, fn = conv_norm(padding="VALID", activation="tanh")
    shrunk = jt.shrink(fn, variables, masked_out(variables, params__conv1__kernel=[0, 3]), x_of())
    assert shape(shrunk.params, "params/conv1/kernel") == (3, 3, 3, 4)
    assert shape(shrunk.params, "params/conv2/kernel") == (3, 3, 4, 4)
    assert shape(shrunk.params, "batch_stats/bn1/mean") == (4,)
    mean = "batch_stats/bn2/mean"
    assert np.abs(paths.leaves(shrunk.params)[mean] - paths.leaves(variables)[mean]).min() > 1e-3
    assert_same(fn, shrunk, x_of())


@pytest.mark.parametrize(("statistics", "constant"), [((0.0, 0.0), 0.25), ((0.4, 0.9), -0.2981)])
def test_t24_dead_channel(statistics, constant):
    """T24, dead channel: .25 or -.2981 everywhere behind BN; with mask_bn both are 0, slim and masked agree."""

    def fn(variables, x):
        params, stats = variables["params"], variables["batch_stats"]
        x = jax.lax.conv_general_dilated(
            x, params["conv"]["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        normal = (x - stats["bn"]["mean"]) * jax.lax.rsqrt(stats["bn"]["var"] + 1e-5) * params["bn"]["scale"]
        x = normal + params["bn"]["bias"]
        return (x, x @ params["head"]["kernel"])[how_deep]

    variables = random_like({
        "params": {
            "conv": {"kernel": jnp.zeros((3, 3, 3, 4))},
            "bn": {"scale": jnp.zeros(4), "bias": jnp.zeros(4)},
            "head": {"kernel": jnp.zeros((4, 2))},
        },
        "batch_stats": {"bn": {"mean": jnp.zeros(4), "var": jnp.zeros(4)}},
    })  # fmt: skip
    stale = {"mean": statistics[0], "var": statistics[1]}
    for leaf in (variables["params"]["bn"], variables["batch_stats"]["bn"]):
        for name in leaf:
            leaf[name] = leaf[name].at[2].set({"scale": 1.3, "bias": 0.25, **stale}[name])
    mask = masked_out(variables, params__conv__kernel=[2])
    with jax.numpy_rank_promotion("allow"):
        how_deep = 0
        behind = fn(jt.apply_mask(variables, mask), x_of())[..., 2]
        np.testing.assert_allclose(behind, constant, atol=5e-5)
        how_deep = 1  # the head has no bias, so that the constant stays without mask_bn
        assert shape(jt.shrink(fn, variables, mask, x_of()).params, "params/conv/kernel")[-1] == 4
        shrunk = jt.shrink(fn, variables, mask, x_of(), mask_bn=True)
        assert shape(shrunk.params, "params/conv/kernel")[-1] == 3
        how_deep = 0
        assert not fn(shrunk.masked, x_of())[..., 2].any()
        how_deep = 1
        assert_same(fn, shrunk, x_of())


def test_mask_of_scales_drops_scale_bias_and_channel():
    variables, fn = conv_norm()
    scores = jt.bn_scale(variables, {"params/bn1/scale": np.ones(6, bool)})
    mask = jt.prune({"params/bn1/scale": np.ones(6, bool)}, scores, sparsity=0.5)
    shrunk = jt.shrink(fn, variables, mask, x_of())
    assert not paths.leaves(shrunk.masked)["params/bn1/bias"][~np.asarray(mask["params/bn1/scale"])].any()
    assert shape(shrunk.params, "params/bn1/scale") == (3,)
    assert shape(shrunk.params, "params/conv1/kernel") == (3, 3, 3, 3)
    assert_same(fn, shrunk, x_of())


def test_the_smaller_network_trains_and_updates_its_statistics():
    variables, fn = conv_norm()
    mask = masked_out(variables, params__conv1__kernel=[1, 2], params__bn1__scale=[1, 2], params__bn1__bias=[1, 2])
    shrunk = jt.shrink(fn, variables, mask, x_of())
    step = jax.jit(lambda variables, x: shrunk.apply(variables, x, train=True, mutable=["batch_stats"]))
    logits, new = step(shrunk.params, x_of())
    expected, full = fn(shrunk.masked, x_of(), train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
    left = full["batch_stats"]["bn1"]["mean"][jnp.array([0, 3, 4, 5])]
    np.testing.assert_allclose(new["batch_stats"]["bn1"]["mean"], left, atol=1e-5)


def test_skip_keeps_its_channel_and_report_names_it():
    def fn(params, x):
        x = x @ params["stem"]
        y = jax.nn.relu(x @ params["inner"]) @ params["outer"]
        return (x + y) @ params["head"]

    shapes = {"stem": (5, 6), "inner": (6, 7), "outer": (7, 6), "head": (6, 2)}
    params = random_like({name: jnp.zeros(size) for name, size in shapes.items()})
    shrunk = jt.shrink(fn, params, masked_out(params, outer=[0, 1], stem=[1]), x_of((1, 5)))
    assert {name: leaf.shape for name, leaf in shrunk.params.items()} == {
        "stem": (5, 5), "inner": (5, 7), "outer": (7, 5), "head": (5, 2)
    }  # fmt: skip
    kept = next(group.kept for group in shrunk.report.groups if group.path == "outer")
    assert kept == {"stem makes it too and is not masked": 1}
    assert_same(fn, shrunk, x_of((3, 5)))


class EveryLayer(nn.Module):
    """Layers whose declared sizes have to give way: depthwise, transposed, heads, a parameter of its own."""

    @nn.compact
    def __call__(self, x):
        x = jax.nn.relu(nn.Conv(8, (1, 1), name="expand")(x))
        x = jax.nn.relu(nn.Conv(8, (3, 3), feature_group_count=8, name="depthwise")(x))
        x = nn.Conv(6, (3, 3), strides=2, padding="VALID", name="strided")(x)
        x = x + self.param("offset", nn.initializers.ones, (1, 1, 1, 6))
        x = jax.nn.relu(nn.ConvTranspose(4, (2, 2), strides=(2, 2), name="up")(x))
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        x = nn.MultiHeadDotProductAttention(2, qkv_features=8, out_features=5, name="attend")(x)
        return nn.DenseGeneral((2, 3), axis=(1, 2), name="head")(x)


def test_linen_layers_take_the_stored_sizes():
    model = EveryLayer()
    variables = random_like(jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(IMAGE)))
    pruned = jt.prune_channels(model.apply, variables, x_of(), ratio=0.4)
    shrunk = jt.shrink(model.apply, variables, pruned.mask, x_of())
    changed = {path.split("/")[1] for path in shrunk.report.shapes}
    assert changed == {"expand", "depthwise", "strided", "offset", "up", "attend", "head"}
    assert shrunk.report.parameters == pruned.parameters
    assert shrunk.report.macs == pruned.macs
    assert_same(model.apply, shrunk, x_of())


class Small(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.bn = nnx.BatchNorm(8, rngs=rngs)
        self.depthwise = nnx.Conv(8, 8, (3, 3), feature_group_count=8, rngs=rngs)
        self.head = nnx.LinearGeneral(8, (2, 2), rngs=rngs)

    def __call__(self, x):
        x = jax.nn.relu(self.depthwise(jax.nn.relu(self.bn(self.conv(x)))))
        return self.head(x.mean(axis=(1, 2)))


def test_nnx_models_with_statistics():
    model = Small(nnx.Rngs(0))
    model.eval()
    graph, state = nnx.split(model)
    state = random_like(state)

    def fn(state, x):
        return fit_nnx(nnx.merge(graph, state))(x)

    pruned = jt.prune_channels(fn, state, x_of(), parameters=0.5)
    shrunk = jt.shrink(fn, state, pruned.mask, x_of())
    assert shrunk.report.parameters == pruned.parameters
    assert shape(shrunk.params, "depthwise/kernel")[-1] == shape(shrunk.params, "bn/mean")[0] < 8
    assert_same(fn, shrunk, x_of())


def test_sizes_as_numbers_are_refused_in_one_line():
    def with_numbers(params, x):
        return jnp.tanh(x @ params["a"]).reshape(x.shape[0], 6) @ params["b"]

    params = random_like({"a": jnp.zeros((5, 6)), "b": jnp.zeros((6, 2))})
    with pytest.raises(MaskError, match=r"does not run with fewer channels .*; compute sizes from the arrays"):
        jt.shrink(with_numbers, params, masked_out(params, a=[0]), x_of((3, 5)))


def test_misfit_and_traced_masks_are_refused():
    params = mlp_params()
    with pytest.raises(MaskError, match="no such leaf"):
        jt.shrink(mlp, params, {"fc9/kernel": np.ones((5, 6), bool)}, x_of((1, 5)))
    with pytest.raises(MaskError, match="'fc1/bias' is abstract"):
        jt.shrink(mlp, jax.eval_shape(lambda: params), masked_out(params, fc1__kernel=[0]), x_of((1, 5)))
    with pytest.raises(MaskError, match="call shrink outside of jit"):
        jax.jit(lambda params: jt.shrink(mlp, params, masked_out(params, fc1__kernel=[0]), x_of((1, 5))).params)(params)
