import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket import models
from jaxticket.core.criteria.synflow import synflow, synflow_prune
from jaxticket.core.errors import ConfigError, MaskError
from jaxticket.core.masks import count, full_mask, layer_sparsity
from jaxticket.core.paths import leaves
from jaxticket.core.prune import prune
from jaxticket.core.scaled_float import evaluate_scaled

pytestmark = [pytest.mark.feature("criteria")]

EVERY_KERNEL = [(r"(.*/)?kernel", True), (".*", False)]


def chain(params, x):
    for name in sorted(params):
        x = jax.nn.relu(x @ params[name]["kernel"])
    return x


def chain_params(depth: int, width: int, scale: float = 1.0, seed: int = 0) -> dict:
    random = np.random.default_rng(seed)
    sizes = [(width, width)] * depth
    return {
        f"fc{i:03}": {"kernel": jnp.asarray(scale * random.standard_normal(size), jnp.float32)}
        for i, size in enumerate(sizes)
    }


def residual(params, x):
    for name in sorted(params):
        x = jax.nn.relu(x + jax.nn.relu(x @ params[name]["kernel"]) @ params[name]["kernel"].T)
    return x


def in_float64(network, params, mask, x) -> dict[str, np.ndarray]:
    """|w dR/dw| of the network in double precision, whose range is wide enough."""
    with jax.enable_x64(True):
        kernels = {
            path: jnp.abs(jnp.where(mask[path], jnp.asarray(np.asarray(leaf), jnp.float64), 0))
            for path, leaf in leaves(params).items()
        }

        def flow(kernels):
            tree = {path.split("/")[0]: {"kernel": leaf} for path, leaf in kernels.items()}
            return network(tree, jnp.asarray(x, jnp.float64)).sum()

        gradients = jax.grad(flow)(kernels)
        return {path: np.asarray(kernels[path] * gradients[path]) for path in kernels}


def assert_proportional(scores, expected, rtol=1e-4) -> None:
    """Equal up to one factor for all leaves."""
    factor = sum(score.sum() for score in expected.values()) / sum(float(score.sum()) for score in scores.values())
    for path, score in scores.items():
        np.testing.assert_allclose(np.asarray(score, np.float64) * factor, expected[path], rtol=rtol, err_msg=path)


@pytest.mark.parametrize("network", [chain, residual])
@pytest.mark.parametrize("scale", [1e-5, 1e4])
def test_scores_are_exact_where_flow_overflows(network, scale) -> None:
    params = chain_params(12, 8, scale)
    mask = prune(full_mask(params), {path: jnp.abs(leaf) for path, leaf in leaves(params).items()}, sparsity=0.3)
    expected = in_float64(network, params, mask, np.ones((1, 8)))
    scores = synflow(network, params, mask, (1, 8))
    assert_proportional(scores, expected)
    flow = float(np.sum(expected["fc011/kernel"]))
    # A residual network whose branches add next to nothing has R near 1.
    assert flow > 1e45 or flow < 1e-45 or (network is residual and scale < 1)


@functools.cache
def library_network(name: str, **options):
    model = models.create_model(name, 10, **options)
    params, state = models.init_variables(model, jax.random.key(0), (32, 32, 3))
    return lambda params, x: models.apply_model(model, params, state, x, train=False)[0], params


# The size of R by depth, beyond float32 from the second on (ToST).
RESNETS = {20: 1.0e25, 32: 1.6e40, 44: 2.5e55, 56: 3.8e70, 110: 9.4e138}


DEEP = (pytest.mark.slow, pytest.mark.deep)


@pytest.mark.parametrize("depth", [d if d == 32 else pytest.param(d, marks=DEEP) for d in RESNETS])
def test_tost_8_resnets_of_any_depth_have_finite_scores(depth) -> None:
    apply_fn, params = library_network(f"resnet{depth}")
    # Operation by operation a deep network compiles nothing that a shallow one has not compiled.
    with jax.disable_jit():
        scores = synflow(apply_fn, params, full_mask(params, EVERY_KERNEL), (1, 32, 32, 3))
        mantissa, exponent = evaluate_scaled(apply_fn, jax.tree.map(jnp.abs, params), jnp.ones((1, 32, 32, 3)))
    for path, score in scores.items():
        assert np.isfinite(score).all(), path
        assert (np.asarray(score) > 0).all(), path
        assert len(np.unique(score)) > score.size // 4, path
    size = np.log10(float(mantissa.sum())) + float(exponent) * np.log10(2)
    assert abs(size - np.log10(RESNETS[depth])) < 2


def test_layers_of_a_plain_network_conserve_the_flow() -> None:
    apply_fn, params = library_network("vgg11", width=0.125)
    scores = synflow(apply_fn, params, full_mask(params, EVERY_KERNEL), (1, 32, 32, 3))
    sums = np.array([float(score.sum()) for score in scores.values()])
    assert len(sums) == 9
    np.testing.assert_allclose(sums, sums[0], rtol=1e-4)


