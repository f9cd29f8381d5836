"""PyTorch's names and layouts become ours, pruning becomes a mask, and what does not fit is said in one line."""

import itertools
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.core.errors import ConfigError, TicketError
from jaxticket.core.masks import check_fit, count, layer_sparsity
from jaxticket.core.paths import leaves
from jaxticket.interop import from_torch, read_torch
from jaxticket.models import abstract_variables, apply_model, create_model
from jaxticket.ticket import Ticket, load_ticket, save_ticket

pytestmark = [pytest.mark.feature("other frameworks")]

CIFAR = (32, 32, 3)


def test_importing_the_room_loads_nothing_heavy():
    code = "import sys, jaxticket.interop; sys.exit(any(name in sys.modules for name in ('jax', 'flax', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def zeros(shapes):
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


@pytest.fixture
def resnet20(golden):
    return golden.state_dict("resnet20")


def test_kernels_are_turned_and_statistics_moved(resnet20):
    converted = from_torch("resnet20", resnet20, image_shape=CIFAR)
    params, statistics = leaves(converted.params), leaves(converted.model_state)
    kernel = resnet20["layer2.0.conv1.weight"]
    assert kernel.shape == (32, 16, 3, 3)
    assert params["stage2_block0/conv1/kernel"].shape == (3, 3, 16, 32)
    assert params["stage2_block0/conv1/kernel"][2, 0, 5, 7] == kernel[7, 5, 2, 0]
    np.testing.assert_array_equal(params["head/kernel"], resnet20["linear.weight"].T)
    np.testing.assert_array_equal(params["stem_bn/scale"], resnet20["bn1.weight"])
    np.testing.assert_array_equal(
        statistics["batch_stats/stage3_block0/shortcut_bn/var"], resnet20["layer3.0.shortcut.1.running_var"]
    )
    assert all(leaf.dtype == np.float32 and leaf.flags.c_contiguous for leaf in (params | statistics).values())


def test_other_names_for_the_same_layers(resnet20):
    renamed = {
        name.replace("shortcut", "downsample").replace("linear", "fc"): value for name, value in resnet20.items()
    }
    first, second = (from_torch("resnet20", state, image_shape=CIFAR) for state in (resnet20, renamed))
    jax.tree.map(np.testing.assert_array_equal, first.params, second.params)


@pytest.mark.parametrize(
    ("name", "golden_name", "options"),
    [("resnet50", "resnet50", {"variant": "imagenet"}), ("vgg16", "vgg16", {"conv_bias": True})],
)
def test_every_leaf_of_these_is_covered_too(name, golden_name, options, golden):
    state = zeros(golden.shapes(golden_name))
    if options.get("conv_bias"):
        state |= {name.replace("weight", "bias"): value[:, 0, 0, 0] for name, value in state.items() if value.ndim == 4}
        state = {name.replace("classifier.", "classifier.0."): value for name, value in state.items()}
    converted = from_torch(name, state, image_shape=CIFAR, **options)
    classes = 1000 if name == "resnet50" else 10
    expected, _ = abstract_variables(create_model(name, classes, **options), CIFAR)
    assert {path: leaf.shape for path, leaf in leaves(converted.params).items()} == {
        path: leaf.shape for path, leaf in leaves(expected).items()
    }


def test_pruned_weights_give_a_mask_and_exact_zeros(golden):
    state = read_torch(golden.folder / "torch_resnet20.pth")
    converted = from_torch("resnet20", state, image_shape=CIFAR, width=0.25, shortcut="pad")
    assert list(converted.mask) == ["stage1_block0/conv1/kernel", "stage3_block2/conv2/kernel"]
    check_fit(converted.params, converted.mask)
    assert layer_sparsity(converted.mask) == {
        "stage1_block0/conv1/kernel": 72 / 144,
        "stage3_block2/conv2/kernel": 1843 / 2304,  # round(0.8 * 2304)
    }
    for path, kept in converted.mask.items():
        kernel = leaves(converted.params)[path]
        assert not kernel[~kept].any()
        assert np.count_nonzero(kernel) == kept.sum()
    torch_name = "layer3.2.conv2.weight"
    expected = (state[f"{torch_name}_orig"] * state[f"{torch_name}_mask"]).transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(leaves(converted.params)["stage3_block2/conv2/kernel"], expected)
    assert count(converted.mask) == (72 + 461, 144 + 2304)


