"""Initial weights: distributions, one draw for all of them, determinism, models that know nothing of it."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxticket.core import paths
from jaxticket.core.errors import JaxticketError
from jaxticket.models import abstract_variables, create_model, init_variables
from jaxticket.models.initializers import SCHEMES, fans, he_normal, normal, uniform

pytestmark = pytest.mark.feature("networks")

IMAGE = (8, 8, 3)


def init(name="conv2", seed=0, image=IMAGE, **options):
    params, _ = init_variables(create_model(name, 10, **options), jax.random.key(seed), image)
    return paths.leaves(params)


def random_equations(jaxpr):
    """The number of random draws in a program, nested ones included."""
    found = 0
    for equation in jaxpr.eqns:
        found += equation.primitive.name == "random_bits"
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")
        ):
            inner = getattr(inner, "jaxpr", inner)
            found += random_equations(inner) if hasattr(inner, "eqns") else 0
    return found


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((784, 300), (784, 300)),
        ((5, 5, 3, 6), (75, 150)),
        ((3, 3, 1, 32), (9, 288)),  # depthwise, 32 groups
        ((7, 7, 3, 64), (147, 3136)),
    ],
)
def test_fans(shape, expected):
    assert fans(shape) == expected


def test_a_vector_has_no_fans():
    with pytest.raises(JaxticketError, match="no fan-in"):
        fans((3,))


def theory(scheme, shape):
    """Standard deviation and bound of a kernel."""
    fan_in, fan_out = math.prod(shape[:-1]), math.prod(shape[:-2]) * shape[-1]
    if scheme == "torch":
        return 1 / math.sqrt(3 * fan_in), 1 / math.sqrt(fan_in)
    variance = {
        "glorot_normal": 2 / (fan_in + fan_out),
        "he_normal": 2 / fan_out,
        "he_normal_fan_in": 2 / fan_in,
        "gaussian_0.01": 0.01**2,
        "gaussian_0.02": 0.02**2,
    }
    return math.sqrt(variance[scheme]), math.inf


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_distribution_of_every_layer_is_the_scheme_s(scheme):
    for path, leaf in init(init=scheme).items():
        values = np.asarray(leaf, np.float64).ravel()
        kernel = path.endswith("/kernel")
        if not kernel and scheme != "torch":
            assert not values.any()
            continue
        shape = leaf.shape if kernel else (math.prod(init(init=scheme)[path.replace("bias", "kernel")].shape[:-1]), 1)
        std, bound = theory(scheme, shape)
        n = values.size
        assert np.abs(values).max() <= bound
        assert abs(values.mean()) < 5 * std / math.sqrt(n)
        # A sample variance has relative variance (kurtosis - 1) / n: 2 / n for a normal, less for a uniform.
        assert abs(values.var() / std**2 - 1) < 5 * math.sqrt(2 / n)
        if n > 10_000 and scheme != "torch":  # not truncated: beyond two deviations lie 4.55 %
            assert abs((np.abs(values) > 2 * std).mean() - 0.0455) < 5 * math.sqrt(0.0455 / n)
        if n > 1_000 and scheme == "torch":
            assert np.abs(values).max() > 0.99 * bound


def test_first_layer_of_lenet300_on_mnist():
    kernel = np.asarray(init("lenet300", image=(28, 28, 1))["fc1/kernel"])
    assert kernel.std() == pytest.approx(math.sqrt(2 / (784 + 300)), rel=0.01)


@pytest.mark.parametrize("scheme", ["he_normal", "torch"])
def test_no_two_leaves_share_numbers(scheme):
    leaves = init(init=scheme)
    drawn = np.concatenate(
        [
            np.asarray(leaf, np.float64).ravel() / theory(scheme, leaf.shape)[0]
            for path, leaf in leaves.items()
            if path.endswith("/kernel")
        ]
    )
    # Single numbers and pairs collide by chance; four neighbours, even rounded, do not.
    numbers = np.round(drawn, 3)
    windows = np.lib.stride_tricks.sliding_window_view(numbers, 4)
    assert len({window.tobytes() for window in windows}) == len(windows)


def test_layers_are_not_correlated():
    leaves = init("lenet300", image=(8, 8, 1))
    first = np.asarray(leaves["fc1/kernel"]).ravel()[:1000]
    head = np.asarray(leaves["head/kernel"]).ravel()
    assert head.size == 1000
    assert abs(np.corrcoef(first, head)[0, 1]) < 5 / math.sqrt(1000)


def test_same_key_same_bits_other_key_other_bits():
    first, again, other = init(seed=0), init(seed=0), init(seed=1)
    assert all(np.array_equal(first[path], again[path]) for path in first)
    assert all(not np.array_equal(first[path], other[path]) for path in first if path.endswith("/kernel"))


@pytest.mark.parametrize(
    ("scheme", "head"),
    [
        ("glorot_normal", [-0.0578759, 0.0025830, 0.0960191]),
        ("torch", [-0.0164309, -0.0142006, 0.0763782]),
    ],
)
def test_a_seed_means_same_weights_in_every_release(scheme, head):
    kernel = init("lenet300", image=(8, 8, 1), init=scheme)["head/kernel"]
    np.testing.assert_allclose(kernel[0, :3], head, atol=2e-7)


def test_legacy_keys_serve_too():
    model = create_model("lenet300", 10)
    params, _ = init_variables(model, jax.random.PRNGKey(0), (8, 8, 1))
    typed, _ = init_variables(model, jax.random.key(0), (8, 8, 1))
    assert np.array_equal(params["fc1"]["kernel"], typed["fc1"]["kernel"])


def test_vmap_over_keys_is_stack_of_single_ones():
    model = create_model("lenet300", 10, init="torch")
    keys = jax.random.split(jax.random.key(3), 2)
    stacked, _ = jax.vmap(lambda key: init_variables(model, key, (8, 8, 1)))(keys)
    for i in range(2):
        single, _ = init_variables(model, keys[i], (8, 8, 1))
        jax.tree.map(lambda many, one, i=i: np.testing.assert_array_equal(many[i], one), stacked, single)


def test_all_layers_come_from_two_draws():
    program = jax.make_jaxpr(lambda key: init_variables(create_model("conv2", 10), key, IMAGE))(jax.random.key(0))
    assert random_equations(program.jaxpr) == 2


def test_abstract_variables_match_the_real_ones():
    model = create_model("conv2", 10, batch_norm=True, width=4)
    abstract = abstract_variables(model, IMAGE)
    real = init_variables(model, jax.random.key(0), IMAGE)
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(abstract))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), abstract) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), real
    )
    assert type(real[0]) is dict
    assert type(real[0]["stem"]) is dict


def test_image_and_a_batch_of_images_give_same():
    assert init(image=(8, 8, 3)).keys() == init(image=(2, 8, 8, 3)).keys()
    one, batch = init(image=(8, 8, 3)), init(image=(2, 8, 8, 3))
    assert all(np.array_equal(one[path], batch[path]) for path in one)


class Foreign(nn.Module):
    """A model with Flax's own initialisers, its own dtype and no `train`."""

    widths: object

    @nn.compact
    def __call__(self, x):
        x = x.reshape(x.shape[0], -1)
        for width in self.widths:
            x = nn.Dense(width)(x)
        return nn.Dense(3, kernel_init=he_normal)(x)


