"""What holds for every network of the table: the specifications' counts, shapes at every size, names, activations."""

import functools

import jax
import jax.numpy as jnp
import pytest

from jaxticket.core import masks, paths
from jaxticket.core.errors import JaxticketError
from jaxticket.models import abstract_variables, create_model, names

pytestmark = [pytest.mark.feature("networks")]

DIGITS, MNIST, CIFAR, TINY, IMAGENET = (8, 8, 1), (28, 28, 1), (32, 32, 3), (64, 64, 3), (224, 224, 3)
NORMALISED = [name for name in names() if not name.startswith(("lenet", "vit", "alexnet", "conv2", "conv4", "conv6"))]


@functools.cache
def shapes(name, image=CIFAR, num_classes=10, **options):
    params, _ = abstract_variables(create_model(name, num_classes, **options), image)
    return paths.leaves(params)


def prunable(leaves):
    """Weights and tensors that the default rules let be pruned."""
    mask = jax.eval_shape(lambda: masks.full_mask(paths.nest(leaves)))
    return sum(leaf.size for leaf in mask.values()), len(mask)


# name, options, image, classes -> parameters, prunable weights and tensors under the default rules. From the
# specifications of the five lines of work where they give a figure, else from the network's paper or its reference
# implementation: Frankle and Carbin (2019), Zagoruyko and Komodakis (2016), DeiT, torchvision.
COUNTS = [
    ("lenet300", {}, MNIST, 10, 266_610, 235_200 + 30_000, 2),
    ("lenet300", {}, CIFAR, 10, 953_010, 921_600 + 30_000, 2),
    ("lenet5", {}, MNIST, 10, 44_426, 43_200, 3),
    ("lenet5", {}, CIFAR, 10, 62_006, 60_480, 3),
    ("lenet5", {"variant": "colt"}, CIFAR, 10, 15_926, 14_400, 3),
    ("lenet5", {"variant": "colt"}, CIFAR, 5, 15_926 - 5 * 85, 14_400, 3),
    ("conv2", {}, CIFAR, 10, 4_301_642, 4_296_704, 3),
    ("conv4", {}, CIFAR, 10, 2_425_930, 2_420_736, 5),
    ("conv6", {}, CIFAR, 10, 2_262_602, 2_256_896, 7),
    ("conv3", {}, CIFAR, 10, 374_282, 368_640, 2),
    ("conv3", {}, CIFAR, 100, 397_412, 368_640, 2),
    ("alexnet", {}, CIFAR, 10, 2_472_266, 2_445_312, 4),
    ("vgg11", {}, CIFAR, 10, 9_228_362, 9_216_000, 7),
    ("vgg13", {}, CIFAR, 10, 9_413_066, 9_400_320, 9),
    ("vgg16", {}, CIFAR, 10, 14_724_042, 14_708_736, 12),
    ("vgg16", {}, CIFAR, 100, 14_770_212, 14_708_736, 12),
    ("vgg16", {"conv_bias": True, "last_pool": "max"}, CIFAR, 10, 14_724_042 + 4_224, 14_708_736, 12),
    ("vgg19", {}, CIFAR, 10, 20_035_018, 20_017_152, 15),
    ("vgg19", {}, CIFAR, 100, 20_081_188, 20_017_152, 15),
    ("resnet20", {}, CIFAR, 10, 272_474, 269_824, 20),
    ("resnet20", {}, CIFAR, 100, 278_324, 269_824, 20),
    ("resnet20", {"shortcut": "pad"}, CIFAR, 10, 272_474 - 2_752, 269_824 - 2_560, 18),
    ("resnet32", {"width": 2.0}, CIFAR, 10, 1_860_522, 1_853_440, 32),
    ("resnet32", {"width": 2.0}, CIFAR, 100, 1_872_132, 1_853_440, 32),
    ("resnet44", {}, CIFAR, 10, 661_338, 656_896, 44),
    ("resnet56", {}, CIFAR, 10, 855_770, 850_432, 56),
    ("resnet110", {}, CIFAR, 10, 1_730_714, 1_721_344, 110),
    ("resnet18", {}, CIFAR, 10, 11_173_962, 11_157_504, 19),
    ("resnet18", {}, CIFAR, 100, 11_220_132, 11_157_504, 19),
    ("resnet18", {}, IMAGENET, 1000, 11_689_512, 11_157_504, 19),
    ("resnet34", {}, IMAGENET, 1000, 21_797_672, 21_258_240, 35),
    ("resnet50", {}, CIFAR, 10, 23_520_842, 23_445_504, 52),
    ("resnet50", {}, IMAGENET, 1000, 25_557_032, 23_445_504, 52),
    ("resnet101", {}, IMAGENET, 1000, 44_549_160, 42_385_408, 103),
    ("resnet152", {}, IMAGENET, 1000, 60_192_808, 57_982_976, 154),
    ("preresnet", {"depth": 11}, CIFAR, 10, 126_746, 122_800 - 432, 12),
    ("preresnet", {}, CIFAR, 10, 219_482, 214_192 - 432, 21),
    ("preresnet", {"depth": 29}, CIFAR, 10, 312_218, 305_584 - 432, 30),
    ("preresnet", {"block": "basic"}, CIFAR, 10, 272_282, 270_256 - 432, 20),
    ("preresnet101", {}, CIFAR, 10, 1_054_106, 1_036_720 - 432, 102),
    ("preresnet164", {}, CIFAR, 10, 1_703_258, 1_676_464 - 432, 165),
    ("wide_resnet", {}, CIFAR, 10, 36_479_194, 36_454_400, 27),
    ("densenet40", {}, CIFAR, 10, 1_059_298, 1_035_360, 38),
    ("densenet121", {"variant": "colt"}, CIFAR, 10, 6_956_298, 6_862_528 - 1_728, 119),
    ("densenet121", {"variant": "colt"}, CIFAR, 100, 7_048_548, 6_862_528 - 1_728, 119),
    ("densenet121", {}, IMAGENET, 1000, 7_978_856, 6_860_800, 119),
    ("mobilenet_v1", {}, CIFAR, 10, 3_217_226, 3_184_224, 26),
    ("mobilenet_v1", {}, CIFAR, 100, 3_309_476, 3_184_224, 26),
    ("mobilenet_v2", {"variant": "colt"}, CIFAR, 10, 2_254_090, 2_190_016 - 96, 52),
    ("mobilenet_v2", {"variant": "colt"}, CIFAR, 100, 2_369_380, 2_190_016 - 96, 52),
    ("mobilenet_v2", {}, IMAGENET, 1000, 3_504_872, 2_188_896, 51),
    ("shufflenet_v2", {"variant": "colt"}, CIFAR, 10, 1_268_646, 1_234_330 - 648, 55),
    ("shufflenet_v2", {}, IMAGENET, 1000, 2_278_604, 1_236_776, 55),
    ("vit_ti", {}, IMAGENET, 1000, 5_717_416, 5_308_416, 48),
    ("vit_s", {}, IMAGENET, 1000, 22_050_664, 21_233_664, 48),
]


