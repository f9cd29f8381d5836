"""A ResNet-18 without half of its channels against the whole and against the masked one: `python benchmarks/shrink.py`.

All three infer the same batch of CIFAR-sized images, compiled. Of every group of channels that go together the first
half goes; the shrunk network's logits must be those of the masked one. About two minutes on two cores. The result is
written to `benchmarks/results/`.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

# The folder of this file must not be searched for imports: it holds a module named like a standard one.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import jaxticket as jt  # noqa: E402
from benchmarks._measure import interleaved, ratio, summary, write  # noqa: E402
from jaxticket import models  # noqa: E402
from jaxticket.core import paths  # noqa: E402


def without(groups: jt.ChannelGroups, variables: Any, share: float) -> dict[str, np.ndarray]:
    """A mask without the first `share` of each group's channels, in kernels, scales and biases."""
    leaves, mask = paths.leaves(variables), {}
    for group in groups.prunable:
        for part in group.slices:
            if part.role != "input" and part.path.startswith("params/"):
                kept = mask.setdefault(part.path, np.ones(leaves[part.path].shape, bool))
                kept[(*(slice(None),) * part.axis, part.index[: round(share * group.size)].ravel())] = False
    return mask


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="resnet18", help="name of a network")
    parser.add_argument("--batch", type=int, default=32, help="images per call")
    parser.add_argument("--ratio", type=float, default=0.5, help="share of the channels that go")
    parser.add_argument("--rounds", type=int, default=9, help="timed calls of each contender")
    options = parser.parse_args()

    model = models.create_model(options.model, 10)
    params, state = models.init_variables(model, jax.random.key(0), (32, 32, 3))
    variables = {"params": params, **state}
    one = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    mask = without(jt.channel_groups(model.apply, variables, one), variables, options.ratio)
    shrunk = jt.shrink(model.apply, variables, mask, one)
    print(shrunk.report)

    x = jnp.asarray(np.random.default_rng(0).standard_normal((options.batch, 32, 32, 3), np.float32))
    dense, small = jax.jit(model.apply), jax.jit(shrunk.apply)
    expected, found = dense(shrunk.masked, x), small(shrunk.params, x)
    difference = float(jnp.abs(found - expected).max() / jnp.abs(expected).max())
    assert difference < 1e-4, f"the shrunk network's logits differ by {difference}"
    contenders = {
        "dense": lambda: dense(variables, x),
        "masked": lambda: dense(shrunk.masked, x),
        "shrunk": lambda: small(shrunk.params, x),
    }
    seconds = interleaved(contenders, options.rounds)
    results = {
        "model": options.model,
        "batch": options.batch,
        "channels_removed": options.ratio,
        "parameters": shrunk.report.parameters,
        "macs": shrunk.report.macs,
        "relative_difference_of_logits": float(f"{difference:.2g}"),
        "seconds": {name: summary(times) for name, times in seconds.items()},
        "times_faster_than": {name: ratio(seconds, name, "shrunk") for name in ("dense", "masked")},
    }
    for name, of_calls in results["seconds"].items():
        print(f"{name:8} {of_calls}")
    print(f"shrunk is faster by {results['times_faster_than']}")
    print(write("shrink", results))


if __name__ == "__main__":
    main()