def test_a_mask_beside_weight_itself_is_read_too(resnet20):
    buffer = (np.random.default_rng(0).random((16, 16, 3, 3)) > 0.5).astype(np.float32)
    converted = from_torch("resnet20", resnet20 | {"layer1.0.conv1.weight_mask": buffer}, image_shape=CIFAR)
    assert list(converted.mask) == ["stage1_block0/conv1/kernel"]
    kept, kernel = converted.mask["stage1_block0/conv1/kernel"], converted.params["stage1_block0"]["conv1"]["kernel"]
    np.testing.assert_array_equal(kept, buffer.transpose(2, 3, 1, 0) == 1)
    np.testing.assert_array_equal(kernel, (resnet20["layer1.0.conv1.weight"] * buffer).transpose(2, 3, 1, 0))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "model._orig_mod.module."])
@pytest.mark.parametrize("counter", [{}, {"n_averaged": np.asarray(5)}])
def test_what_was_wrapped_is_the_same_network(resnet20, prefix, counter):
    wrapped = counter | {prefix + name: value for name, value in resnet20.items()}
    first, second = (from_torch("resnet20", state, image_shape=CIFAR) for state in (resnet20, wrapped))
    jax.tree.map(np.testing.assert_array_equal, first.params, second.params)


@pytest.mark.parametrize("prefix", ["net.", "module.backbone."])
def test_network_inside_a_trainer_is_found(resnet20, prefix):
    """A loss with weights next to it is left out, and named."""
    beside = {"criterion.weight": np.ones(10, np.float32)}
    found = from_torch("resnet20", beside | {prefix + n: v for n, v in resnet20.items()}, image_shape=CIFAR)
    jax.tree.map(
        np.testing.assert_array_equal, found.params, from_torch("resnet20", resnet20, image_shape=CIFAR).params
    )
    assert list(found.dropped) == ["criterion.weight"]


def test_option_that_decides_about_a_layer_is_named(golden):
    padded = {name: value for name, value in golden.state_dict("resnet20").items() if "shortcut" not in name}
    with pytest.raises(TicketError, match=r"of resnet20 \(shortcut='pad' has none\)"):
        from_torch("resnet20", padded, image_shape=CIFAR)
    with pytest.raises(TicketError, match=r"which resnet20 does not have \(shortcut='conv' has it\)"):
        from_torch("resnet20", golden.state_dict("resnet20"), image_shape=CIFAR, shortcut="pad")
    biased = zeros(golden.shapes("vgg16")) | {"features.0.bias": np.zeros(64, np.float32)}
    with pytest.raises(TicketError, match=r"which vgg16 does not have \(conv_bias=True has it\)"):
        from_torch("vgg16", biased, image_shape=CIFAR)


def test_a_converted_network_is_a_ticket(golden, tmp_path):
    state = read_torch(golden.folder / "torch_resnet20.pth")
    converted = from_torch("resnet20", state, image_shape=CIFAR, width=0.25, shortcut="pad")
    save_ticket(tmp_path / "t", Ticket(converted.params, converted.mask, converted.model_state, {"weights": "trained"}))
    loaded = load_ticket(tmp_path / "t")
    jax.tree.map(np.testing.assert_array_equal, loaded.params, converted.params)
    jax.tree.map(np.testing.assert_array_equal, loaded.model_state, converted.model_state)
    assert count(loaded.mask) == count(converted.mask)


def test_weights_of_other_float_dtypes_become_float32(resnet20):
    half = {name: value.astype(np.float16) for name, value in resnet20.items()}
    kernel = from_torch("resnet20", half, image_shape=CIFAR).params["stem"]["kernel"]
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, half["conv1.weight"].transpose(2, 3, 1, 0))


def without(name):
    return lambda state: {key: value for key, value in state.items() if key != name}