@pytest.mark.parametrize(("name", "options", "image", "classes", "total", "weights", "tensors"), COUNTS)
def test_counts_of_the_specifications(name, options, image, classes, total, weights, tensors):
    leaves = shapes(name, image, classes, **options)
    assert sum(leaf.size for leaf in leaves.values()) == total
    assert prunable(leaves) == (weights, tensors)


def test_every_network_is_in_the_table_of_counts():
    assert {name for name, *_ in COUNTS} == set(names())


@pytest.mark.parametrize(
    ("name", "options", "conv", "scales"),
    [  # weights of all convolutions, and of all normalisations
        ("conv3", {}, 370_368, 448),
        ("resnet18", {}, 11_159_232, 4_800),
        ("resnet34", {}, 21_259_968, 8_512),
        ("resnet50", {}, 23_447_232, 26_560),
        ("vgg16", {}, 14_710_464, 4_224),
        ("densenet121", {"variant": "colt"}, 6_862_528, 41_760),
        ("mobilenet_v2", {"variant": "colt"}, 2_190_016, 17_088),
        ("shufflenet_v2", {"variant": "colt"}, 1_234_330, 8_022),
        ("preresnet", {}, 214_192, 1_360),
        ("preresnet", {"block": "basic"}, 270_256, 688),
        ("preresnet164", {}, 1_676_464, 12_112),
        ("lenet5", {}, 2_850, 0),
    ],
)
def test_convolution_weights_and_normalisation_channels(name, options, conv, scales):
    leaves = shapes(name, **options)
    assert sum(leaf.size for leaf in leaves.values() if leaf.ndim == 4) == conv
    assert sum(leaf.size for path, leaf in leaves.items() if path.endswith("/scale")) == scales


