"""Groups of plain JAX networks, and the property that makes them groups: a channel of them can go.

The networks compute their sizes from the shapes of their parameters, so that smaller ones run too.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxticket.core import paths
from jaxticket.structure.channel_groups.trace import channel_groups

pytestmark = [pytest.mark.feature("channel groups")]

NHWC = ("NHWC", "HWIO", "NHWC")


def arrays(shapes, seed=0):
    """A nested dictionary of float32 arrays of the given shapes, uniform in [0.05, 0.5)."""
    generator = np.random.default_rng(seed)
    is_shape = lambda leaf: isinstance(leaf, tuple)  # noqa: E731
    return jax.tree.map(lambda shape: generator.uniform(0.05, 0.5, shape).astype(np.float32), shapes, is_leaf=is_shape)


def dense(p, x):
    return x @ p["kernel"] + jnp.broadcast_to(p["bias"], (*x.shape[:-1], p["bias"].shape[0]))


def conv(kernel, x, stride=1, groups=1):
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=NHWC, feature_group_count=groups
    )


def scaled(x, scale, bias):
    return x * scale.reshape(1, 1, 1, -1) + bias.reshape(1, 1, 1, -1)


def unet(p, x):
    """Down by a stride, up by a transposed convolution, and the skipped image joined to it."""
    first = jax.nn.relu(conv(p["first"], x))
    down = jax.nn.relu(conv(p["down"], first, 2))
    up = jax.nn.relu(lax.conv_transpose(down, p["up"], (2, 2), "SAME", dimension_numbers=NHWC))
    joined = jax.nn.relu(conv(p["join"], jnp.concatenate([first, up], -1)))
    return conv(p["out"], joined)


UNET = {
    "first": (3, 3, 2, 4), "down": (3, 3, 4, 5), "up": (2, 2, 5, 3), "join": (3, 3, 7, 6), "out": (1, 1, 6, 2),
}  # fmt: skip


def mixer(p, x):
    """Two-layer perceptrons over the tokens and over the features by turns, each added to its input."""
    x = dense(p["embed"], x)
    x = x + (jax.nn.gelu(x.swapaxes(1, 2) @ p["token1"]) @ p["token2"]).swapaxes(1, 2)
    x = x + dense(p["feature2"], jax.nn.gelu(dense(p["feature1"], x)))
    return dense(p["head"], x.mean(axis=1))


def _dense(inputs, outputs):
    return {"kernel": (inputs, outputs), "bias": (outputs,)}


MIXER = {
    "embed": _dense(3, 5), "token1": (6, 4), "token2": (4, 6), "feature1": _dense(5, 7),
    "feature2": _dense(7, 5), "head": _dense(5, 2),
}  # fmt: skip


def squeeze(p, x):
    """Inverted bottleneck with squeeze and excitation: depthwise with two outputs per input, gates, projection."""
    x = jax.nn.relu(scaled(conv(p["expand"], x), p["scale"], p["bias"]))
    x = jax.nn.relu(conv(p["depthwise"], x, groups=x.shape[-1]))
    gates = jax.nn.sigmoid(dense(p["excite"], jax.nn.relu(dense(p["reduce"], x.mean(axis=(1, 2))))))
    x = x * gates[:, None, None, :]
    return conv(p["project"], x)


SQUEEZE = {
    "expand": (1, 1, 2, 4), "scale": (4,), "bias": (4,), "depthwise": (3, 3, 1, 8), "reduce": _dense(8, 3),
    "excite": _dense(3, 8), "project": (1, 1, 8, 2),
}  # fmt: skip


def attention(p, x):
    """Kernels with an axis of heads and one of features."""
    query, key, value = (jnp.einsum("bnd,dhk->bnhk", x, p[name]) for name in ("query", "key", "value"))
    weights = jax.nn.softmax(jnp.einsum("bqhk,bnhk->bhqn", query / jnp.sqrt(query.shape[-1]), key))
    return jnp.einsum("bhqn,bnhk,hkd->bqd", weights, value, p["out"])


ATTENTION = {"query": (4, 3, 5), "key": (4, 3, 5), "value": (4, 3, 6), "out": (3, 6, 4)}


def shared_attention(p, x):
    """Several heads of queries read one of keys and values."""
    query, key, value = (jnp.einsum("bnd,dhk->bnhk", x, p[name]) for name in ("query", "key", "value"))
    key, value = (jnp.repeat(part, query.shape[2] // part.shape[2], axis=2) for part in (key, value))
    weights = jax.nn.softmax(jnp.einsum("bqhk,bnhk->bhqn", query / jnp.sqrt(query.shape[-1]), key))
    return jnp.einsum("bhqn,bnhk,hkd->bqd", weights, value, p["out"])


SHARED = {"query": (4, 6, 3), "key": (4, 2, 3), "value": (4, 2, 3), "out": (6, 3, 4)}


def recurrent(p, x):
    """A state that is read and made by one kernel."""
    state = jnp.zeros((x.shape[0], p["state"].shape[0]))
    for step in range(x.shape[1]):
        state = jnp.tanh(x[:, step] @ p["input"] + state @ p["state"])
    return state @ p["out"]


RECURRENT = {"input": (4, 6), "state": (6, 6), "out": (6, 2)}


def fused_attention(p, x, heads=2):
    """One kernel for queries, keys and values; the scores are not scaled."""
    query, key, value = jnp.split(x @ p["qkv"], 3, axis=-1)
    query, key, value = (part.reshape(*part.shape[:2], heads, -1) for part in (query, key, value))
    weights = jax.nn.softmax(0.01 * jnp.einsum("bqhk,bnhk->bhqn", query, key))
    mixed = jnp.einsum("bhqn,bnhk->bqhk", weights, value)
    return mixed.reshape(*x.shape[:2], -1) @ p["out"]


FUSED = {"qkv": (4, 3 * 2 * 5), "out": (2 * 5, 4)}


def embedding(p, tokens):
    """The mean of looked-up features, and a gated layer."""
    x = jnp.take(p["table"], tokens, axis=0).mean(axis=1)
    left, right = jnp.split(dense(p["gated"], x), 2, axis=-1)
    return dense(p["head"], left * jax.nn.sigmoid(right))


EMBEDDING = {"table": (9, 5), "gated": _dense(5, 8), "head": _dense(4, 2)}


def shuffled(p, x):
    """Two grouped convolutions with a shuffle between, then halves of which one is transformed; flattened last."""
    x = jax.nn.relu(conv(p["stem"], x))
    x = jax.nn.relu(conv(p["grouped1"], x, groups=2))
    x = x.reshape(*x.shape[:-1], 2, -1).swapaxes(-1, -2).reshape(x.shape)
    x = jax.nn.relu(conv(p["grouped2"], x, groups=2))
    first, second = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    x = jnp.concatenate([first, jax.nn.relu(conv(p["half"], second))], -1)
    return dense(p["head"], x.reshape(x.shape[0], -1))


SHUFFLED = {
    "stem": (3, 3, 2, 6), "grouped1": (3, 3, 3, 8), "grouped2": (1, 1, 4, 8), "half": (1, 1, 4, 5),
    "head": _dense(4 * 4 * 9, 2),
}  # fmt: skip

IMAGE, TOKENS = (2, 4, 4, 2), (2, 6, 4)

# name -> function, shapes of its parameters, shape of its input
NETWORKS = {
    "unet": (unet, UNET, IMAGE),
    "mixer": (mixer, MIXER, (2, 6, 3)),
    "squeeze": (squeeze, SQUEEZE, IMAGE),
    "attention": (attention, ATTENTION, TOKENS),
    "shared_attention": (shared_attention, SHARED, TOKENS),
    "recurrent": (recurrent, RECURRENT, TOKENS),
    "fused_attention": (fused_attention, FUSED, TOKENS),
    "embedding": (embedding, EMBEDDING, (2, 3)),
    "shuffled": (shuffled, SHUFFLED, IMAGE),
}


def network(name):
    """The function, its parameters and an input."""
    fn, shapes, shape = NETWORKS[name]
    generator = np.random.default_rng(1)
    if name == "embedding":
        return fn, arrays(shapes), generator.integers(0, 9, shape).astype(np.int32)
    return fn, arrays(shapes), generator.uniform(-1, 1, shape).astype(np.float32)


def without(params, group, channel, zero=False):
    """The parameters without a channel of a group, or with zeros where it is."""
    changed = {path: np.array(leaf) for path, leaf in paths.leaves(params).items()}
    for part in group.slices:
        gone = part.index[channel]
        if zero and part.role != "input":
            np.moveaxis(changed[part.path], part.axis, 0)[gone] = 0
        elif not zero:
            changed[part.path] = np.delete(changed[part.path], gone, part.axis)
    return paths.nest(changed)


def places(group):
    """path:axis of all slices, with the width where it is more than one."""
    widths = ((part, part.index.shape[1]) for part in group.slices)
    return {f"{part.path}:{part.axis}" + (f"x{width}" if width > 1 else "") for part, width in widths}


@pytest.mark.parametrize("name", NETWORKS)
def test_any_channel_of_a_prunable_group_can_go(name):
    """The function runs without it, and gives what it gave with the channel's kernels and vectors at zero."""
    fn, params, x = network(name)
    jitted = jax.jit(fn)
    shape = jitted(params, x).shape
    groups = channel_groups(fn, params, x)
    assert groups.prunable
    for group in groups.prunable:
        for channel in range(group.size):
            assert jax.eval_shape(fn, without(params, group, channel), x).shape == shape
        channel = group.size // 2
        expected = jitted(without(params, group, channel, zero=True), x)
        np.testing.assert_allclose(jitted(without(params, group, channel), x), expected, rtol=1e-5, atol=1e-5)
        assert not np.allclose(expected, jitted(params, x), rtol=1e-3), "the channel does nothing"


