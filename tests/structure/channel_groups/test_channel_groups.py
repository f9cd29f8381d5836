"""What keeps channels apart, what ties them and what keeps them from going, in small functions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxticket.structure import ChannelGroup, ChannelGroups, ChannelSlice
from jaxticket.structure.channel_groups.trace import channel_groups

pytestmark = [pytest.mark.feature("channel groups")]


def conv(kernel, x):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def abstract(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def places(group):
    """path:axis of all slices, with the width where it is more than one."""
    widths = ((part, part.index.shape[1]) for part in group.slices)
    return {f"{part.path}:{part.axis}" + (f"x{width}" if width > 1 else "") for part, width in widths}


def reason(fn, params, *inputs, path="kernel", axis=1):
    group = channel_groups(fn, params, *inputs).of(path, axis)
    assert group is not None
    return group.reason


def test_inputs_outputs_and_their_sums_stay():
    def fn(p, x):
        return x + jax.nn.relu(x @ p["first/kernel"] + p["first/bias"][None]) @ p["second/kernel"]

    params = {"first/kernel": abstract(4, 6), "first/bias": abstract(6), "second/kernel": abstract(6, 4)}
    groups = channel_groups(fn, params, abstract(2, 4))
    assert [places(group) for group in groups.prunable] == [{"first/kernel:1", "first/bias:0", "second/kernel:0"}]
    assert groups.of("first/kernel", 0).reason == "they are an axis of an input"
    assert groups.of("second/kernel", 1).reason == "they are an axis of an input"


def two_layers(between):
    """A function of a 4x6 kernel and a 6x3 kernel with something between."""
    return lambda p, x: between(x @ p["kernel"]) @ p["after"]


PARAMS = {"kernel": abstract(4, 6), "after": abstract(6, 3)}


@pytest.mark.parametrize(
    ("between", "message"),
    [
        (lambda x: jnp.fft.fft(x).real, "they go through fft, for which there is no rule"),
        (lambda x: jnp.sort(x, axis=-1), "sort runs over them, as in a normalisation or softmax"),
        (lambda x: jnp.cumsum(x, axis=-1), "cumsum runs over them, as in a normalisation or softmax"),
        (lambda x: x / x.sum(axis=-1, keepdims=True), "reduce_sum runs over them, as in a normalisation or softmax"),
        (jax.nn.softmax, "reduce_max runs over them, as in a normalisation or softmax"),
        (lambda x: x * np.ones((2, 6), np.float32), "a constant of shape (2, 6) meets them"),
        (lambda x: x * jnp.arange(6.0)[None], "their positions are numbered (iota)"),
        (lambda x: jnp.pad(x[:, :4], ((0, 0), (1, 1))), "a slice takes 4 of 6, no even part"),
        (lambda x: jnp.concatenate(jnp.split(x, [2], axis=1)[::-1], 1), "a split cuts them into parts of different"),
        (lambda x: jnp.pad(x, ((0, 0), (1, 1)))[:, 1:7], "they are padded"),
        (lambda x: x[:, np.array([0, 2, 1, 3, 5, 4])], "they are chosen by position"),
        (lambda x: jnp.concatenate([x, jnp.zeros((2, 3))], 1)[:, :6], "a constant is joined to them"),
        (lambda x: lax.fori_loop(0, 3, lambda _, y: jnp.tanh(y), x), "they go through scan, for which there"),
    ],
)
def test_channels_that_cannot_go_say_why(between, message):
    assert reason(two_layers(between), PARAMS, abstract(2, 4)).startswith(message)


@pytest.mark.parametrize(
    "between",
    [
        jax.nn.gelu,
        jax.checkpoint(jax.nn.relu),
        lambda x: jnp.where(x > 0, x, 0.1 * x),
        lambda x: x[:, ::-1],
        lambda x: jnp.repeat(x[:, None], 3, axis=1).max(axis=1),
        lambda x: x.reshape(2, 1, 2, 3)[:, 0].reshape(2, 6),
        lambda x: x.astype(jnp.bfloat16).astype(jnp.float32).clip(-1, 1),
        lambda x: lax.stop_gradient(x) * jax.random.uniform(jax.random.key(0), x.shape),
        lambda x: lax.dynamic_slice(x, (1, 0), (1, x.shape[1])),
    ],
)
def test_what_keeps_channels_apart(between):
    group = channel_groups(two_layers(between), PARAMS, abstract(2, 4)).of("kernel", 1)
    assert not group.reason
    assert {"kernel", "after"} == {part.path for part in group.slices}


def test_groups_of_a_convolution_lose_as_many_outputs():
    def fn(p, x):
        layout = ("NHWC", "HWIO", "NHWC")
        x = lax.conv_general_dilated(x, p["kernel"], (1, 1), "SAME", dimension_numbers=layout, feature_group_count=2)
        return conv(p["after"], x)

    params = {"kernel": abstract(3, 3, 1, 6), "after": abstract(1, 1, 6, 3)}
    assert channel_groups(fn, params, abstract(1, 4, 4, 2)).of("kernel", 3).reason == "they are an axis of an input"
    params["kernel"] = abstract(3, 3, 2, 6)
    (group,) = channel_groups(fn, params, abstract(1, 4, 4, 4)).prunable
    assert [part.index.tolist() for part in group.slices] == [[[0, 3], [1, 4], [2, 5]]] * 2


def test_a_shuffle_and_back():
    """What the first reshape ties is enough for the second, which splits off the other factor."""

    def between(x):
        x = x.reshape(2, 2, -1).swapaxes(1, 2).reshape(2, -1)
        return x.reshape(2, -1, 2).swapaxes(1, 2).reshape(2, -1)

    (group,) = channel_groups(two_layers(between), PARAMS, abstract(2, 4)).prunable
    assert [part.index.tolist() for part in group.slices] == [[[0, 3], [1, 4], [2, 5]]] * 2


def test_heads_that_are_flattened_keep_their_number():
    def fn(p, x):
        return jnp.einsum("nd,dhk->nhk", x, p["kernel"]).reshape(2, -1) @ p["after"]

    groups = channel_groups(fn, {"kernel": abstract(4, 2, 3), "after": abstract(6, 3)}, abstract(2, 4))
    (group,) = groups.prunable
    assert [part.index.tolist() for part in group.slices] == [[[0, 3], [1, 4], [2, 5]], [[0], [1], [2]]]
    assert groups.of("kernel", 1).reason == "a reshape joins them with another axis of channels"


def test_a_blur_keeps_channels_apart():
    """A depthwise convolution with a kernel that is no parameter, and is as wide as its input."""

    def fn(p, x):
        x = conv(p["kernel"], x)
        kernel = jnp.full((2, 2, 1, x.shape[-1]), 0.25)
        layout = ("NHWC", "HWIO", "NHWC")
        x = lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=layout, feature_group_count=x.shape[-1]
        )
        return conv(p["after"], x)

    params = {"kernel": abstract(3, 3, 2, 6), "after": abstract(1, 1, 6, 3)}
    (group,) = channel_groups(fn, params, abstract(1, 4, 4, 2)).prunable
    assert [(part.path, part.role) for part in group.slices] == [("after", "input"), ("kernel", "output")]


def test_layers_in_a_scan_cannot_shrink():
    def fn(p, x):
        x = x @ p["kernel"]
        return lax.scan(lambda x, w: (jax.nn.relu(x @ w), None), x, p["layers"])[0] @ p["after"]

    groups = channel_groups(fn, {**PARAMS, "layers": abstract(5, 6, 6)}, abstract(2, 4))
    assert not groups.prunable
    assert groups.of("kernel", 1).reason == "they go through scan, for which there is no rule"


@pytest.mark.parametrize(("scale", "prunable"), [(1.0, True), (0.123, True), (36**-0.5, False), (1 / 36, False)])
@pytest.mark.parametrize("where", ["query", "scores"])
def test_a_scale_computed_from_the_number_of_channels(scale, prunable, where):
    """Attention's 1/sqrt(d) changes when a feature goes, so queries and keys keep theirs."""

    def fn(p, x):
        query, key = x @ p["query"], x @ p["key"]
        return (query * scale) @ key.T if where == "query" else (query @ key.T) * scale

    group = channel_groups(fn, {"query": abstract(4, 36), "key": abstract(4, 36)}, abstract(7, 4)).of("query", 1)
    assert (not group.reason) == prunable
    assert prunable or "which depends on their number" in group.reason