def test_sanity_check_lth_8_resnet32_prunes_no_shortcut():
    params = paths.nest(shapes("resnet32", width=2.0))
    rules = ((r".*shortcut/kernel", False), *masks.DEFAULT_RULES)
    mask = jax.eval_shape(lambda: masks.full_mask(params, rules))
    assert (sum(leaf.size for leaf in mask.values()), len(mask)) == (1_843_200, 30)


# The smallest side at which a network can be used as it is; the others take any of the sizes below.
LEAST = {"lenet5": 16, "alexnet": 29, "vgg11": 16, "vgg13": 16, "vgg16": 16, "vgg19": 16}


@pytest.mark.every_depth
@pytest.mark.parametrize("image", [DIGITS, MNIST, CIFAR, TINY, IMAGENET], ids=lambda image: f"{image[0]}px")
@pytest.mark.parametrize("name", names())
def test_logits_at_every_size(name, image):
    model = create_model(name, 7)
    if image[0] < LEAST.get(name, 1):
        with pytest.raises(JaxticketError, match=f"{LEAST[name]}x{LEAST[name]} or more, got {image[0]}x{image[0]}; "):
            abstract_variables(model, image)
        return
    x = jax.ShapeDtypeStruct((5, *image), jnp.float32)
    logits, _ = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x, train=True), x)
    assert (logits.shape, logits.dtype) == ((5, 7), jnp.float32)


@pytest.mark.every_depth
@pytest.mark.parametrize("name", names())
def test_first_layer_is_the_stem_and_last_head(name):
    leaves = shapes(name)
    assert leaves["head/kernel"].shape[-1] == 10
    assert ("stem/kernel" in leaves) != (name == "lenet300")
    if name in NORMALISED:  # a bias beside a normalisation only where the source has it
        biases = [path for path in leaves if path.endswith("/bias") and path.replace("bias", "kernel") in leaves]
        assert biases == (["conv2/bias", "conv3/bias", "head/bias", "stem/bias"] if name == "conv3" else ["head/bias"])


def nonlinearities(jaxpr):
    """Names of all functions that a program calls, nested ones included."""
    found = set()
    for equation in jaxpr.eqns:
        found |= {str(equation.params.get("name", "")), equation.primitive.name}
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")
        ):
            inner = getattr(inner, "jaxpr", inner)
            found |= nonlinearities(inner) if hasattr(inner, "eqns") else set()
    return found