EXPECTED = {
    "unet": [({"first:3", "down:2", "join:2"}, 4), ({"down:3", "up:2"}, 5), ({"up:3", "join:2"}, 3),
             ({"join:3", "out:2"}, 6)],
    "mixer": [({"embed/kernel:1", "embed/bias:0", "feature1/kernel:0", "feature2/kernel:1", "feature2/bias:0",
                "head/kernel:0"}, 5),
              ({"feature1/kernel:1", "feature1/bias:0", "feature2/kernel:0"}, 7),
              ({"token1:1", "token2:0"}, 4)],
    "squeeze": [({"expand:3", "scale:0", "bias:0", "depthwise:3x2", "reduce/kernel:0x2", "excite/kernel:1x2",
                  "excite/bias:0x2", "project:2x2"}, 4),
                ({"reduce/kernel:1", "reduce/bias:0", "excite/kernel:0"}, 3)],
    "attention": [({"query:1", "key:1", "value:1", "out:0"}, 3), ({"value:2", "out:1"}, 6)],
    "shared_attention": [({"query:1x3", "key:1", "value:1", "out:0x3"}, 2), ({"value:2", "out:1"}, 3)],
    "recurrent": [({"input:1", "state:0", "state:1", "out:0"}, 6)],
    "fused_attention": [({"qkv:1x6", "out:0x2"}, 5)],
    "embedding": [({"gated/kernel:1x2", "gated/bias:0x2", "head/kernel:0"}, 4), ({"table:1", "gated/kernel:0"}, 5)],
    "shuffled": [({"stem:3x2", "grouped1:2"}, 3), ({"grouped1:3x4", "grouped2:2x2"}, 2),
                 ({"grouped2:3x2", "half:2", "head/kernel:0x16"}, 4), ({"half:3", "head/kernel:0x16"}, 5)],
}  # fmt: skip