@pytest.mark.parametrize("widths", [(4, 4), np.array([4, 4])], ids=["hashable", "unhashable"])
def test_a_model_with_other_initialisers_works(widths):
    params, state = init_variables(Foreign(widths), jax.random.key(0), (8, 8, 1))
    assert state == {}
    kernels = [np.asarray(params[f"Dense_{i}"]["kernel"]) for i in range(3)]
    assert kernels[0].std() == pytest.approx(1 / 8, rel=0.3)  # lecun_normal, fan-in 64
    assert all(kernel.std() > 0 for kernel in kernels)
    other, _ = init_variables(Foreign(widths), jax.random.key(1), (8, 8, 1))
    assert not np.array_equal(kernels[0], other["Dense_0"]["kernel"])


class Lifted(nn.Module):
    """Layers made by one call that stands for several."""

    @nn.compact
    def __call__(self, x):
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(8, kernel_init=he_normal, name="in")(x)

        def body(layer, carry, _):
            return layer(carry), None

        scanned = nn.scan(body, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        x, _ = scanned(nn.Dense(8, kernel_init=he_normal, name="scanned"), x, None)
        many = nn.vmap(nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=None, axis_size=3)
        x = many(8, kernel_init=he_normal, name="mapped")(x).sum(0)
        return nn.remat(nn.Dense)(3, kernel_init=he_normal, name="remat")(x)


def test_layers_in_scan_and_vmap_differ():
    params, _ = init_variables(Lifted(), jax.random.key(0), (4, 4, 1))
    for name in ("scanned", "mapped"):
        layers = np.asarray(params[name]["kernel"])
        assert layers.shape == (3, 8, 8)
        for i, j in ((0, 1), (0, 2), (1, 2)):
            assert not np.array_equal(layers[i], layers[j])
        assert layers.std() == pytest.approx(math.sqrt(2 / 8), rel=0.3)
    assert np.asarray(params["remat"]["kernel"]).std() > 0


def test_initialisers_by_themselves_are_ordinary_ones():
    key = jax.random.key(0)
    for initialiser in (normal(0.5), uniform(0.5), he_normal):
        first = initialiser(key, (50, 40), jnp.bfloat16)
        assert first.dtype == jnp.bfloat16
        assert jnp.array_equal(first, initialiser(key, (50, 40), jnp.bfloat16))
        assert not jnp.array_equal(first, initialiser(jax.random.key(1), (50, 40), jnp.bfloat16))
    values = np.asarray(normal(0.5)(key, (4000,)))
    assert values.std() == pytest.approx(0.5, rel=0.06)
    # The distribution is the same as that of the shared draw.
    params, _ = create_model("lenet300", 10).init(key, jnp.zeros((1, 28, 28, 1))).pop("params"), None
    assert np.asarray(params["fc1"]["kernel"]).std() == pytest.approx(math.sqrt(2 / 1084), rel=0.01)
