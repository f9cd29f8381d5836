"""Monitors: on the device they see what NumPy sees in the stored history, at the same look, and remember little."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket import analysis
from jaxticket.core.criteria.magnitude import magnitude
from jaxticket.core.prune import prune
from jaxticket.experiments.early_bird.monitors import ScaleMonitor, WeightMonitor

pytestmark = [pytest.mark.feature("early birds")]

RATIOS = (0.3, 0.5, 0.7)
LOOKS = 12


def network(scale_sizes=(5, 16), kernel=(7, 13)):
    """Parameters with two normalisations, one kernel and things that no monitor looks at."""
    tree = {f"bn{i}": {"scale": np.ones(size), "bias": np.ones(size)} for i, size in enumerate(scale_sizes)}
    return tree | {"conv": {"kernel": np.ones(kernel), "bias": np.ones(kernel[-1])}}


def walk(seed, looks=LOOKS, pace=0.7):
    """A network that moves less and less: its parameters after each epoch."""
    rng = np.random.default_rng(seed)
    at = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), network())
    for number in range(looks):
        step = pace**number
        at = jax.tree.map(lambda leaf, step=step: leaf + step * rng.normal(size=leaf.shape), at)
        yield jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), at)


def follow(monitor, history, mask):
    """What the monitor would return after every look, as training would call it; and whether it would stop."""
    update = jax.jit(monitor.update)
    record, found = monitor.init_state(history[0], mask, len(history)), []
    for number, params in enumerate(history):
        record = update(record, params, mask, jnp.int32(number))
        found.append((monitor.stop(record, number + 1), monitor.result(jax.device_get(record), number + 1)))
    return record, found


@pytest.mark.parametrize("rule", ["latest_vs_window", "consecutive"])
def test_scales_on_the_device_are_those_in_history(rule):
    history = list(walk(0))
    monitor = ScaleMonitor(RATIOS, rule, window=3, epsilon=0.15, stops=True)
    record, found = follow(monitor, history, {})
    scales = np.stack([np.concatenate([np.abs(p["bn0"]["scale"]), np.abs(p["bn1"]["scale"])]) for p in history])
    arrays, findings = found[-1][1]
    assert np.array_equal(arrays["scales"], scales)
    emerged = {}
    for ratio in RATIOS:
        masks = analysis.channel_mask(scales, ratio)
        expected = analysis.mask_distances(masks)
        np.testing.assert_allclose(arrays[f"distance_p{ratio}"], expected, atol=1e-6)
        emerged[str(ratio)] = analysis.emergence(masks, rule, 3, 0.15)
    assert findings == {"measurements": LOOKS, "emergence": emerged}
    assert len(set(emerged.values())) > 1
    assert None not in emerged.values()
    assert [stops for stops, _ in found].index(True) + 1 == max(emerged.values())
    assert record["bits"].shape == (3, LOOKS, 3)


@pytest.mark.parametrize(("rule", "width"), [("latest_vs_window", 2), ("consecutive", 1)])
def test_weights_are_remembered_while_rule_looks_back(rule, width):
    history = list(walk(1))
    mask = {"conv/kernel": jnp.ones((7, 13), bool)}
    monitor = WeightMonitor(RATIOS, rule, window=3, epsilon=0.15, stops=True)
    record, found = follow(monitor, history, mask)
    arrays, findings = found[-1][1]
    assert record["bits"].shape == (3, width, 12)
    for ratio in RATIOS:
        masks = [prune(mask, magnitude(params, mask), sparsity=ratio) for params in history]
        expected, matrix = analysis.mask_distances(masks), arrays[f"distance_p{ratio}"]
        near = ~np.isnan(matrix)
        np.testing.assert_allclose(matrix[near], expected[near], atol=1e-6)
        assert near[5].sum() == 2 * width + 1
        assert findings["emergence"][str(ratio)] == analysis.emergence(masks, rule, 3, 0.15)
    assert any(stops for stops, _ in found)


def test_replicates_are_watched_side_by_side():
    histories = [list(walk(seed, looks=4)) for seed in (0, 1)]
    monitor = ScaleMonitor((0.5,), window=2)
    record = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(monitor.init_state(h[0], {}, 4) for h in histories))
    update = jax.jit(jax.vmap(monitor.update, in_axes=(0, 0, 0, None)))
    for number in range(4):
        params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(h[number] for h in histories))
        record = update(record, params, {}, jnp.int32(number))
    for i, history in enumerate(histories):
        alone, _ = follow(monitor, history, {})
        for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(record), strict=True):
            np.testing.assert_array_equal(one, other[i])


def test_memory():
    """Detection cost (check 18): for 4,224 channels and 160 looks 528 bytes a mask, and 2.7 MB of scales."""
    params = {"bn": {"scale": jax.ShapeDtypeStruct((4224,), jnp.float32)}}
    record = jax.eval_shape(lambda p: ScaleMonitor((0.5,)).init_state(p, {}, 160), params)
    assert record["bits"].shape == (1, 160, 528)
    assert record["scales"].shape == (160, 4224)
    assert record["scales"].size * record["scales"].dtype.itemsize == 2_703_360


def test_looks_are_at_epochs_or_every_few_steps():
    assert list(ScaleMonitor().steps(5, 17)) == [5, 10, 15]
    assert list(ScaleMonitor(every_steps=4).steps(5, 17)) == [4, 8, 12, 16]
    assert not ScaleMonitor().may_stop
    assert ScaleMonitor(stops=True).may_stop
