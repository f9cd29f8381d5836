"""Block-sparse products, layers and whole models against dense ones: `python benchmarks/kernels.py`.

Products of matrices and convolutions whose kernels keep a share of their blocks at random, at several densities; from
the times follows for each the density at which sparse and dense take equally long. Then whole networks, pruned by
blocks, by scattered weights and by whole channels, as `jt.sparsify` makes them, once by prediction and once by
measurement. `--threads=1` uses one core. `--torch=PYTHON` names an interpreter that has PyTorch, whose product with
block-sparse rows (BSR) is then timed on the same shapes. Some fifteen minutes on two quiet cores; `--quick` takes two.
The result is written to `benchmarks/results/`.
"""

import argparse
import functools
import itertools
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The folder of this file must not be searched for imports: it holds a module named like a standard one.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import subprocess  # noqa: E402


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=0, help="cores to use; 0 is all")
    parser.add_argument("--rounds", type=int, default=9, help="timed calls of each contender")
    parser.add_argument("--parts", default="products,convolutions,models", help="which of these to run")
    parser.add_argument("--torch", default="", help="a Python interpreter that has PyTorch")
    parser.add_argument("--quick", action="store_true", help="few shapes and networks")
    return parser.parse_args()


OPTIONS = options()
if OPTIONS.threads:  # before JAX counts the cores
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: OPTIONS.threads]))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import jaxticket as jt  # noqa: E402
from benchmarks._measure import interleaved, ratio, summary, write  # noqa: E402
from jaxticket import models  # noqa: E402
from jaxticket.kernels.convert.layers import run_dense, run_sparse  # noqa: E402
from jaxticket.kernels.formats.conv_geometry import ConvGeometry  # noqa: E402
from jaxticket.kernels.layer_shape import LayerShape  # noqa: E402

DENSITIES = (0.05, 0.1, 0.25, 0.5, 0.75)
BLOCKS = ((16, 128), (64, 128), (128, 128))
SQUARE = (2048, 2048, 2048)
# (rows, inputs, outputs): square; the first layer of a ViT-S block, 8 images of 196 tokens; one of a small batch.
PRODUCTS = (SQUARE, (1024, 1024, 1024), (512, 4096, 4096), (1568, 384, 1536), (64, 1024, 4096))
# (images, side, inputs, outputs, stride) of 3x3 convolutions: the stages of a ResNet-18 for images of 32 pixels.
CONVOLUTIONS = (
    (32, 32, 64, 64, 1),
    (32, 16, 128, 128, 1),
    (32, 8, 256, 256, 1),
    (32, 4, 512, 512, 1),
    (32, 16, 128, 256, 2),
)
# Network, sparsity, batch.
MODELS = (
    ("lenet300", 0.9, 256), ("conv6", 0.9, 32), ("resnet20", 0.8, 64), ("resnet18", 0.9, 16),
    ("vgg16", 0.9, 32), ("mobilenet_v2", 0.7, 16), ("vit_ti", 0.8, 16),
)  # fmt: skip
TORCH = """
import json, sys, time, torch
torch.set_num_threads(int(sys.argv[2]))
(rows, inputs, outputs), out = json.loads(sys.argv[1])["shape"], []
x = torch.randn(inputs, rows)
for block, density in json.loads(sys.argv[1])["cases"]:
    grid = torch.rand(outputs // block, inputs // block) < density
    weight = torch.randn(outputs, inputs) * grid.repeat_interleave(block, 0).repeat_interleave(block, 1)
    sparse, seconds = weight.to_sparse_bsr((block, block)), ([], [])
    for number in range(int(sys.argv[3]) + 1):
        for of, matrix in zip(seconds, (weight, sparse)):
            start = time.perf_counter()
            matrix @ x
            of.append(time.perf_counter() - start)
    dense, bsr = (sorted(of[1:])[len(of) // 2 - 1] for of in seconds)
    out.append({"block": [block, block], "density": density, "dense": dense, "bsr": bsr, "times_faster": dense / bsr})
print(json.dumps({"version": torch.__version__, "cases": out}))
"""


