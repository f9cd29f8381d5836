"""Time and density of regrouping by every rule: `python benchmarks/regroup.py`.

The densities are those of a synthetic mask of 512 x 4608, the largest layer of VGG-16, at six rounds of iterative
pruning, and of synthetic masks of all of VGG-16 at nine, beside the paper's (Chen et al. 2022, table A5); the times are
those of this layer, and of all of VGG-16. `--densities` leaves the times out and only prints. About a minute on two
quiet cores. The result is written to `benchmarks/results/`.
"""

import argparse
import functools
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The folder of this file must not be searched for imports: it holds a module named like a standard one.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import jaxticket as jt  # noqa: E402
from benchmarks._measure import interleaved, summary, write  # noqa: E402
from jaxticket.core.masks import Mask  # noqa: E402

DENSITIES = (0.64, 0.4096, 0.3277, 0.2097, 0.1342, 0.1074)
VGG16_CHANNELS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
RULES: dict[str, dict[str, Any]] = {
    "row_budget": {},
    "upstream": {
        **{"rule": "upstream", "min_rows": 17, "on_dense_group": "drop", "on_small_group": "drop"},
        "max_density": 1.0,
    },
    "profile": {"rule": "profile"},
    "residual": {"rule": "residual"},
    "min_count": {"rule": "min_count"},
    "min_count until empty": {"rule": "min_count", "until_empty": True},
    "budget 1": {"rule": "budget"},
    "budget 1.5": {"rule": "budget", "area_ratio": 1.5},
}


def weights(random: np.random.Generator, inputs: int, outputs: int) -> np.ndarray:
    """Absolute weights [3, 3, inputs, outputs], with a scale for each output and each input channel."""
    values = np.abs(random.normal(size=(outputs, inputs, 9)))
    values *= np.exp(0.6 * random.normal(size=(outputs, 1, 1)))
    values *= np.exp(0.6 * random.normal(size=(1, inputs, 1)))
    return values.reshape(outputs, inputs, 3, 3).transpose(2, 3, 1, 0).astype(np.float32)


PAPER = (82.36, 80.00, 69.46, 62.61, 56.09, 46.53, 38.18, 30.98, 25.27)
LIMITS = (1.0, 0.95, 0.9, 0.85)


def vgg16() -> dict[str, jnp.ndarray]:
    """Synthetic weights of the convolutions of VGG-16."""
    random, pairs = np.random.default_rng(0), itertools.pairwise(VGG16_CHANNELS)
    return {
        f"conv{number}/kernel": jnp.asarray(weights(random, *pair) * np.sqrt(2 / (9 * pair[0])).astype(np.float32))
        for number, pair in enumerate(pairs, 1)
    }


def densities_of_rounds(network: dict[str, jnp.ndarray]) -> list[dict[str, float]]:
    """For each round of 20 %, the share of weights that regrouping leaves by `row_budget`, by `max_density`."""
    table = []
    for number, paper in enumerate(PAPER, 1):
        mask = jt.prune(jt.full_mask(network), network, sparsity=1 - 0.8**number)
        layers = jt.regroup(mask, max_density=1.0).report.layers.values()
        total = sum(layer.shape[0] * layer.shape[1] for layer in layers)
        line = {"round": number, "scattered": round(100 * (1 - jt.sparsity(mask)), 1), "paper": paper}
        for limit in LIMITS:
            kept = sum(layer.kept if layer.new_density > limit else layer.new_kept for layer in layers)
            line[str(limit)] = round(100 * kept / total, 1)
        print(line)
        table.append(line)
    return table


def regrouped(mask: Mask, rule: str) -> Mask:
    return jt.regroup(mask, **RULES[rule]).mask


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="timed calls of each contender")
    parser.add_argument("--densities", action="store_true", help="print the densities of nine rounds, and no more")
    arguments = parser.parse_args()
    rounds, network = arguments.rounds, vgg16()
    by_round = densities_of_rounds(network)
    if arguments.densities:
        return

    layer = {"conv/kernel": jnp.asarray(weights(np.random.default_rng(2), 512, 512))}
    full = jt.full_mask(layer)
    table: dict[str, dict[str, dict[str, float]]] = {}
    for density in DENSITIES:
        mask = jt.prune(full, layer, sparsity=1 - density)
        table[str(density)] = {}
        for name, how in RULES.items():
            found = jt.regroup(mask, groups=8, **how).report.layers["conv/kernel"]
            table[str(density)][name] = {
                "density": round(found.new_density, 4),
                "coverage": round(found.coverage, 4),
                "emptied_channels": found.emptied_channels,
                "blocks": len(found.blocks),
            }
            print(f"{density:6} {name:22} {table[str(density)][name]}")

    network_mask = jt.prune(jt.full_mask(network), network, sparsity=1 - 0.8**5)
    layer_mask = jt.prune(full, layer, sparsity=1 - 0.3277)
    contenders: dict[str, Callable[[], Mask]] = {}
    for name in RULES:
        contenders[f"layer, {name}"] = functools.partial(regrouped, layer_mask, name)
    for name in ("row_budget", "budget 1"):
        contenders[f"VGG-16, {name}"] = functools.partial(regrouped, network_mask, name)
    contenders["VGG-16, refill"] = lambda: jt.refill(network_mask, network)
    seconds = {name: summary(times) for name, times in interleaved(contenders, rounds).items()}
    for name, found in seconds.items():
        print(f"{name:30} {found}")

    report = jt.regroup(network_mask).report
    print(report)
    results = {
        "layer": "512 x 4608, groups=8",
        "by_rule": table,
        "by_round": by_round,
        "vgg16": {
            "weights": jt.count(network_mask)[1],
            "density": round(report.density, 4),
            "row_budget": {
                "density": round(report.new_density, 4),
                "coverage": round(report.coverage, 4),
                "structured_share": round(report.structured_share, 4),
            },
            "refill": {"density": round(1 - jt.sparsity(jt.refill(network_mask, network)), 4)},
        },
        "seconds": seconds,
    }
    print(write("regroup", results))


if __name__ == "__main__":
    main()