@pytest.mark.every_depth
@pytest.mark.parametrize("name", names())
def test_the_activation_is_replaced_everywhere(name):
    calls = []

    def identity(x):
        calls.append(x.shape)
        return x

    def program(kind):
        model = create_model(name, 10, activation=kind)
        return jax.make_jaxpr(lambda x: model.init_with_output(jax.random.key(0), x)[0])(jnp.zeros((1, *CIFAR)))

    linear, soft = (nonlinearities(program(kind).jaxpr) for kind in (identity, "tanh"))
    assert calls
    assert not {"relu", "relu6", "gelu", "tanh", "logistic", "erf", "erfc"} & linear
    assert "tanh" in soft


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("resnet18", {"variant": "imagenet"}, (7, 7, 3, 64)),
        ("resnet18", {"variant": "cifar"}, (3, 3, 3, 64)),
        ("densenet121", {"variant": "imagenet"}, (7, 7, 3, 64)),
        ("mobilenet_v2", {"variant": "colt"}, (1, 1, 3, 32)),
        ("mobilenet_v2", {"width": 0.5}, (3, 3, 3, 16)),
        ("mobilenet_v1", {"width": 0.5}, (3, 3, 3, 16)),
        ("resnet32", {"width": 2.0}, (3, 3, 3, 32)),
        ("wide_resnet", {"width": 2.0, "depth": 16}, (3, 3, 3, 16)),
        ("preresnet", {"width": 2.0}, (3, 3, 3, 32)),
        ("vgg16", {"width": 0.5}, (3, 3, 3, 32)),
        ("alexnet", {"stem_stride": 1}, (11, 11, 3, 64)),
        ("vit_ti", {"patch_size": 8}, (8, 8, 3, 192)),
    ],
)
def test_the_stem_follows_the_options(name, options, shape):
    assert shapes(name, **options)["stem/kernel"].shape == shape


def test_spatial_sizes_of_colt_s_mobilenet_v2():
    """Outputs of the stem and the groups at 32x32: 34, 34, 17, 9, 5, 5, 5, 5 (COLT's 1x1 stem pads by a pixel)."""
    model = create_model("mobilenet_v2", 10, variant="colt")
    params, state = abstract_variables(model, CIFAR)
    x = jax.ShapeDtypeStruct((1, *CIFAR), jnp.float32)

    def sizes(params, state, x):
        _, seen = model.apply({"params": params, **state}, x, capture_intermediates=True, mutable=["intermediates"])
        return seen["intermediates"]

    seen = jax.eval_shape(sizes, params, state, x)
    last_of_group = ["block0", "block2", "block5", "block9", "block12", "block15", "block16"]
    found = [seen["stem"]["__call__"][0].shape[1]] + [seen[block]["__call__"][0].shape[1] for block in last_of_group]
    assert found == [34, 34, 17, 9, 5, 5, 5, 5]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("preresnet", {"depth": 21}, r"depth=21: must be 9n \+ 2 with block='bottleneck', such as 20 or 29"),
        (
            "preresnet",
            {"depth": 11, "block": "basic"},
            r"depth=11: must be 6n \+ 2 with block='basic', such as 8 or 14",
        ),
        ("wide_resnet", {"depth": 20}, r"depth=20: must be 6n \+ 4, such as 16 or 22"),
        ("shufflenet_v2", {"width": 3.0}, r"width=3.0: must be one of 0.5, 1.0, 1.5, 2.0"),
        ("resnet50", {"variant": "colt"}, r"variant='colt': must be one of auto, cifar, imagenet"),
    ],
)
def test_options_that_make_no_network(name, options, message):
    with pytest.raises(JaxticketError, match=message):
        create_model(name, 10, **options)


@pytest.mark.parametrize(
    ("name", "options", "image", "message"),
    [
        ("vgg16", {"last_pool": "max"}, (28, 28, 1), r"32x32 or more, got 28x28; set .*'last_pool': 'average'"),
        ("alexnet", {}, (28, 28, 1), r"29x29 or more, got 28x28; set .*'stem_stride': 1"),
        ("vit_ti", {"patch_size": 5}, CIFAR, r"multiples of 5, got 32x32; set .*patch_size"),
        ("densenet121", {}, (4, 4, 3), r"8x8 or more, got 4x4"),
    ],
)
def test_images_that_do_not_fit(name, options, image, message):
    with pytest.raises(JaxticketError, match=message):
        abstract_variables(create_model(name, 10, **options), image)
