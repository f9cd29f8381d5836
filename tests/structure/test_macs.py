"""Multiply-accumulates, against the specifications' numbers and against counting by hand."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxticket.models import abstract_variables, create_model
from jaxticket.structure.macs import macs

pytestmark = [pytest.mark.feature("smaller networks (shrink)"), pytest.mark.smoke]


def abstract(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


@pytest.mark.parametrize(
    ("name", "side", "classes", "expected"),
    [
        ("vgg16", 32, 10, 313_196_544 + 5_120),
        ("resnet18", 32, 10, 555_422_720),
        ("resnet20", 32, 10, 40_813_184),
        ("resnet50", 224, 1000, 4_089_184_256),
        ("mobilenet_v2", 224, 1000, 300_774_272),
    ],
)
def test_networks(name, side, classes, expected):
    """VGG-16's convolutions and head, ResNet-18 on CIFAR; the others as their papers and torchvision give them."""
    model = create_model(name, classes)
    params, state = abstract_variables(model, (side, side, 3))
    assert macs(model.apply, {"params": params, **state}, abstract(1, side, side, 3)) == expected


def conv(x, kernel, **options):
    options = {"window_strides": (1, 1), "padding": "VALID", **options}
    return lax.conv_general_dilated(x, kernel, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options)


@pytest.mark.parametrize(
    ("fn", "shapes", "expected"),
    [
        (lambda a, b: a @ b, [(4, 5), (5, 6)], 4 * 5 * 6),
        (lambda a, b: jnp.einsum("bij,bjk->bik", a, b), [(3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6),
        (lambda a, b: jax.jit(jax.checkpoint(jnp.dot))(a, b), [(4, 5), (5,)], 20),
        (conv, [(2, 6, 6, 3), (3, 3, 3, 8)], 2 * 4 * 4 * 8 * 27),
        (lambda x, k: conv(x, k, feature_group_count=4), [(1, 6, 6, 8), (3, 3, 2, 12)], 4 * 4 * 12 * 18),
        (lambda x, k: lax.conv_transpose(x, k, (2, 2), "SAME"), [(1, 3, 3, 4), (2, 2, 4, 5)], 9 * 4 * 4 * 5),
        (lambda x, w: lax.scan(lambda x, _: (x @ w, None), x, length=7)[0], [(2, 4), (4, 4)], 7 * 32),
        (lambda x, w: lax.while_loop(lambda x: (x @ w).sum() < 9, lambda x: x @ w, x), [(2, 4), (4, 4)], 2 * 32),
        (lambda x, w: lax.cond(x.sum() > 0, lambda: x @ w, lambda: x), [(2, 4), (4, 4)], 32),
        (lambda x, w: jnp.fft.fft(x).real * w, [(2, 4), (2, 4)], 0),
    ],
)
def test_operations(fn, shapes, expected):
    assert macs(fn, *(abstract(*shape) for shape in shapes)) == expected


def test_the_batch_counts():
    assert macs(lambda w, x: x @ w, abstract(4, 5), abstract(3, 4)) == 3 * 20
