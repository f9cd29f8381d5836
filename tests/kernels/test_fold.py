"""Batch normalisations folded into the sparse layers before them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

import jaxticket as jt
from jaxticket.kernels import BlockSparse, DenseGroups, Timings
from jaxticket.kernels.backends.cost_model import Rates

pytestmark = [pytest.mark.feature("sparse kernels")]

IDEAL = Timings("ideal", {"float32": Rates((1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 0.0))})


class Net(nn.Module):
    """Of four normalisations the first two can be folded; one shares its input, one comes after a ReLU."""

    @nn.compact
    def __call__(self, x):
        norms = [nn.BatchNorm(use_running_average=True, epsilon=1e-3, name=f"norm{i}") for i in range(4)]
        x = nn.relu(norms[0](nn.Conv(8, (3, 3), use_bias=False, name="conv")(x)))
        x = nn.relu(norms[1](nn.Dense(8, name="fc1")(x)))
        x = nn.Dense(8, name="fc2")(x)
        x = x + norms[2](x)
        x = norms[3](nn.relu(nn.Dense(8, name="fc3")(x)))
        return nn.Dense(3, name="head")(x.mean((1, 2)))


class NnxNet(nnx.Module):
    """The same in NNX."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(4, 8, (3, 3), use_bias=False, rngs=rngs)
        self.fc1, self.fc2, self.fc3 = (nnx.Linear(8, 8, rngs=rngs) for _ in range(3))
        self.norms = nnx.List([nnx.BatchNorm(8, epsilon=1e-3, rngs=rngs) for _ in range(4)])
        self.head = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norms[0](self.conv(x)))
        x = nnx.relu(self.norms[1](self.fc1(x)))
        x = self.fc2(x)
        x = x + self.norms[2](x)
        x = self.norms[3](nnx.relu(self.fc3(x)))
        return self.head(x.mean((1, 2)))


def drawn(tree):
    """Every leaf at random; variances are positive."""
    random = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(random.uniform(0.2, 2.0, leaf.shape), leaf.dtype), tree)


def blocks(params):
    mask = {path: kept for path, kept in jt.full_mask(params).items() if "head" not in path}
    random = np.random.default_rng(1)
    scores = {path: random.random(kept.shape).astype(np.float32) for path, kept in mask.items()}
    return jt.prune(mask, scores, sparsity=0.5, scope="layer", granularity=jt.block(2, 4))


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_a_norm_that_alone_reads_is_folded(kind):
    x = jnp.asarray(np.random.default_rng(2).standard_normal((2, 5, 5, 4)), jnp.float32)
    if kind == "linen":
        model = Net()
        variables = drawn(jax.jit(model.init)(jax.random.key(0), x))
        mask = blocks(variables["params"])
    else:
        model = NnxNet(nnx.Rngs(0))
        variables = drawn(nnx.state(model))
        mask = blocks(nnx.state(model, nnx.Param))
    how = {"block": (2, 4), "timings": IDEAL, "check_speed": False, "shrink": False}
    plain, folded = (jt.sparsify(model, variables, mask, x, **how, fold_norms=fold) for fold in (False, True))
    kernels = {layer.path.removeprefix("params/"): layer.reason for layer in folded.report.layers}
    of = {"linen": "norm{}", "nnx": "norms/{}"}[kind]
    assert kernels["conv/kernel"].endswith(f"with {of.format(0)} folded in")
    assert kernels["fc1/kernel"].endswith(f"with {of.format(1)} folded in")
    assert "folded" not in kernels["fc2/kernel"] + kernels["fc3/kernel"]
    expected = jax.jit(plain.apply)(plain.variables, x)
    np.testing.assert_allclose(jax.jit(folded.apply)(folded.variables, x), expected, rtol=1e-4)
    roots = [str(jax.make_jaxpr(one.apply)(one.variables, x)).count("rsqrt") for one in (plain, folded)]
    assert roots == [4, 2]


def test_each_output_is_scaled_by_its_factor():
    random = np.random.default_rng(0)
    weight, factor = random.standard_normal((10, 14)).astype(np.float32), random.uniform(0.5, 2.0, 14)
    mask = np.kron(random.random((5, 4)) < 0.5, np.ones((2, 4), bool)).astype(bool)[:, :14]
    expected = np.where(mask, weight, 0) * factor
    for sparse in (BlockSparse.from_dense(weight, mask, (2, 4)), DenseGroups.from_dense(weight, mask)):
        np.testing.assert_allclose(sparse.scaled(factor).to_dense(), expected, rtol=1e-6)