def random_weight(shape: tuple[int, ...], block: tuple[int, int], density: float) -> jt.BlockSparse:
    random = np.random.default_rng(0)
    inputs, outputs = math.prod(shape[:-1]), shape[-1]
    block = min(block[0], inputs), min(block[1], outputs)
    grid = np.zeros((-(-inputs // block[0]), -(-outputs // block[1])), bool)
    grid.flat[random.permutation(grid.size)[: max(1, round(density * grid.size))]] = True
    mask = np.kron(grid, np.ones(block, bool)).astype(bool)[:inputs, :outputs].reshape(shape)
    return jt.BlockSparse.from_dense(random.standard_normal(shape).astype(np.float32), mask, block)


def layer(call: LayerShape, block: tuple[int, int], rounds: int) -> dict[str, Any]:
    """Dense and sparse seconds of one layer, and the density at which they meet."""
    random = np.random.default_rng(1)
    x, kernel = (jnp.asarray(random.standard_normal(shape), jnp.float32) for shape in (call.x, call.kernel))
    weights = {density: random_weight(call.kernel, block, density) for density in DENSITIES}
    dense, sparse = jax.jit(functools.partial(run_dense, call)), jax.jit(functools.partial(run_sparse, call))
    contenders = {"dense": functools.partial(dense, x, kernel)}
    contenders |= {str(density): functools.partial(sparse, x, weight) for density, weight in weights.items()}
    for density, weight in weights.items():
        expected, found = dense(x, weight.to_dense()), contenders[str(density)]()
        assert float(jnp.abs(found - expected).max() / jnp.abs(expected).max()) < 1e-4
    seconds = interleaved(contenders, rounds)
    faster = {str(density): ratio(seconds, "dense", str(density)) for density in DENSITIES}
    found = {
        "x": call.x,
        "kernel": call.kernel,
        "block": block,
        "density": {str(density): round(weight.density, 4) for density, weight in weights.items()},
        "seconds": {name: summary(times) for name, times in seconds.items()},
        "times_faster": faster,
        "crossover_density": crossover([faster[str(density)]["median"] for density in DENSITIES]),
    }
    speeds = " ".join(f"{density}: {faster[str(density)]['median']:.2f}x" for density in DENSITIES)
    print(
        f"{call.x} @ {call.kernel} {block[0]}x{block[1]}: {speeds}, crossover {found['crossover_density']}", flush=True
    )
    return found


def crossover(faster: Sequence[float]) -> float | str:
    """The density at which sparse is as fast as dense, on straight lines between the logarithms of those measured."""
    if faster[0] < 1:
        return f"below {DENSITIES[0]}"
    points = list(zip(np.log(DENSITIES), np.log(faster), strict=True))
    for (left, high), (right, low) in itertools.pairwise(points):
        if low < 0:
            return float(f"{math.exp(left + (right - left) * high / (high - low)):.2g}")
    return f"above {DENSITIES[-1]}"


def model(name: str, sparsity: float, batch: int, rounds: int) -> list[dict[str, Any]]:
    """A network, pruned in three ways, as `jt.sparsify` makes it by prediction and by measurement."""
    side = 28 if name.startswith("lenet") else 32
    shape = (side, side, 1 if side == 28 else 3)
    net = models.create_model(name, 10)
    params, state = models.init_variables(net, jax.random.key(0), shape)
    variables = {"params": params, **state}
    x = jnp.asarray(np.random.default_rng(0).standard_normal((batch, *shape), np.float32))
    full, dense, rows = jt.full_mask(params), jax.jit(net.apply), []
    for granularity, unit in (
        ("block:16x128", jt.block(16, 128)),
        ("channel", jt.channel()),
        ("unstructured", jt.UNSTRUCTURED),
    ):
        mask = jt.prune(full, jt.magnitude(params, full), sparsity=sparsity, scope="layer", granularity=unit)
        masked = {**variables, "params": jt.apply_mask(params, mask)}
        for measure in (False, True):
            found = jt.sparsify(net, variables, mask, x, measure=measure)
            contenders = {
                "dense": functools.partial(dense, masked, x),
                "sparse": functools.partial(jax.jit(found.apply), found.variables, x),
            }
            seconds = interleaved(contenders, rounds)
            rows.append({
                "model": name, "batch": batch, "sparsity": sparsity, "granularity": granularity,
                "decided_by": "measurement" if measure else "prediction",
                "layers_sparse": sum(layer.form != "dense" for layer in found.report.layers),
                "layers": len(found.report.layers),
                "bytes": found.report.bytes, "difference": float(f"{found.report.difference:.2g}"),
                "seconds": {key: summary(times) for key, times in seconds.items()},
                "times_faster": ratio(seconds, "dense", "sparse"),
            })  # fmt: skip
            row = rows[-1]
            print(
                f"{name} batch {batch}, {sparsity:.0%} by {granularity}, by {row['decided_by']}: "
                f"{row['layers_sparse']} of {row['layers']} layers sparse, {row['times_faster']['median']:.2f}x",
                flush=True,
            )
    return rows


def torch_rows(python: str, rounds: int) -> dict[str, Any]:
    """Times of PyTorch's product of a BSR matrix with a dense one."""
    cases = [(block, density) for block in (64, 128) for density in DENSITIES]
    content = json.dumps({"shape": SQUARE, "cases": cases})
    command = [python, "-W", "ignore", "-c", TORCH, content, str(len(os.sched_getaffinity(0))), str(rounds)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    quick, rounds, parts = OPTIONS.quick, OPTIONS.rounds, OPTIONS.parts.split(",")
    results: dict[str, Any] = {"threads": len(os.sched_getaffinity(0))}
    if "products" in parts:
        shapes = PRODUCTS[1:2] if quick else PRODUCTS
        calls = [LayerShape((rows, inputs), (inputs, outputs), "float32") for rows, inputs, outputs in shapes]
        results["products"] = [layer(call, block, rounds) for call in calls for block in BLOCKS[: 1 if quick else None]]
    if "convolutions" in parts:
        results["convolutions"] = []
        for images, side, inputs, outputs, stride in CONVOLUTIONS[1:2] if quick else CONVOLUTIONS:
            geometry = ConvGeometry((stride, stride), (1, 1), ((1, 1), (1, 1)))
            call = LayerShape((images, side, side, inputs), (3, 3, inputs, outputs), "float32", geometry)
            results["convolutions"].append(layer(call, BLOCKS[0], rounds))
    if "models" in parts:
        listed = MODELS[:1] if quick else MODELS
        results["models"] = [row for name, sparsity, batch in listed for row in model(name, sparsity, batch, rounds)]
        slowest = min(row["times_faster"]["median"] for row in results["models"])
        results["slowest_model"] = slowest
        print(f"no model is slower than {slowest:.2f}x of dense")
    if OPTIONS.torch:
        results["torch_bsr"] = torch_rows(OPTIONS.torch, min(rounds, 3))
        print(results["torch_bsr"])
    print(write(f"kernels {OPTIONS.threads or 'all'} threads", results))


if __name__ == "__main__":
    main()