def plus(name, shape):
    return lambda state: {**state, name: np.zeros(shape, np.float32)}


def pruned(mask):
    def change(state):
        state = dict(state)
        kernel = state.pop("conv1.weight")
        return {**state, "conv1.weight_orig": kernel, "conv1.weight_mask": mask(kernel)}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("bn1.running_mean"), "no tensor gives batch_stats/stem_bn/mean of resnet20"),
        (without("linear.weight"), "no classifier that resnet20 knows"),
        (plus("layer1.0.se.weight", (3,)), "tensor 'layer1.0.se.weight' is none of resnet20's"),
        (
            plus("layer4.0.conv1.weight", (8, 8, 3, 3)),
            "would be params/stage4_block0/conv1/kernel, which resnet20 does",
        ),
        (plus("conv1.bias", (16,)), "'conv1.bias' would be params/stem/bias, which resnet20 does not have"),
        (plus("fc.weight", (10, 64)), "'linear.weight' and 'fc.weight' would both be params/head/kernel"),
        (
            plus("conv1.weight", (16, 3, 7, 7)),
            r"'conv1.weight' of shape \(16, 3, 7, 7\) gives \(7, 7, 3, 16\), params/stem/kernel has \(3, 3, 3, 16\)",
        ),
        (plus("layer1.0.se.weight_mask", (16, 16, 3, 3)), "but no 'layer1.0.se.weight' or 'layer1.0.se.weight_orig'"),
        (
            lambda state: plus("conv1.weight", (1,))(pruned(np.ones_like)(state)),
            "has 'conv1.weight' and 'conv1.weight_orig'",
        ),
        (
            lambda state: {f"{who}.{n}": v for who in ("teacher", "student") for n, v in state.items()},
            "several networks",
        ),
        (lambda state: {n: v for n, v in state.items() if "linear" not in n}, "its modules are 'bn1', 'conv1', "),
        (
            lambda state: state | {"conv1.weight": state["conv1.weight"].astype("i4")},
            "'conv1.weight' is int32; weights",
        ),
        (lambda state: state | {"linear.bias": np.full(10, np.nan)}, "'linear.bias' has values that are not finite"),
        (lambda state: state | {"bn1.weight": np.full(16, np.inf, "f2")}, "'bn1.weight' has values that are not"),
        (pruned(lambda kernel: np.full_like(kernel, 0.5)), "'conv1.weight_mask' has values other than 0 and 1"),
        (pruned(lambda kernel: np.ones(16)), r"'conv1.weight_mask' of shape \(16,\)"),
    ],
)
def test_what_does_not_fit_is_named(resnet20, change, message):
    with pytest.raises(TicketError, match=message) as error:
        from_torch("resnet20", change(resnet20), image_shape=CIFAR)
    assert "\n" not in str(error.value)


def test_another_number_of_classes_is_refused(resnet20):
    with pytest.raises(TicketError, match=r"gives \(64, 10\), params/head/kernel has \(64, 100\)"):
        from_torch("resnet20", resnet20, image_shape=CIFAR, num_classes=100)


def test_a_deeper_vgg_is_refused(golden):
    with pytest.raises(TicketError, match="is none of vgg11's"):
        from_torch("vgg11", zeros(golden.shapes("vgg16")), image_shape=CIFAR)


def test_networks_whose_names_are_not_known_are_refused(resnet20):
    with pytest.raises(
        ConfigError, match="'lenet5' cannot be converted from PyTorch; networks that can are densenet121"
    ):
        from_torch("lenet5", resnet20, image_shape=CIFAR)
    with pytest.raises(ConfigError, match="no such key"):
        from_torch("resnet20", resnet20, image_shape=CIFAR, widht=2)


