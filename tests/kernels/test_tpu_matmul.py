"""The TPU kernel: simulated against float64, lowered for TPUs, and with bugs that the simulation has to find."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu

from jaxticket.kernels import BlockSparse
from jaxticket.kernels.backends.tpu import matmul as tpu_module
from jaxticket.kernels.backends.tpu.matmul import tpu_matmul, tpu_tiling, tpu_unsupported
from jaxticket.kernels.formats.block_sparse import BlockStructure

pytestmark = [pytest.mark.feature("sparse kernels")]

# Rows, inputs, outputs, block, dtype: gathered slices, whole registers, and edges that are cut off.
SHAPES = {
    "16x128": (20, 200, 300, (16, 128), "bfloat16"),
    "8x128": (20, 90, 256, (8, 128), "float32"),
    "128x128": (140, 300, 200, (128, 128), "float32"),
}
SMALL = (8, 144, 256, (16, 128), "bfloat16")  # one step for the empty column, two for the full one


def case(rows, inputs, outputs, block, dtype, density=0.5):
    """x, weight and bias; the first column of blocks is empty, the second full."""
    random = np.random.default_rng(0)
    grid = random.random((-(-inputs // block[0]), -(-outputs // block[1]))) < density
    grid[:, 0], grid[:, 1] = False, True
    mask = np.kron(grid, np.ones(block, bool)).astype(bool)[:inputs, :outputs]
    x, weight = (jnp.asarray(random.standard_normal(shape), dtype) for shape in ((rows, inputs), (inputs, outputs)))
    bias = jnp.asarray(random.standard_normal(outputs), jnp.float32)
    return x, BlockSparse.from_dense(weight, mask, block), bias


def exact(x, weight, bias):
    return np.asarray(x, np.float64) @ np.asarray(weight.to_dense(), np.float64) + np.asarray(bias, np.float64)


def simulated(x, weight, bias, relu=False, dtype=jnp.float32):
    how = pltpu.InterpretParams(detect_races=True, num_cores_or_threads=2, random_seed=0)
    return tpu_matmul(x, weight.values, bias, structure=weight.structure, relu=relu, dtype=dtype, interpret=how)


@pytest.mark.parametrize("shape", SHAPES)
def test_simulated_products_equal_float64(shape, monkeypatch, capfd):
    """Of every layout of `x`, with one tile of rows and with two; a result in 16 bits is rounded once."""
    monkeypatch.setattr(tpu_module, "_TILE_ROWS", (128,))
    x, weight, bias = case(*SHAPES[shape])
    relu = shape == "128x128"
    found = simulated(x, weight, bias, relu=relu, dtype=x.dtype)
    assert found.dtype == x.dtype
    expected = np.maximum(exact(x, weight, bias), 0) if relu else exact(x, weight, bias)
    np.testing.assert_allclose(
        np.asarray(found, np.float64), expected, atol=1e-4, rtol=2**-8 if x.dtype == jnp.bfloat16 else 0
    )
    assert "RACE" not in capfd.readouterr().out


def faulty(monkeypatch, **changes):
    """Work lists of which one table is another."""
    made = tpu_module.work_list
    monkeypatch.setattr(
        tpu_module,
        "work_list",
        lambda *how: dataclasses.replace(list_ := made(*how), **{k: f(getattr(list_, k)) for k, f in changes.items()}),
    )


def test_a_wrong_index_is_found(monkeypatch):
    x, weight, bias = case(*SMALL)
    faulty(monkeypatch, inputs=lambda inputs: np.where(np.arange(len(inputs)) == 9, 0, inputs))
    assert np.abs(np.asarray(simulated(x, weight, bias)) - exact(x, weight, bias)).max() > 0.1


def test_a_sum_that_is_not_begun_is_found(monkeypatch):
    x, weight, bias = case(*SMALL)
    monkeypatch.setattr(tpu_module, "_FIRST", 0)
    assert np.isnan(simulated(x, weight, bias)).any()


def test_steps_on_two_cores_are_found_to_race(monkeypatch, capfd):
    x, weight, bias = case(*SMALL)
    monkeypatch.setattr(tpu_module, "_SEMANTICS", ("parallel", "parallel"))
    try:
        simulated(x, weight, bias).block_until_ready()
    except Exception as error:  # later versions of JAX raise, earlier ones print
        found = str(error)
        pltpu.reset_tpu_interpret_mode_state()
    else:
        found = capfd.readouterr().out
    assert "RACE DETECTED" in found


@pytest.mark.parametrize(
    ("block", "dtype"),
    [
        ((8, 128), "float32"),
        ((16, 128), "float32"),
        ((16, 128), "bfloat16"),
        ((32, 256), "float32"),
        ((48, 128), "bfloat16"),
        ((64, 128), "bfloat16"),
        ((128, 128), "bfloat16"),
        ((256, 256), "float32"),
    ],
)
def test_every_kind_of_shape_is_lowered_for_tpus(block, dtype):
    x, weight, bias = case(700, 1000, 600, block, dtype)
    assert tpu_unsupported(weight, dtype) is None
    run = functools.partial(tpu_matmul, structure=weight.structure, relu=True, dtype=jnp.dtype(dtype))
    program = jax.jit(run).trace(x, weight.values, bias).lower(lowering_platforms=("tpu",)).as_text()
    assert program.count("@tpu_custom_call") == 1


def structure(inputs, outputs, block, density=0.3):
    grid = np.random.default_rng(0).random((-(-inputs // block[0]), -(-outputs // block[1]))) < density
    return BlockStructure.of(grid, (inputs, outputs), block)


def packed(inputs, outputs, block):
    return BlockSparse(None, structure(inputs, outputs, block))


def test_plans_fit_and_waste_little():
    """Tiles are as high as the memory allows; steps as deep as they can be with few zeros."""
    assert tpu_tiling(structure(1024, 1024, (16, 128), 1.0), "bfloat16", 4096) == (512, 32, 8, True)
    assert tpu_tiling(structure(1024, 1024, (16, 128), 0.1), "bfloat16", 4096).group == 8
    assert tpu_tiling(structure(1024, 1024, (128, 128), 1.0), "float32", 100) == (128, 4, 1, False)
    assert tpu_tiling(structure(8192, 1024, (16, 128)), "float32", 4096).rows == 128
    assert "32768 inputs of 128 rows do not fit" in tpu_unsupported(packed(32768, 128, (16, 128)), "float32")
    assert "8 inputs deep, which is no multiple of 16 in bfloat16" in tpu_unsupported(
        packed(256, 256, (8, 128)), "bfloat16"
    )
    assert "no multiple of 128" in tpu_unsupported(packed(256, 256, (64, 64)), "float32")
    assert "float16 is neither" in tpu_unsupported(packed(256, 256, (16, 128)), "float16")
