import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket import models
from jaxticket.core.errors import ConfigError
from jaxticket.recipes.ghost_skips import Ghost, ghost_branch, ghost_parameters, ghost_plan, with_ghosts

pytestmark = [pytest.mark.feature("aids of training")]


def forward_of(model, train=False):
    def forward(activation, params, state, x):
        return models.apply_model(models.with_activation(model, activation), params, state, x, train=train)

    return forward


def plan_of(name, image_shape, layers="auto", **options):
    model = models.create_model(name, num_classes=10, **options)
    images = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
    variables = models.abstract_variables(model, image_shape)
    return ghost_plan(forward_of(model), (*variables, images), jax.nn.relu, layers)


def test_counts_of_resnet18():
    """ToST check 14: 1,220,608 weights and 7,680 of normalisations; every 3x3 convolution but the stem has one."""
    plan = plan_of("resnet18", (32, 32, 3))
    params, _ = jax.eval_shape(lambda: ghost_parameters(plan, jax.random.key(0)))
    assert sum(own["kernel"].size for own in params.values()) == 1_220_608
    assert sum(own["scale"].size + own["bias"].size for own in params.values()) == 7_680
    assert list(plan) == [f"stage{i}_block{j}.conv{k}" for i in (1, 2, 3, 4) for j in (0, 1) for k in (1, 2)]
    assert plan["stage2_block0.conv1"] == Ghost(64, 128, (2, 2), (0, 0))


def test_networks_of_every_kind():
    bottleneck = plan_of("resnet50", (32, 32, 3))
    assert len(bottleneck) == 16
    assert all(name.endswith(".conv2") for name in bottleneck)
    assert len(plan_of("vgg11", (32, 32, 3))) == 7
    pointwise = plan_of("mobilenet_v1", (32, 32, 3))
    assert pointwise == plan_of("mobilenet_v1", (32, 32, 3), "conv")
    assert all(name.endswith(".pointwise") for name in pointwise)
    assert plan_of("lenet300", (8, 8, 1)) == {"fc2": Ghost(300, 100)}
    # A window without padding is cropped; a pool between convolution and activation is a stride; 7 rows halved are 4.
    assert plan_of("lenet5", (28, 28, 1)) == {"conv2": Ghost(6, 16, (1, 1), (2, 2))}
    assert plan_of("resnet18", (28, 28, 3))["stage4_block0.conv1"] == Ghost(256, 512, (2, 2), (0, 0))
    assert list(plan_of("lenet5", (28, 28, 1), "dense")) == ["fc1", "fc2"]
    assert plan_of("conv3", (8, 8, 1), width=0.125)["conv3"] == Ghost(16, 32, (2, 2), (0, 0))
    with pytest.raises(ConfigError, match=r"ghost_layers='all': must be one of auto, conv, dense"):
        plan_of("lenet300", (8, 8, 1), "all")


@pytest.mark.parametrize(
    ("name", "ghosts"), [("mobilenet_v1", 13), ("mobilenet_v2", 17), ("densenet121", 61), ("shufflenet_v2", 36)]
)
def test_depthwise_networks_have_pointwise_convolutions_bypassed(name, ghosts):
    plan = plan_of(name, (32, 32, 3))
    assert len(plan) == ghosts
    params, _ = jax.eval_shape(lambda: ghost_parameters(plan, jax.random.key(0)))
    assert all(params[layer]["kernel"].shape == (ghost.inputs, ghost.features) for layer, ghost in plan.items())


def numpy_branch(x, own, train_mean, train_var):
    return (x @ own["kernel"] - train_mean) / np.sqrt(train_var + 1e-5) * own["scale"] + own["bias"]


def test_a_bypass_by_hand():
    """LeNet-300: `h = act(fc2(x) + alpha * BN(x W))`, and the running statistics move by a tenth."""
    model = models.create_model("lenet300", num_classes=10, width=0.1)
    params, _ = models.init_variables(model, jax.random.key(0), (4, 4, 1))
    images = np.random.default_rng(0).normal(size=(16, 4, 4, 1)).astype(np.float32)
    plan = {"fc2": Ghost(30, 10)}
    own, state = ghost_parameters(plan, jax.random.key(1), "bn_gamma0")
    own["fc2"]["scale"] = jnp.full(10, 1.5)
    own["fc2"]["bias"] = jnp.full(10, 0.1)

    def forward(activation):
        return forward_of(model)(activation, params, {}, images)[0]

    for train in (True, False):
        logits, after = with_ghosts(forward, plan, own, state, jnp.float32(0.7), jax.nn.relu, train=train)
        weights = {name: jax.tree.map(np.asarray, layer) for name, layer in params.items()}
        x = np.maximum(images.reshape(16, 16) @ weights["fc1"]["kernel"] + weights["fc1"]["bias"], 0)
        made = x @ np.asarray(own["fc2"]["kernel"])
        mean, var = (made.mean(0), made.var(0)) if train else (np.zeros(10), np.ones(10))
        branch = numpy_branch(x, jax.tree.map(np.asarray, own["fc2"]), mean, var)
        h = np.maximum(x @ weights["fc2"]["kernel"] + weights["fc2"]["bias"] + 0.7 * branch, 0)
        np.testing.assert_allclose(logits, h @ weights["head"]["kernel"] + weights["head"]["bias"], atol=2e-5)
        expected = {"mean": 0.1 * mean, "var": 0.9 + 0.1 * var} if train else state["fc2"]
        for name in expected:
            np.testing.assert_allclose(after["fc2"][name], expected[name], atol=1e-5)


def test_strength_zero_is_plain_network_bit_for_bit():
    """ToST check 14, in a convolutional network with pools and normalisations."""
    model = models.create_model("conv3", num_classes=10, width=0.125)
    params, state = models.init_variables(model, jax.random.key(0), (8, 8, 1))
    images = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))
    plan = plan_of("conv3", (8, 8, 1), width=0.125)
    own, statistics = ghost_parameters(plan, jax.random.key(2))
    forward = forward_of(model, train=True)

    @jax.jit
    def both(params, own, alpha):
        def network(activation):
            return forward(activation, params, state, images)[0]

        return network(jax.nn.relu), with_ghosts(network, plan, own, statistics, alpha, jax.nn.relu, train=True)[0]

    plain, ghosted = both(params, own, jnp.float32(0))
    assert np.array_equal(plain, ghosted)
    plain, ghosted = both(params, own, jnp.float32(1))
    assert np.abs(np.asarray(plain - ghosted)).max() > 0.01


def test_the_tiny_kernel_is_undone_by_the_normalisation():
    """ToST check 14, start-up: with kernels of 1e-4 the variance is v / (v + 1e-5) with v = 1e-8 times that of the sum
    over channels; `bn_gamma0` begins with nothing."""
    x = np.abs(np.random.default_rng(0).normal(size=(8, 6, 6, 32))).astype(np.float32)
    ghost = Ghost(32, 5, (2, 2), (0, 0))
    for start, least in (("constant", 1e-3), ("bn_gamma0", 0)):
        own, state = ghost_parameters({"a": ghost}, jax.random.key(0), start)
        branch, _ = ghost_branch(ghost, own["a"], state["a"], x, (8, 3, 3, 5), train=True)
        assert branch.shape == (8, 3, 3, 5)
        variance = 1e-8 * x[:, ::2, ::2].sum(-1).var() if start == "constant" else 0
        assert float(branch.std()) == pytest.approx(np.sqrt(variance / (variance + 1e-5)), rel=1e-3)
        assert float(branch.std()) >= least
