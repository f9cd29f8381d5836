"""Exact pruning of a ResNet-50's weights against a sort: `python benchmarks/select.py`.

Both prune the same 23.5 million float32 weights in 53 leaves to 80 % and must agree to the last bit. About three
minutes on two cores, nearly all of it in the sort. The result is written to `benchmarks/results/`.
"""

import argparse
import sys
from pathlib import Path

# The folder of this file must not be searched for imports: it holds a module named like a standard one.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import jaxticket as jt  # noqa: E402
from benchmarks._measure import first_call, interleaved, ratio, summary, write  # noqa: E402

SPARSITY = 0.8


def resnet50() -> dict[str, jax.Array]:
    """He-normal kernels in the shapes of ResNet-50's 53 convolutions."""
    shapes = {"stem": (7, 7, 3, 64)}
    inputs = 64
    for stage, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
        for block in range(blocks):
            name = f"stage{stage}_block{block}"
            shapes[f"{name}/conv1"] = (1, 1, inputs, width)
            shapes[f"{name}/conv2"] = (3, 3, width, width)
            shapes[f"{name}/conv3"] = (1, 1, width, 4 * width)
            if block == 0:
                shapes[f"{name}/shortcut"] = (1, 1, inputs, 4 * width)
            inputs = 4 * width
    random = np.random.default_rng(0)
    return {
        path: jnp.asarray(random.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[:3]))))
        for path, shape in shapes.items()
    }


@jax.jit
def prune_by_sorting(mask: dict[str, jax.Array], scores: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """What `jt.prune` does, by a stable sort of all scores."""
    paths = sorted(mask)
    flat = jnp.concatenate([jnp.where(mask[path], scores[path], -jnp.inf).ravel() for path in paths])
    order = jnp.argsort(flat)
    kept = jnp.zeros(flat.size, bool).at[order].set(jnp.arange(flat.size) >= round(SPARSITY * flat.size))
    parts = jnp.split(kept, np.cumsum([mask[path].size for path in paths])[:-1])
    return {path: part.reshape(mask[path].shape) for path, part in zip(paths, parts, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="timed calls of each contender")
    rounds = parser.parse_args().rounds

    params = resnet50()
    mask = jt.full_mask(params, [(".*", True)])
    scores = jt.magnitude(params, mask)
    jitted = jax.jit(lambda mask, scores: jt.prune(mask, scores, sparsity=SPARSITY))
    contenders = {
        "prune": lambda: jt.prune(mask, scores, sparsity=SPARSITY),
        "prune in jit": lambda: jitted(mask, scores),
        "prune by layer": lambda: jt.prune(mask, scores, sparsity=SPARSITY, scope="layer"),
        "argsort": lambda: prune_by_sorting(mask, scores),
    }
    first_calls = {name: first_call(call) for name, call in contenders.items()}
    expected = contenders["argsort"]()
    for name in ("prune", "prune in jit"):
        assert jt.distance(contenders[name](), expected) == 0, f"{name} differs from argsort"

    seconds = interleaved(contenders, rounds)
    results = {
        "leaves": len(mask),
        "weights": jt.count(mask)[1],
        "sparsity": SPARSITY,
        "seconds": {name: summary(times) for name, times in seconds.items()},
        "first_call_seconds": {name: round(time, 2) for name, time in first_calls.items()},
        "argsort_seconds_over": {name: ratio(seconds, "argsort", name) for name in contenders if name != "argsort"},
    }
    for name, found in results["seconds"].items():
        print(f"{name:15} first call {first_calls[name]:6.2f} s, then {found}")
    print(f"argsort over prune: {results['argsort_seconds_over']['prune']}")
    print(write("select", results))


if __name__ == "__main__":
    main()
