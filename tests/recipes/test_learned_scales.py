import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket import models, recipes
from jaxticket.core.criteria.magnitude import magnitude
from jaxticket.core.errors import ConfigError, MaskError, TrainingError
from jaxticket.core.masks import apply_mask, full_mask
from jaxticket.core.paths import leaves
from jaxticket.core.prune import prune
from jaxticket.recipes import LrsiOptions
from jaxticket.recipes.scaling import mean_cross_entropy

pytestmark = [pytest.mark.feature("aids of training")]


def mlp(params, x):
    return jnp.tanh(x @ params["fc1"]["kernel"] + params["fc1"]["bias"][None]) @ params["fc2"]["kernel"]


def problem(seed=0):
    """A network with a bias of zeros, half of it pruned, and four batches."""
    random = np.random.default_rng(seed)
    params = {
        "fc1": {"kernel": jnp.asarray(random.standard_normal((4, 6)), jnp.float32), "bias": jnp.zeros(6)},
        "fc2": {"kernel": jnp.asarray(3 * random.standard_normal((6, 3)), jnp.float32)},
    }
    full = full_mask(params)
    batches = [(random.standard_normal((5, 4)).astype(np.float32), random.integers(0, 3, 5)) for _ in range(4)]
    return params, prune(full, magnitude(params, full), sparsity=0.5), batches


def test_tost_13_toy():
    """y = wx, L = w^2 / 2 from w = 2: 51 constraint steps, 129 objective steps, and nearly the best scale, 0.05."""
    toy = recipes.rescale(
        lambda params, x: params["kernel"] * x,
        {"kernel": jnp.full((1, 1), 2.0)},
        {},
        [(jnp.ones((1, 1)), jnp.zeros(1, jnp.int32))],
        LrsiOptions(iterations=180, rate=0.01, eta=0.1, gamma=1.0),
        loss=lambda logits, labels: (logits**2).mean() / 2,
    )
    assert toy.constrained.sum() == 51
    assert (~toy.constrained).sum() == 129
    assert toy.scales["kernel"] == pytest.approx(0.0503941, abs=1e-6)
    assert float(toy.params["kernel"][0, 0]) == pytest.approx(0.1008, abs=1e-4)
    assert toy.norms[0] == 2
    assert toy.norms[-1] <= 1
    np.testing.assert_array_equal(toy.lowered[toy.constrained], toy.norms[toy.constrained])


def test_only_floor_of_bias_is_zero():
    found = recipes.rescale(
        lambda params, x: params["kernel"] * x + params["bias"],
        {"kernel": jnp.ones((1, 1)), "bias": jnp.ones((1, 1))},
        {},
        [(jnp.ones((1, 1)), jnp.zeros(1, jnp.int32))],
        LrsiOptions(iterations=1, rate=5.0, min_scale=0.25),
        loss=lambda logits, labels: (logits**2).mean() / 2,
    )
    assert found.scales == {"bias": 0, "kernel": 0.25}


def test_every_tensor_is_its_first_value_scaled():
    params, mask, batches = problem()
    found = recipes.rescale(mlp, params, mask, batches, LrsiOptions(iterations=20))
    for path, leaf in leaves(apply_mask(params, mask)).items():
        np.testing.assert_allclose(leaves(found.params)[path], found.scales[path] * leaf, rtol=1e-6)
    for path, kept in mask.items():
        dropped = np.asarray(leaves(found.params)[path])[~np.asarray(kept)]
        assert dropped.tobytes() == np.zeros_like(dropped).tobytes()
    assert found.scales["fc1/bias"] == 1
    assert all(scale != 1 for path, scale in found.scales.items() if path != "fc1/bias")


def test_a_learned_start_loses_less_after_one_step():
    params, mask, batches = problem()
    x, y = (np.concatenate(part) for part in zip(*batches, strict=True))

    def after_one_step(params):
        grads = apply_mask(jax.grad(lambda params: mean_cross_entropy(mlp(params, x), y))(params), mask)
        norm = jnp.sqrt(sum((grad**2).sum() for grad in jax.tree.leaves(grads)))
        return mean_cross_entropy(mlp(jax.tree.map(lambda w, g: w - 0.1 * g / norm, params, grads), x), y)

    scaled = recipes.lrsi(mlp, params, mask, batches, iterations=60, rate=0.02, eta=0.1, gamma=1.0)
    assert after_one_step(scaled) < 0.8 * after_one_step(apply_mask(params, mask))


