"""The GPU kernel: lowered for CUDA, simulated against float64, and with bugs that the simulation has to find."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import mosaic_gpu as plgpu

from jaxticket.kernels import BlockSparse
from jaxticket.kernels.backends.gpu import matmul as gpu_module
from jaxticket.kernels.backends.gpu.matmul import gpu_matmul, gpu_tiling
from jaxticket.kernels.backends.gpu.support import gpu_unsupported
from jaxticket.kernels.formats.structure import BlockStructure

pytestmark = [pytest.mark.feature("sparse kernels")]

simulation = pytest.mark.skipif(
    not hasattr(plgpu, "InterpretGPUParams"),
    reason=f"jax {jax.__version__} cannot simulate GPU kernels, jax 0.11 or later can: THE GPU KERNEL IS NOT RUN",
)


def case(rows, inputs, outputs, block, dtype):
    """x, weight and bias; the first column of blocks is empty, the second full."""
    random = np.random.default_rng(0)
    grid = random.random((-(-inputs // block[0]), -(-outputs // block[1]))) < 0.5
    grid[:, 0], grid[:, 1:2] = False, True
    mask = np.kron(grid, np.ones(block, bool)).astype(bool)[:inputs, :outputs]
    x, weight = (jnp.asarray(random.standard_normal(shape), dtype) for shape in ((rows, inputs), (inputs, outputs)))
    bias = jnp.asarray(random.standard_normal(outputs), jnp.float32)
    return x, BlockSparse.from_dense(weight, mask, block), bias


def simulated(x, weight, bias, relu, dtype):
    """Two processors with two slots each, so that slots are used again and again."""
    tiling = gpu_tiling(weight.structure, 1)._replace(stages=2, sms=2)
    how = plgpu.InterpretGPUParams(detect_races=True, on_race="raise")
    found = gpu_matmul(
        x, weight.values, bias, structure=weight.structure, relu=relu, dtype=dtype, tiling=tiling, interpret=how
    )
    return np.asarray(found, np.float64)


def exact(x, weight, bias):
    return np.asarray(x, np.float64) @ np.asarray(weight.to_dense(), np.float64) + np.asarray(bias, np.float64)


@simulation
@pytest.mark.parametrize(
    ("block", "dtype", "result", "relu"),
    [
        ((16, 128), "bfloat16", "bfloat16", True),
        ((64, 128), "bfloat16", "float32", False),
        ((32, 64), "float16", "float16", False),
    ],
)
def test_simulated_products_equal_float64(block, dtype, result, relu):
    """Gathered and whole slices, both widths, several boxes of a result and one, edges that are cut off."""
    x, weight, bias = case(200, 200, 150, block, dtype)
    expected = np.maximum(exact(x, weight, bias), 0) if relu else exact(x, weight, bias)
    found = simulated(x, weight, bias, relu, result)
    rounding = {"bfloat16": 2**-8, "float16": 2**-11, "float32": 0}[result]
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=rounding)


@simulation
def test_a_weight_without_blocks_gives_the_bias():
    x, weight, bias = case(20, 64, 128, (64, 128), "bfloat16")
    assert not weight.structure.count
    np.testing.assert_allclose(simulated(x, weight, bias, False, "float32"), np.tile(bias, (20, 1)))


@simulation
@pytest.mark.parametrize("missing", ["wait_smem_to_gmem", "commit_smem", "barrier_wait"])
def test_a_missing_wait_is_found(missing, monkeypatch):
    x, weight, bias = case(100, 400, 128, (64, 64), "float16")
    monkeypatch.setattr(plgpu, missing, lambda *args, **how: None)
    # Which of them is noticed first depends on how the threads run.
    with pytest.raises(Exception, match=r"RACE DETECTED|Not all copy_smem_to_gmem|no threads observed phase"):
        simulated(x, weight, bias, True, "float16")


@simulation
def test_a_wrong_index_is_found(monkeypatch):
    x, weight, bias = case(100, 100, 128, (32, 64), "float16")
    tables = gpu_module._tables
    monkeypatch.setattr(gpu_module, "_tables", lambda steps: (tables(steps)[0] * 0, *tables(steps)[1:]))
    assert np.abs(simulated(x, weight, bias, False, "float16") - exact(x, weight, bias)).max() > 0.1


@pytest.mark.parametrize(
    ("block", "dtype", "result"),
    [
        ((16, 128), "bfloat16", "bfloat16"),
        ((16, 64), "float16", "float32"),
        ((32, 128), "float16", "float16"),
        ((32, 64), "bfloat16", "float32"),
        ((64, 128), "bfloat16", "float32"),
        ((64, 64), "float16", "float16"),
    ],
)
def test_every_kind_of_shape_is_lowered_for_cuda(block, dtype, result):
    x, weight, bias = case(700, 1000, 600, block, dtype)
    assert gpu_unsupported(weight, dtype) is None
    run = functools.partial(gpu_matmul, structure=weight.structure, relu=True, dtype=jnp.dtype(result))
    program = jax.jit(run).trace(x, weight.values, bias).lower(lowering_platforms=("cuda",)).as_text()
    assert program.count("@mosaic_gpu") == 1


def test_plans_and_reasons():
    """Two tiles of 256 rows for each column of blocks; no more processors than tiles."""
    structure = BlockStructure.of(np.ones((64, 8), bool), (1024, 1024), (16, 128))
    assert gpu_tiling(structure, 512) == (256, 4, 4, True, 16)
    assert gpu_tiling(structure, 100) == (128, 4, 4, True, 8)
    assert gpu_tiling(structure, 100_000).sms == 132
    assert gpu_unsupported(BlockSparse(None, structure), "float32") == "float32 is neither bfloat16 nor float16"
    wide = BlockStructure.of(np.ones((64, 4), bool), (1024, 1024), (16, 256))
    assert "blocks are 16x256" in gpu_unsupported(BlockSparse(None, wide), "bfloat16")
