"""Channels that stay, but are not read: the network with selections computes what the masked one does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxticket import models
from jaxticket.core import paths
from jaxticket.structure.channel_gather import gather_channels
from jaxticket.structure.dead_inputs import dead_inputs, dead_kernels
from jaxticket.structure.macs import macs

pytestmark = [pytest.mark.feature("smaller networks (shrink)")]


class Block(nn.Module):
    """A bottleneck with the activation first: 8 channels, 4 inside."""

    @nn.compact
    def __call__(self, x, train=False):
        def part(y, features, kernel, name):
            y = nn.BatchNorm(use_running_average=not train, name=f"bn{name}")(y)
            return nn.Conv(features, (kernel, kernel), use_bias=False, name=f"conv{name}")(nn.relu(y))

        return x + part(part(part(x, 4, 1, "1"), 4, 3, "2"), 8, 1, "3")


def random_variables(model, shape):
    rng = np.random.default_rng(0)

    def leaf(path, a):
        values = rng.uniform(0.5, 1.5, a.shape) if path.endswith(("scale", "var")) else rng.normal(size=a.shape)
        return jnp.asarray(values if len(a.shape) == 1 else values / np.sqrt(np.prod(a.shape[:-1])), jnp.float32)

    found = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    return paths.replace(found, {path: leaf(path, a) for path, a in paths.leaves(found).items()})


def mask_of(variables, kept):
    """Scales and biases; `kept(path, size)` gives the bool array of a scale."""
    mask = {}
    for path, leaf in paths.leaves(variables).items():
        if path.endswith("/scale"):
            mask[path] = jnp.asarray(kept(path, leaf.size))
            mask[path.removesuffix("scale") + "bias"] = mask[path]
    return mask


def outputs(apply):
    """(variables, x) -> outputs for inference, and with the statistics of the batch."""

    @jax.jit
    def both(variables, x):
        return apply(variables, x), apply(variables, x, train=True, mutable=["batch_stats"])[0]

    return both


def bits(text):
    return np.array([bit == "1" for bit in text])


def test_slice_is_mask_in_a_block():
    """Slice = mask (check 9): kernels 5 -> 2 -> 3 -> 8; zero scales with their biases left are another network."""
    model = Block()
    variables = random_variables(model, (6, 6, 8))
    kept = {"bn1": bits("10101110"), "bn2": bits("0101"), "bn3": bits("0111")}
    mask = mask_of(variables, lambda path, _: kept[path.split("/")[1]])
    x = jnp.asarray(np.random.default_rng(1).normal(size=(4, 6, 6, 8)), jnp.float32)
    small = gather_channels(model.apply, variables, mask, x[:1])
    shapes = [small.params["params"][f"conv{i}"]["kernel"].shape for i in (1, 2, 3)]
    assert shapes == [(1, 1, 5, 2), (3, 3, 2, 3), (1, 1, 3, 8)]
    assert {path: index.tolist() for path, index in small.selected.items()} == {"params/conv1/kernel": [0, 2, 4, 5, 6]}
    masked, cut = outputs(model.apply)(small.masked, x), outputs(small.apply)(small.params, x)
    for one, other in zip(masked, cut, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)
    leaves = paths.leaves(variables)
    only_scales = paths.replace(
        variables, {path: jnp.where(kept, leaves[path], 0) for path, kept in mask.items() if path.endswith("scale")}
    )
    assert float(jnp.abs(model.apply(only_scales, x) - masked[0]).max()) > 0.1


DEEP = (pytest.mark.slow, pytest.mark.deep)


@pytest.mark.parametrize(
    ("name", "options", "side", "selections"),
    [
        ("preresnet", {"depth": 11, "width": 0.25}, 8, 3),
        pytest.param("preresnet", {"depth": 14, "block": "basic", "width": 0.25}, 8, 7, marks=DEEP),
        pytest.param("resnet20", {"width": 0.25}, 8, 0, marks=DEEP),
        ("vgg11", {"width": 0.0625}, 16, 0),
    ],
)
def test_slice_is_mask_in_networks(name, options, side, selections):
    """Slice = mask (check 9): first blocks of a stage, basic blocks, the last normalisation, VGG."""
    model = models.create_model(name, num_classes=5, **options)
    variables = random_variables(model, (side, side, 3))
    rng = np.random.default_rng(2)
    mask = mask_of(variables, lambda _, size: rng.permutation(size) >= size // 2)
    x = jnp.asarray(rng.normal(size=(3, side, side, 3)), jnp.float32)
    small = gather_channels(model.apply, variables, mask, x[:1])
    assert len(small.selected) == selections or name == "resnet20"
    assert small.macs[1] < 0.7 * small.macs[0]
    assert small.parameters[1] == sum(leaf.size for leaf in jax.tree.leaves(small.params["params"]))
    whole = outputs(model.apply)
    masked, cut = whole(small.masked, x), outputs(small.apply)(small.params, x)
    for one, other in zip(masked, cut, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4 * float(jnp.abs(one).max()))
    # Kernel weights said to be dead count nowhere.
    dead = dead_kernels(model.apply, variables, mask, x[:1])
    leaves = paths.leaves(small.masked)
    without = paths.replace(small.masked, {path: jnp.where(kept, leaves[path], 0) for path, kept in dead.items()})
    np.testing.assert_array_equal(whole(without, x)[0], masked[0])
    assert dead


def test_sizes():
    """Sizes (checks 10 and 19): depth 20 with every entry of the configuration halved, counted from the cut arrays."""
    model = models.create_model("preresnet", num_classes=10, depth=20)
    variables = random_variables(model, (8, 8, 3))

    def kept(path, size):
        half = np.arange(size) < size // 2
        return ~half if "final_bn" in path else half  # no channel of the last stage is dead for all its readers

    small = gather_channels(
        model.apply, variables, mask_of(variables, kept), jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
    )
    assert small.parameters == (219_482, 99_674)
    assert len(small.selected) == 7
    assert "params/head/kernel" in small.selected
    convolutions = [leaf.size for path, leaf in paths.leaves(small.params).items() if leaf.ndim == 4]
    assert sum(convolutions) == 96_112
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    assert macs(small.apply, small.params, image) == 14_271_744
    assert macs(small.apply, small.params, image) / macs(model.apply, variables, image) == pytest.approx(
        0.423, abs=1e-4
    )


def test_nonlinearity_that_moves_zero_keeps_its_channels():
    model = models.create_model("preresnet", num_classes=5, depth=11, width=0.25, activation="softplus")
    variables = random_variables(model, (8, 8, 3))
    mask = mask_of(variables, lambda _, size: np.arange(size) < size // 2)
    dead = dead_inputs(model.apply, variables, jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32))
    assert not any(found.any() for found in dead.values())
    assert not dead_kernels(model.apply, variables, mask, jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32))