def test_parts_of_a_split_lose_as_many_each():
    """A part that is pinned pins the other, and parts that are free are tied in order."""

    def fn(p, x):
        left, right = jnp.split(x @ p["kernel"], 2, axis=1)
        return (left if p["after"].shape[0] == 3 else jax.nn.softmax(left)) @ p["after"][:3], right @ p["other"]

    params = {**PARAMS, "other": abstract(3, 2)}
    group = channel_groups(fn, {**params, "after": abstract(3, 3)}, abstract(2, 4)).of("kernel", 1)
    assert not group.reason
    np.testing.assert_array_equal(group.slices[1].index, [[0, 3], [1, 4], [2, 5]])
    reasons = {group.reason for group in channel_groups(fn, params, abstract(2, 4)).all_of("kernel", 1)}
    assert "the other parts of a split cannot lose as many" in reasons
    assert "" not in reasons


def test_updated_statistics_pin_nothing():
    """An output at the path of a leaf is its new value."""

    def fn(variables, x):
        y = conv(variables["params"]["kernel"], x)
        mean = 0.9 * variables["batch_stats"]["mean"] + 0.1 * y.mean(axis=(0, 1, 2))
        y = jax.nn.relu(y - mean.reshape(1, 1, 1, -1)).mean(axis=(1, 2))
        return y @ variables["params"]["after"], {"batch_stats": {"mean": mean}}

    variables = {
        "params": {"kernel": abstract(3, 3, 2, 6), "after": abstract(6, 3)},
        "batch_stats": {"mean": abstract(6)},
    }
    (group,) = channel_groups(fn, variables, abstract(2, 4, 4, 2)).prunable
    assert places(group) == {"batch_stats/mean:0", "params/kernel:3", "params/after:0"}