def sorted_places(expected):
    return sorted(expected[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_groups_of_a_network(name):
    fn, params, x = network(name)
    found = [(places(group), group.size) for group in channel_groups(fn, params, x).prunable]
    assert sorted(found, key=sorted_places) == sorted(EXPECTED[name], key=sorted_places)


def test_positions_behind_a_concatenation_and_a_flatten():
    fn, params, x = network("unet")
    of_up = channel_groups(fn, params, x).all_of("join", 2)[1]
    assert [part.index.ravel().tolist() for part in of_up.slices] == [[4, 5, 6], [0, 1, 2]]
    fn, params, x = network("shuffled")
    head = channel_groups(fn, params, x).all_of("head/kernel", 0)[1]
    part = next(part for part in head.slices if part.path == "head/kernel")
    np.testing.assert_array_equal(part.index, 4 + np.arange(5)[:, None] + 9 * np.arange(16))


def test_roles():
    fn, params, x = network("squeeze")
    groups = channel_groups(fn, params, x)
    roles = {(part.path, part.axis): part.role for group in groups.groups for part in group.slices}
    vectors = {"scale", "bias", "reduce/bias", "excite/bias"}
    assert {path for (path, _), role in roles.items() if role == "vector"} == vectors
    assert {place for place, role in roles.items() if role == "input"} == {
        ("expand", 2), ("reduce/kernel", 0), ("excite/kernel", 0), ("project", 2)
    }  # fmt: skip


def test_result_does_not_depend_on_order_of_tree():
    fn, params, x = network("squeeze")
    turned = dict(reversed(params.items()))
    assert str(channel_groups(fn, params, x)) == str(channel_groups(fn, turned, x))
