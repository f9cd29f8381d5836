"""Convolutions by the GPU kernel: lowered for CUDA, simulated against float64, and chosen where they can be."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental.pallas import mosaic_gpu as plgpu

from jaxticket.core.errors import ConfigError
from jaxticket.kernels import BlockSparse, block_conv
from jaxticket.kernels.backends.dispatch import choose_backend
from jaxticket.kernels.backends.gpu import conv as gpu_conv_module
from jaxticket.kernels.backends.gpu.conv import gpu_conv
from jaxticket.kernels.backends.gpu.matmul import gpu_tiling
from jaxticket.kernels.backends.gpu.support import gpu_unsupported
from jaxticket.kernels.formats.conv_geometry import ConvGeometry
from jaxticket.kernels.formats.structure import BlockStructure
from tests.kernels.test_gpu_matmul import simulation

pytestmark = [pytest.mark.feature("sparse kernels")]


def case(images, sides, window, channels, outputs, block, dtype):
    """Padded images, weight and bias; about a third of the blocks is kept."""
    random = np.random.default_rng(0)
    shape = (*window, channels, outputs)
    inputs = window[0] * window[1] * channels
    grid = random.random((-(-inputs // block[0]), -(-outputs // block[1]))) < 0.35
    mask = np.kron(grid, np.ones(block, bool)).astype(bool)[:inputs, :outputs].reshape(shape)
    x, weight = (jnp.asarray(random.standard_normal(size), dtype) for size in ((images, *sides, channels), shape))
    bias = jnp.asarray(random.standard_normal(outputs), jnp.float32)
    return x, BlockSparse.from_dense(weight, mask, block), bias


def exact(x, weight, bias, geometry):
    with jax.enable_x64():
        found = lax.conv_general_dilated(
            np.asarray(x, np.float64),
            np.asarray(weight.to_dense(), np.float64),
            geometry.strides,
            "VALID",
            rhs_dilation=geometry.dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return np.asarray(found) + np.asarray(bias, np.float64)


def simulated(x, weight, bias, geometry):
    tiling = gpu_tiling(weight.structure, 1)._replace(stages=2, sms=2)
    how = plgpu.InterpretGPUParams(detect_races=True, on_race="raise")
    found = gpu_conv(
        x, weight.values, bias, structure=weight.structure, relu=True, dtype="float32",
        geometry=geometry, tiling=tiling, interpret=how,
    )  # fmt: skip
    return np.asarray(found, np.float64)


CASES = {
    "3x3 by stride 2, gathered": ((70, (5, 3), (3, 3), 32, 150, (16, 128), "bfloat16"), ConvGeometry((2, 2), (1, 1))),
    "2x3 dilated, whole slices, two groups": (
        (130, (3, 5), (2, 3), 64, 64, (64, 64), "float16"),
        ConvGeometry((1, 1), (1, 2)),
    ),
}


@simulation
@pytest.mark.parametrize("name", CASES)
def test_simulated_convolutions_equal_float64(name):
    """Positions of the window, channels, groups of images that are cut off."""
    what, geometry = CASES[name]
    x, weight, bias = case(*what)
    expected = np.maximum(exact(x, weight, bias, geometry), 0)
    np.testing.assert_allclose(simulated(x, weight, bias, geometry), expected, atol=1e-3)


@simulation
def test_a_wrong_position_is_found(monkeypatch):
    (what, geometry), divided = CASES["3x3 by stride 2, gathered"], gpu_conv_module._divided
    x, weight, bias = case(*what)
    monkeypatch.setattr(gpu_conv_module, "_divided", lambda value, by: divided(value, by)[:: -1 if by == 3 else 1])
    assert np.abs(simulated(x, weight, bias, geometry) - np.maximum(exact(x, weight, bias, geometry), 0)).max() > 0.1


@pytest.mark.parametrize(("block", "dtype"), [((16, 128), "bfloat16"), ((64, 64), "float16")])
def test_every_kind_of_shape_is_lowered_for_cuda(block, dtype):
    x, weight, bias = case(200, (9, 9), (3, 3), 64, 256, block, dtype)
    run = functools.partial(
        gpu_conv, structure=weight.structure, relu=True, dtype=jnp.dtype(dtype), geometry=ConvGeometry((2, 2), (1, 1))
    )
    program = jax.jit(run).trace(x, weight.values, bias).lower(lowering_platforms=("cuda",)).as_text()
    assert program.count("@mosaic_gpu") == 1


@pytest.mark.parametrize("activation", ["relu", jnp.tanh])
def test_a_gpu_differentiates_the_kernel_by_xla(activation, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    x, weight, bias = case(64, (4, 4), (3, 3), 16, 64, (16, 64), "bfloat16")

    def loss(x, weight, bias):
        return block_conv(x, weight, bias=bias, activation=activation, padding=1).astype(jnp.float32).sum()

    def plain(x, weight, bias):
        how = {"bias": bias, "activation": activation, "padding": 1}
        return block_conv(x, weight, **how, backend="xla").astype(jnp.float32).sum()

    gradients = jax.jit(jax.grad(loss, (0, 1, 2)))
    traced = gradients.trace(x, weight, bias)
    assert traced.lower(lowering_platforms=("cuda",)).as_text().count("@mosaic_gpu") == 1  # forwards; backwards none
    assert "custom_call" not in traced.lower(lowering_platforms=("cpu",)).as_text()
    expected = jax.jit(jax.grad(plain, (0, 1, 2)))(x, weight, bias)
    for one, other in zip(*map(jax.tree.leaves, (gradients(x, weight, bias), expected)), strict=True):
        one, other = (np.asarray(array, np.float64) for array in (one, other))
        np.testing.assert_allclose(one, other, atol=2**-8 * np.abs(other).max())


def test_what_it_cannot_do_is_said(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    structure = BlockStructure.of(np.ones((27, 2), bool), (3, 3, 48, 256), (16, 128))
    assert gpu_unsupported(BlockSparse(None, structure), "bfloat16", 64) is None
    assert gpu_unsupported(BlockSparse(None, structure), "bfloat16", 63) == "63 images are fewer than 64"
    assert gpu_unsupported(BlockSparse(None, structure), "float32", 64) == "float32 is neither bfloat16 nor float16"
    crossing = BlockStructure.of(np.ones((14, 2), bool), (3, 3, 48, 256), (32, 128))
    assert (
        gpu_unsupported(BlockSparse(None, crossing), "bfloat16", 64)
        == "its 48 input channels are not whole blocks of 32"
    )
    x, weight, _ = case(8, (4, 4), (3, 3), 16, 64, (16, 64), "bfloat16")
    assert choose_backend(None, weight, "bfloat16", x, images=8) == ("xla", "8 images are fewer than 64")
    with pytest.raises(ConfigError, match="8 images are fewer than 64; give 'xla' or None"):
        block_conv(x, weight, backend="gpu")