def mobilenet_v1(width):
    """The state dict of the MobileNet-v1 of the programs for CIFAR, filled as the golden ones: block -> stride."""
    features = [int(width * n) for n in (32, 64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)]
    strides = [1, 2, 1, 2, 1, 2, *(1,) * 5, 2, 1]
    shapes = {"conv1.weight": (features[0], 3, 3, 3)}

    def norm(name, n):
        shapes.update({f"{name}.{kind}": (n,) for kind in ("weight", "bias", "running_mean", "running_var")})

    norm("bn1", features[0])
    for i, (given, made) in enumerate(itertools.pairwise(features)):
        shapes[f"layers.{i}.conv1.weight"] = (given, 1, 3, 3)
        norm(f"layers.{i}.bn1", given)
        shapes[f"layers.{i}.conv2.weight"] = (made, given, 1, 1)
        norm(f"layers.{i}.bn2", made)
    shapes |= {"linear.weight": (10, features[-1]), "linear.bias": (10,)}
    return shapes, strides


def numpy_logits(state, strides, images):
    """MobileNet-v1 as its program computes it, in float64; `images` are [B, C, H, W]."""
    state = {name: value.astype(np.float64) for name, value in state.items()}

    def norm_relu(x, name):
        weight, bias, mean, var = (
            state[f"{name}.{kind}"][:, None, None] for kind in ("weight", "bias", "running_mean", "running_var")
        )
        return np.maximum((x - mean) / np.sqrt(var + 1e-5) * weight + bias, 0)

    def windows(x, stride):
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::stride, ::stride]

    x = norm_relu(np.einsum("bchwij,ocij->bohw", windows(images, 1), state["conv1.weight"]), "bn1")
    for i, stride in enumerate(strides):
        x = np.einsum("bchwij,cij->bchw", windows(x, stride), state[f"layers.{i}.conv1.weight"][:, 0])
        x = norm_relu(x, f"layers.{i}.bn1")
        x = norm_relu(np.einsum("bchw,oc->bohw", x, state[f"layers.{i}.conv2.weight"][:, :, 0, 0]), f"layers.{i}.bn2")
    return x.mean((2, 3)) @ state["linear.weight"].T + state["linear.bias"]


def test_mobilenet_v1_gives_the_logits_of_its_program(golden):
    shapes, strides = mobilenet_v1(0.25)
    state = {name: golden.filling.fill(name, shape) for name, shape in shapes.items()}
    images = golden.filling.images(32)
    converted = from_torch("mobilenetv1", state, image_shape=CIFAR, width=0.25)
    model = create_model("mobilenet_v1", 10, width=0.25)
    ours, _ = apply_model(
        model, converted.params, converted.model_state, jnp.asarray(images.transpose(0, 2, 3, 1)), train=False
    )
    theirs = numpy_logits(state, strides, images)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())
    numbered = {
        re.sub(r"layers\.(\d+)\.(conv|bn)([12])", lambda m: f"model.{int(m[1]) + 1}.{PLACES[m[2] + m[3]]}", name)
        .replace("conv1.weight", "model.0.0.weight")
        .replace("bn1.", "model.0.1."): value
        for name, value in state.items()
    }
    other = from_torch("mobilenet_v1", numbered, image_shape=CIFAR, width=0.25)
    jax.tree.map(np.testing.assert_array_equal, other.params, converted.params)


PLACES = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4}


@pytest.mark.parametrize("prefix", ["", "module."])
def test_normalisation_of_images_is_dropped_and_returned(resnet20, prefix):
    mean = np.array([0.4914, 0.4822, 0.4465], np.float32).reshape(3, 1, 1)
    state = {**resnet20, f"{prefix}normalize.mean": mean, f"{prefix}normalize.std": mean / 2}
    converted = from_torch("resnet20", state, image_shape=CIFAR)
    assert set(converted.dropped) == {f"{prefix}normalize.mean", f"{prefix}normalize.std"}
    np.testing.assert_array_equal(converted.dropped[f"{prefix}normalize.mean"], mean)
    assert from_torch("res20s", resnet20, image_shape=CIFAR).dropped == {}


def test_an_alias_brings_its_options(golden):
    converted = from_torch("res50", zeros(golden.shapes("resnet50")) | STEM, image_shape=(224, 224, 3))
    assert converted.params["stem"]["kernel"].shape == (3, 3, 3, 64)


STEM = {"conv1.weight": np.zeros((64, 3, 3, 3), np.float32)}
