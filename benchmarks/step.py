"""What masks cost in training: the masked step against the same step without a mask: `python benchmarks/step.py`.

Both are the trainer's own compiled step on uint8 images of 28x28 that lie on the device, with all kernels pruned to
10 % left. An empty mask compiles to the dense step. One minute on two cores. The result is written to
`benchmarks/results/`.
"""

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The folder of this file must not be searched for imports: it holds a module named like a standard one.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import jax  # noqa: E402
import numpy as np  # noqa: E402

import jaxticket as jt  # noqa: E402
from benchmarks._measure import interleaved, ratio, summary, write  # noqa: E402
from jaxticket import models  # noqa: E402
from jaxticket.data import Dataset, Split  # noqa: E402
from jaxticket.training.options import TrainOptions  # noqa: E402
from jaxticket.training.run_spec import RunSpec  # noqa: E402
from jaxticket.training.state import Keys, MetricSums, Weights  # noqa: E402
from jaxticket.training.trainer import Trainer  # noqa: E402

EVERY_KERNEL = ((r"(.*/)?kernel", True), (r".*", False))
# The optimizer and the steps of one timed round, some tenths of a second of them.
CASES = {"lenet300": ("adam", 100), "conv2": ("adam", 1)}
BATCH_SIZE = 128


def random_dataset(images: int = 6000) -> Dataset:
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        pixels = rng.integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)
        return Split(pixels, rng.integers(0, 10, count).astype(np.int32))

    names = tuple(map(str, range(10)))
    return Dataset("random", split(images), split(0), split(0), 10, names, (0.5,), (0.25,))


def contenders(name: str, dataset: Dataset) -> dict[str, Callable[[], Any]]:
    optimizer, steps = CASES[name]
    options = TrainOptions(optimizer=optimizer, lr=1e-3, batch_size=BATCH_SIZE, weight_decay=1e-4)
    model = models.create_model(name, num_classes=10)
    start = Weights(*models.init_variables(model, jax.random.key(0), (28, 28, 1)))
    trainer = Trainer(functools.partial(models.apply_model, model), dataset, options)
    epoch = trainer.data.epoch(jax.random.key(2), 0)
    full = jt.full_mask(start.params, EVERY_KERNEL)
    masks = {"dense": {}, "masked": jt.prune(full, jt.magnitude(start.params, full), sparsity=0.9)}
    keys = Keys(jax.random.key(2), jax.random.key(1))
    states = {kind: trainer.begin([RunSpec(start, mask, keys)]) for kind, mask in masks.items()}
    chunk = trainer.steps_per_dispatch(start.params)

    def run(kind: str) -> Any:
        for _ in range(steps // chunk):
            states[kind], _ = trainer.run(states[kind], MetricSums.zero(), epoch, chunk)
        return states[kind].params

    return {kind: functools.partial(run, kind) for kind in masks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="timed rounds of each step")
    rounds = parser.parse_args().rounds
    dataset, results = random_dataset(), {}
    for name, (optimizer, steps) in CASES.items():
        seconds = interleaved(contenders(name, dataset), rounds)
        results[name] = {
            "optimizer": optimizer,
            "batch_size": BATCH_SIZE,
            "steps_per_round": steps,
            "seconds": {kind: summary(times) for kind, times in seconds.items()},
            "masked_seconds_over_dense": ratio(seconds, "masked", "dense"),
        }
        print(f"{name}: masked / dense {results[name]['masked_seconds_over_dense']}")
    print(write("step", results))


if __name__ == "__main__":
    main()
