"""Budgets are met within a channel, by the lowest scores, and shrink leaves exactly what was counted."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxticket as jt
from jaxticket.core.errors import MaskError

pytestmark = [pytest.mark.feature("smaller networks (shrink)")]

X = jax.ShapeDtypeStruct((1, 6, 6, 3), jnp.float32)


def net(params, x):
    """Two convolutions and a classifier behind a flatten, so that a channel is 36 inputs wide."""
    for name in ("conv1", "conv2"):
        x = jax.lax.conv_general_dilated(
            x, params[name]["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x + params[name]["bias"][None, None, None])
    return x.reshape(x.shape[0], -1) @ params["head"]["kernel"]


def net_params():
    rng = np.random.default_rng(0)
    shapes = {"conv1": (3, 3, 3, 8), "conv2": (3, 3, 8, 10), "head": (360, 4)}
    params = {name: {"kernel": jnp.asarray(rng.standard_normal(size, np.float32))} for name, size in shapes.items()}
    params["conv1"]["bias"], params["conv2"]["bias"] = jnp.ones(8), jnp.ones(10)
    return params


PARAMS = net_params()
WHOLE = {"parameters": 216 + 8 + 720 + 10 + 1440, "macs": 36 * (216 + 720) + 1440}


def cost(conv1, conv2):
    parameters = 27 * conv1 + conv1 + 9 * conv1 * conv2 + conv2 + 144 * conv2
    return {"parameters": parameters, "macs": 36 * (27 * conv1 + 9 * conv1 * conv2) + 144 * conv2}


@settings(max_examples=25, deadline=None)
@given(what=st.sampled_from(["parameters", "macs"]), share=st.floats(0.1, 1.0), as_number=st.booleans())
def test_budgets_are_met_within_one_channel(what, share, as_number):
    limit = int(share * WHOLE[what]) if as_number else share * WHOLE[what]
    pruned = jt.prune_channels(net, PARAMS, X, **{what: limit if as_number else share})
    left = [pruned.channels[path][1] for path in ("conv1/kernel", "conv2/kernel")]
    assert getattr(pruned, what) == (WHOLE[what], cost(*left)[what])
    assert cost(*left)[what] <= limit
    one_more = [cost(left[0] + 1, left[1])[what], cost(left[0], left[1] + 1)[what]]
    assert left == [8, 10] or limit < max(one_more)


@pytest.mark.parametrize("budget", [{"parameters": 0.5}, {"macs": 9_000}, {"ratio": 0.5}], ids=str)
def test_shrink_leaves_what_was_counted(budget):
    pruned = jt.prune_channels(net, PARAMS, X, **budget)
    shrunk = jt.shrink(net, PARAMS, pruned.mask, X)
    assert (shrunk.report.parameters, shrunk.report.macs) == (pruned.parameters, pruned.macs)
    assert {group.path: (group.before, group.after) for group in shrunk.report.groups} == pruned.channels
    x = jnp.asarray(np.random.default_rng(1).standard_normal((3, *X.shape[1:]), np.float32))
    np.testing.assert_allclose(shrunk.apply(shrunk.params, x), net(shrunk.masked, x), rtol=1e-5, atol=1e-4)
    assert re.search(r"conv1/kernel: 8 -> \d channels", str(pruned))


KERNEL = {name: np.abs(np.asarray(PARAMS[name]["kernel"], np.float64)) for name in ("conv1", "conv2")}
EXPECTED = {
    "magnitude": {name: kernel.mean((0, 1, 2)) for name, kernel in KERNEL.items()},
    "l1": {name: kernel.sum((0, 1, 2)) for name, kernel in KERNEL.items()},
    "l2": {name: np.sqrt((kernel**2).sum((0, 1, 2))) for name, kernel in KERNEL.items()},
}


@pytest.mark.parametrize("how", ["magnitude", "l1", "l2", "function", "scores"])
def test_the_lowest_scores_go(how):
    scores = {"function": jt.magnitude, "scores": jt.magnitude(PARAMS, jt.full_mask(PARAMS))}.get(how, how)
    mask = jt.prune_channels(net, PARAMS, X, scores=scores, ratio=1 / 3).mask
    of_channel = EXPECTED.get(how, EXPECTED["magnitude"])
    all_scores = np.concatenate([of_channel["conv1"], of_channel["conv2"]])
    kept = np.concatenate([np.asarray(mask[f"{name}/bias"]) for name in ("conv1", "conv2")])
    assert (~kept).sum() == 6
    assert all_scores[~kept].max() < all_scores[kept].min()
    for name in ("conv1", "conv2"):
        assert (np.asarray(mask[f"{name}/kernel"]) == np.asarray(mask[f"{name}/bias"])).all()
    assert set(mask) == {f"{name}/{leaf}" for name in ("conv1", "conv2") for leaf in ("kernel", "bias")}


def test_every_group_keeps_its_least_number_of_channels():
    pruned = jt.prune_channels(net, PARAMS, X, parameters=cost(3, 3)["parameters"], min_channels=3)
    assert pruned.channels == {"conv1/kernel": (8, 3), "conv2/kernel": (10, 3)}
    best = np.sort(np.argsort(EXPECTED["magnitude"]["conv1"])[-3:])
    assert np.nonzero(np.asarray(pruned.mask["conv1/bias"]))[0].tolist() == best.tolist()


def test_seconds_are_measured():
    pruned = jt.prune_channels(net, PARAMS, X, seconds=60.0)
    assert pruned.channels == {"conv1/kernel": (8, 8), "conv2/kernel": (10, 10)}
    assert pruned.seconds[0] == pruned.seconds[1] < 60
    with pytest.raises(MaskError, match=r"seconds=1e-09: a call takes \S+ s with the fewest channels and \S+ s with"):
        jt.prune_channels(net, PARAMS, X, seconds=1e-9)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, "no budget: exactly one of ratio, parameters, macs and seconds"),
        ({"macs": 0.5, "ratio": 0.5}, "ratio=0.5, macs=0.5: exactly one"),
        ({"macs": 0.01}, r"macs=0.01: with min_channels=1 from 1,440 to 35,136 can be left, a share of 0.0410 to 1.0"),
        ({"parameters": 100}, r"parameters=100: with min_channels=1 from 182 to 2,394 can be left"),
        ({"parameters": 1.5}, r"parameters=1.5: .* ask for a number in that range"),
        ({"ratio": 0.9, "min_channels": 2}, r"ratio=0.9 takes 16 of 18 channels, with min_channels=2 only 14 can go"),
        ({"ratio": 1.1}, r"ratio=1.1: must be a number from 0 to 1"),
        ({"ratio": 0.5, "min_channels": 0}, r"min_channels=0: must be a whole number of at least 1"),
        ({"ratio": 0.5, "scores": "best"}, r"scores='best': must be one of magnitude, bn_scale, l1, l2"),
        ({"ratio": 0.5, "scores": "bn_scale"}, r"no scores for the channels of 'conv1/bias'; give scores of"),
        ({"ratio": 0.5, "scores": {"conv1/kernel": np.ones(3)}}, r"scores\['conv1/kernel'\] has shape \(3,\)"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(how, message):
    with pytest.raises(MaskError, match=message) as refused:
        jt.prune_channels(net, PARAMS, X, **how)
    assert "\n" not in str(refused.value)
