"""Every network of the table, shrunk, computes what it computes masked, before and after a training step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxticket as jt
from jaxticket import models
from jaxticket.core import paths
from jaxticket.structure.macs import macs

pytestmark = [pytest.mark.feature("smaller networks (shrink)")]

# The smallest of each family, in small; the others are of the same layers and only deeper.
MARKS = (pytest.mark.slow, pytest.mark.deep)
SMALL = {
    "conv2": ({"width": 8}, 8),
    "conv3": ({"width": 0.25}, 8),
    "lenet300": ({}, 8),
    "lenet5": ({}, 16),
    "mobilenet_v1": ({"width": 0.25}, 8),
    "preresnet": ({"depth": 11, "width": 0.5}, 8),
    "resnet20": ({"width": 0.5}, 8),
    "vgg11": ({"width": 0.125}, 16),
    "vit_ti": ({"patch_size": 4}, 8),
}
SIDES = {"alexnet": 32, **dict.fromkeys(("vgg13", "vgg16", "vgg19"), 16)}
DEEP = [pytest.param(name, {}, SIDES.get(name, 8), marks=MARKS) for name in models.names() if name not in SMALL]
LONG = ("mobilenet_v1", "vit_ti")
CASES = [pytest.param(name, *how, marks=MARKS if name in LONG else ()) for name, how in SMALL.items()] + DEEP


@functools.cache
def network(name, options, side):
    """A function of variables, and random variables, none of which is zero."""
    model = models.create_model(name, 5, **dict(options))
    rng = np.random.default_rng(0)

    def leaf(path, a):
        if path.endswith(("scale", "var")):
            values = rng.uniform(0.5, 1.5, a.shape)
        else:
            values = rng.standard_normal(a.shape) * (np.sqrt(2 / np.prod(a.shape[:-1])) if len(a.shape) > 1 else 0.3)
        return jnp.asarray(values.astype(np.float32))

    params, state = models.abstract_variables(model, (side, side, 3))
    variables = {"params": params, **state}
    return model.apply, paths.replace(variables, {path: leaf(path, a) for path, a in paths.leaves(variables).items()})


def random_channels(groups, variables, share):
    """A mask without a share of each group's channels: kernels, scales and biases."""
    rng = np.random.default_rng(1)
    leaves, mask, after = paths.leaves(variables), {}, []
    for group in groups.prunable:
        gone = rng.permutation(group.size)[: min(round(share * group.size), group.size - 1)]
        after.append(group.size - len(gone))
        for part in group.slices:
            if part.role != "input" and part.path.startswith("params/"):
                kept = mask.setdefault(part.path, np.ones(leaves[part.path].shape, bool))
                kept[(*(slice(None),) * part.axis, part.index[gone].ravel())] = False
    return mask, after


def counted(groups, after, variables):
    """Shapes that are left when each group has lost channels."""
    shapes = {path: list(leaf.shape) for path, leaf in paths.leaves(variables).items()}
    for group, left in zip(groups.prunable, after, strict=True):
        for part in group.slices:
            shapes[part.path][part.axis] -= (group.size - left) * part.index.shape[1]
    return {path: tuple(shape) for path, shape in shapes.items()}


@pytest.mark.parametrize(("name", "options", "side"), CASES)
def test_shrunk_is_masked_at_every_share(name, options, side):
    fn, variables = network(name, tuple(options.items()), side)
    x = jnp.asarray(np.random.default_rng(2).standard_normal((2, side, side, 3), np.float32))
    one = jax.ShapeDtypeStruct((1, *x.shape[1:]), jnp.float32)
    groups = jt.channel_groups(fn, variables, one)
    full = jax.jit(fn)
    for share in (0.3, 0.6, 0.9):
        mask, after = random_channels(groups, variables, share)
        shrunk = jt.shrink(fn, variables, mask, one)
        shapes = counted(groups, after, variables)
        assert {path: leaf.shape for path, leaf in paths.leaves(shrunk.params).items()} == shapes
        assert shrunk.report.parameters[1] == sum(
            np.prod(shape, dtype=int) for path, shape in shapes.items() if path.startswith("params/")
        )
        assert shrunk.report.macs[1] == macs(shrunk.apply, shrunk.params, one) < shrunk.report.macs[0]
        expected, found = full(shrunk.masked, x), jax.jit(shrunk.apply)(shrunk.params, x)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * float(jnp.abs(expected).max()))


@pytest.mark.parametrize(
    "name", ["conv3", "lenet300", *(pytest.param(name, marks=MARKS) for name in ("preresnet", *LONG))]
)
def test_training_step_of_shrunk_is_that_of_masked(name):
    options, side = SMALL[name]
    fn, variables = network(name, tuple(options.items()), side)
    x = jnp.asarray(np.random.default_rng(2).standard_normal((2, side, side, 3), np.float32))
    mask, _ = random_channels(jt.channel_groups(fn, variables, x), variables, 0.6)
    shrunk = jt.shrink(fn, variables, mask, x)

    def step(apply, variables, mask):
        def loss(params):
            return jnp.mean(apply({**variables, "params": params}, x) ** 2)

        gradient = jax.grad(loss)(variables["params"])
        new = jax.tree.map(lambda w, g: w - 0.01 * g, variables["params"], gradient)
        return {**variables, "params": jt.apply_mask(new, mask)}

    of_params = {path.removeprefix("params/"): jnp.asarray(kept) for path, kept in mask.items()}
    expected = jax.jit(lambda v: fn(step(fn, v, of_params), x))(shrunk.masked)
    found = jax.jit(lambda v: shrunk.apply(step(shrunk.apply, v, {}), x))(shrunk.params)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * float(jnp.abs(expected).max()))