def test_order_scales_dense_network_and_masks_it_then():
    params, mask, batches = problem()
    options = LrsiOptions(iterations=10, order="scale_first")
    found = recipes.rescale(mlp, params, mask, batches, options)
    dense = recipes.rescale(mlp, params, full_mask(params), batches, LrsiOptions(iterations=10))
    assert found.scales == dense.scales
    jax.tree.map(np.testing.assert_array_equal, found.params, apply_mask(dense.params, mask))
    assert found.scales != recipes.rescale(mlp, params, mask, batches, LrsiOptions(iterations=10)).scales


def test_the_network_is_compiled_once():
    params, mask, batches = problem()
    traced = []

    def apply_fn(params, x):
        traced.append(x.shape)
        return mlp(params, x)

    found = recipes.rescale(apply_fn, params, mask, batches, LrsiOptions(iterations=12, gamma=1.3))
    assert 0 < found.constrained.sum() < 12
    assert traced == [(10, 4)]


def test_just_enough_batches_serve():
    params, mask, batches = problem()
    for overlap, each in ((True, 3), (False, 4)):
        how = {"iterations": 4, "overlap": overlap}
        used = [batches[number % 4] for number in range(4 * each)]
        one = recipes.lrsi(mlp, params, mask, iter(used), **how)
        jax.tree.map(np.testing.assert_array_equal, one, recipes.lrsi(mlp, params, mask, batches, **how))
        with pytest.raises(MaskError, match=f"found {len(used) - 1} batches; an iterator must have {len(used)}"):
            recipes.lrsi(mlp, params, mask, iter(used[:-1]), **how)


@pytest.mark.parametrize(
    ("name", "image"), [("lenet300", (8, 8, 1)), pytest.param("conv3", (8, 8, 1), marks=pytest.mark.deep)]
)
def test_a_network_of_the_library(name, image):
    model = models.create_model(name, 10)
    params, state = models.init_variables(model, jax.random.key(0), image)
    full = full_mask(params)
    mask = prune(full, magnitude(params, full), sparsity=0.9)

    def apply_fn(params, x):
        return models.apply_model(model, params, state, x, train=True)[0]

    random = np.random.default_rng(0)
    batches = [(random.random((4, *image), np.float32), random.integers(0, 10, 4)) for _ in range(3)]
    found = recipes.rescale(apply_fn, params, mask, batches, LrsiOptions(iterations=3, gamma=None))
    assert np.isfinite(found.lowered).all()
    assert found.lowered[-1] < found.lowered[0]
    for path, leaf in leaves(params).items():
        assert (found.scales[path] == 1) == (not leaf.any()), path


def test_what_cannot_be_done_is_refused():
    params, mask, batches = problem()
    for options, message in [
        ({"rate": 0.0}, r"config.lrsi.rate=0.0: must be more than 0"),
        ({"iterations": 0}, r"config.lrsi.iterations=0: must be at least 1"),
        ({"order": "mask"}, r"config.lrsi.order='mask': must be one of mask_first, scale_first"),
        ({"etta": 0.1}, r"config.lrsi.etta: no such key; did you mean 'eta'\?"),
    ]:
        with pytest.raises(ConfigError, match=message):
            recipes.lrsi(mlp, params, mask, batches, **options)
    with pytest.raises(MaskError, match="the mask has 'fc9/kernel', the tree has no such leaf"):
        recipes.lrsi(mlp, params, {"fc9/kernel": np.ones(2, bool)}, batches)
    with pytest.raises(MaskError, match="found 0 batches"):
        recipes.lrsi(mlp, params, mask, [])
    with pytest.raises(MaskError, match="batch 0 is a ndarray; it must be a pair"):
        recipes.lrsi(mlp, params, mask, [batches[0][0]])
    with pytest.raises(MaskError, match=r"batches have labels float32\[10\]; they must be integer classes"):
        recipes.lrsi(mlp, params, mask, [(x, y.astype(np.float32)) for x, y in batches])


def test_a_loss_that_is_not_finite_stops_it():
    params, mask, batches = problem()
    broken = [(np.full_like(x, np.nan), y) for x, y in batches]
    with pytest.raises(TrainingError, match=r"lrsi: at iteration 0 the loss over eta is nan; lower config.lrsi.rate"):
        recipes.lrsi(mlp, params, mask, broken)