def test_a_table_that_is_also_the_output_kernel():
    def fn(p, tokens):
        return jnp.tanh(p["table"][tokens]) @ p["table"].T

    groups = channel_groups(fn, {"table": abstract(9, 5)}, abstract(2, 3, dtype=jnp.int32))
    assert [(places(group), group.slices[0].role) for group in groups.prunable] == [({"table:1"}, "output")]
    assert groups.of("table", 0).reason == "they are chosen by position"


def test_unused_leaves_and_windows_are_in_no_group():
    params = {"kernel": abstract(3, 3, 2, 6), "unused": abstract(7, 7)}
    groups = channel_groups(lambda p, x: conv(p["kernel"], x), params, abstract(1, 4, 4, 2))
    assert groups.of("unused", 1) is None
    assert groups.of("kernel", 0) is None


def test_table_of_groups():
    part = ChannelSlice("conv/kernel", 3, np.arange(4).reshape(2, 2), "output")
    groups = ChannelGroups(
        (ChannelGroup(2, (part,)), ChannelGroup(2, (dataclasses.replace(part, path="head"),), "they stay"))
    )
    assert str(groups).splitlines() == [
        "group  leaf         axis  role    channels  not prunable because",
        "0      conv/kernel  3     output  2 x 2",
        "1      head         3     output  2 x 2     they stay",
    ]
    assert groups.prunable == groups.groups[:1]