def test_parameters_of_normalisations_do_not_matter() -> None:
    def network(params, x):
        y = x @ params["fc"]["kernel"] + params["fc"]["bias"][None]
        y = y * params["norm"]["scale"][None] + params["norm"]["bias"][None]
        return y @ params["head"]["kernel"]

    random = np.random.default_rng(0)
    params = {
        "fc": {"kernel": random.standard_normal((4, 5)), "bias": np.array([-3.0, 0, 0, 0, 0])},
        "norm": {"scale": random.standard_normal(5), "bias": random.standard_normal(5)},
        "head": {"kernel": random.standard_normal((5, 3))},
    }
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    mask = full_mask(params, EVERY_KERNEL)
    first, last = np.abs(params["fc"]["kernel"]), np.abs(params["head"]["kernel"])
    expected = {
        "fc/kernel": first * last.sum(1),
        # The bias of a layer, unlike that of a normalisation, is a weight like others: in absolute value.
        "head/kernel": last * (first.sum(0) + np.abs(params["fc"]["bias"]))[:, None],
    }
    assert_proportional(synflow(network, params, mask, (1, 4)), expected)


@pytest.mark.parametrize("name", ["max_pool", "remat", "leaky", "soft"])
def test_operations_that_networks_use(name) -> None:
    def network(params, x):
        kernel = params["a"]["kernel"]
        if name == "max_pool":
            x = jax.lax.reduce_window(x @ kernel, -jnp.inf, jax.lax.max, (1, 2), (1, 2), "VALID")
            return jnp.concatenate([x, x[:, ::-1], jnp.pad(x, ((0, 0), (1, 1)))], axis=1)[:, :8] / 7
        if name == "remat":
            return jax.checkpoint(lambda x: jnp.where(x > 0, x, 0.1 * x) @ kernel)(x) * x
        if name == "leaky":
            return jax.nn.leaky_relu(jnp.einsum("bi,io->bo", x, kernel)).reshape(1, 2, 4).mean(2)
        return jax.nn.softplus(x @ kernel)

    params = chain_params(1, 8)
    params = {"a": params["fc000"]}
    mask = full_mask(params)
    assert_proportional(synflow(network, params, mask, (1, 8)), in_float64(network, params, mask, np.ones((1, 8))))


def test_synflow_prune_reaches_high_sparsity_without_emptying_layer() -> None:
    random = np.random.default_rng(0)
    sizes = [(8, 40), (40, 40), (40, 4)]
    params = {f"fc{i}": {"kernel": jnp.asarray(random.standard_normal(size))} for i, size in enumerate(sizes)}
    start = full_mask(params)
    once = prune(start, synflow(chain, params, start, (1, 8)), sparsity=0.98)
    assert max(layer_sparsity(once).values()) == 1  # one scoring empties a layer
    mask = synflow_prune(chain, params, start, (1, 8), sparsity=0.98)
    kept, total = count(mask)
    assert total - kept == round(0.98 * total)
    assert max(layer_sparsity(mask).values()) < 1


def test_synflow_prune_is_rounds_of_scoring_and_pruning() -> None:
    params = chain_params(3, 8)
    mask = full_mask(params)
    traces = []

    def network(params, x):
        traces.append(1)
        return chain(params, x)

    found = synflow_prune(network, params, mask, (1, 8), sparsity=0.9, rounds=4)
    assert len(traces) == 1
    for density in (0.562341, 0.316228, 0.177828, 0.1):
        mask = prune(mask, synflow(chain, params, mask, (1, 8)), sparsity=1 - density)
        for path in mask:
            assert mask[path].shape == found[path].shape
    for path in mask:
        np.testing.assert_array_equal(mask[path], found[path])


def test_what_cannot_be_scored_says_why() -> None:
    params = chain_params(2, 8)
    mask = full_mask(params)
    large = chain_params(3, 8, 100.0)
    with pytest.raises(MaskError, match=r"all zero.*path from input to output"):
        synflow(chain, large, full_mask(large) | {"fc001/kernel": jnp.zeros((8, 8), bool)}, (1, 8))
    with pytest.raises(MaskError, match=r"not all finite.*ReLU"):
        synflow(lambda params, x: jnp.exp(1e3 * chain(params, x)), params, mask, (1, 8))
    with pytest.raises(MaskError, match=r"all zero.*ReLU"):  # saturated
        synflow(lambda params, x: jnp.clip(1e3 * chain(params, x), 0.0, 6.0), params, mask, (1, 8))
    with pytest.raises(MaskError, match=r"input_shape=\(8, 8\)"):
        synflow(chain, params, mask, (8, 8))
    with pytest.raises(MaskError, match="apply_fn returned a tuple"):
        synflow(lambda params, x: (chain(params, x), {}), params, mask, (1, 8))
    with pytest.raises(MaskError, match="'other'"):
        synflow_prune(chain, params, {"other": mask["fc000/kernel"]}, (1, 8), sparsity=0.5)
    with pytest.raises(ConfigError, match=r"1\.0"):
        synflow_prune(chain, params, mask, (1, 8), sparsity=1.0)
    with pytest.raises(ConfigError, match="rounds=0"):
        synflow_prune(chain, params, mask, (1, 8), sparsity=0.5, rounds=0)
