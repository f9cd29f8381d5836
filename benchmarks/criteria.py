"""What scoring costs: each criterion as a multiple of one forward and backward pass: `python benchmarks/criteria.py`.

ResNet-18 and ResNet-50 on one batch of images of 32x32, everything compiled before the clock starts. The first call of
each is timed too: it is mostly compilation, which a criterion outside of `jit` repeats. About ten minutes on two
cores. The result is written to `benchmarks/results/`.
"""

import argparse
import functools
import sys
import time
from collections.abc import Callable
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

# Batch sizes by network.
CASES = {"resnet18": 32, "resnet50": 8}
SHAPE = (32, 32, 3)


def contenders(name: str, batch_size: int) -> dict[str, Callable[[], Any]]:
    model = models.create_model(name, num_classes=10)
    params, state = models.init_variables(model, jax.random.key(0), SHAPE)
    mask = jt.full_mask(params)
    scales = jt.full_mask(params, [(r"(.*/)?scale", True), (".*", False)])
    random = np.random.default_rng(0)
    x = jnp.asarray(random.standard_normal((batch_size, *SHAPE), np.float32))
    labels = jnp.asarray(random.integers(0, 10, batch_size), jnp.int32)
    norms = {path: jnp.ones(kept.shape[-2]) for path, kept in mask.items()}

    def apply_fn(params: Any, x: Any) -> jax.Array:
        return models.apply_model(model, params, state, x, train=False)[0]

    def loss(params: Any, x: Any, labels: Any) -> jax.Array:
        logs = jax.nn.log_softmax(apply_fn(params, x))
        return -jnp.take_along_axis(logs, labels[:, None], axis=1).mean()

    functions = {
        "forward_backward": lambda params, mask, x, labels: jax.grad(loss)(params, x, labels),
        "magnitude": lambda params, mask, x, labels: jt.magnitude(params, mask),
        "random_scores": lambda params, mask, x, labels: jt.random_scores(params, mask, jax.random.key(0)),
        "lamp": lambda params, mask, x, labels: jt.lamp(params, mask),
        "wanda": lambda params, mask, x, labels: jt.wanda(params, mask, norms),
        "snip": lambda params, mask, x, labels: jt.snip(apply_fn, params, mask, [(x, labels)]),
        "grasp": lambda params, mask, x, labels: jt.grasp(apply_fn, params, mask, [(x, labels)]),
        "synflow": lambda params, mask, x, labels: jt.synflow(apply_fn, params, mask, (1, *SHAPE)),
        "obd": lambda params, mask, x, labels: jt.obd(apply_fn, params, mask, [(x, labels)]),
    }
    calls = {key: functools.partial(jax.jit(function), params, mask, x, labels) for key, function in functions.items()}
    return calls | {"bn_scale": functools.partial(jax.jit(jt.bn_scale), params, scales)}


def seconds_of(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(call())
    return float(f"{time.perf_counter() - start:.4g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="timed calls of each contender")
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--batch_size", type=int, help=f"instead of {CASES}")
    arguments = parser.parse_args()
    results = {}
    for name in arguments.networks:
        batch_size = arguments.batch_size or CASES[name]
        calls = contenders(name, batch_size)
        first = {key: seconds_of(call) for key, call in calls.items()}
        seconds = interleaved(calls, arguments.rounds)
        results[name] = {
            "batch_size": batch_size,
            "seconds": {key: summary(times) for key, times in seconds.items()},
            "first_call_seconds": first,
            "over_forward_backward": {key: ratio(seconds, key, "forward_backward") for key in calls},
        }
        for key in calls:
            found = results[name]["over_forward_backward"][key]
            print(f"{name} {key:17} first {first[key]:7.2f} s, over forward_backward {found}", flush=True)
    print(write("criteria", results))


if __name__ == "__main__":
    main()
