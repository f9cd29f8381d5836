"""Whether input holds training up: `python benchmarks/pipeline.py`.

The trainer's compiled step of ResNet-20 at batch 128 on 32x32 colour images, against its input alone: gather from the
uint8 images on the device, pad-crop, flip, normalisation. Then every other kind of augmentation by itself. A few
minutes on two cores. The result is written to `benchmarks/results/`.
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
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks._measure import interleaved, ratio, summary, write  # noqa: E402
from jaxticket import models  # noqa: E402
from jaxticket.data import Dataset, Split  # noqa: E402
from jaxticket.data.options import AugmentOptions  # noqa: E402
from jaxticket.training.batches import Batches  # noqa: E402
from jaxticket.training.options import TrainOptions  # noqa: E402
from jaxticket.training.run_spec import RunSpec  # noqa: E402
from jaxticket.training.state import Keys, MetricSums, Weights  # noqa: E402
from jaxticket.training.trainer import Trainer  # noqa: E402

BATCH_SIZE = 128
CUSTOMARY = AugmentOptions(crop_padding=4, flip=True)
OTHERS = {
    "rotation": AugmentOptions(rotation=15.0),
    "resized_crop": AugmentOptions(resized_crop=32),
    "cutout": AugmentOptions(cutout=8),
    "mixup": AugmentOptions(mixup=0.2),
}


def random_dataset(images: int) -> Dataset:
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        pixels = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        return Split(pixels, rng.integers(0, 10, count).astype(np.int32))

    names = tuple(map(str, range(10)))
    return Dataset("random", split(images), split(0), split(0), 10, names, (0.5,) * 3, (0.25,) * 3)


def step(dataset: Dataset) -> Callable[[], Any]:
    model = models.create_model("resnet20", num_classes=10)
    start = Weights(*models.init_variables(model, jax.random.key(0), (32, 32, 3)))
    options = TrainOptions(lr=0.1, momentum=0.9, batch_size=BATCH_SIZE)
    trainer = Trainer(functools.partial(models.apply_model, model), dataset, options, CUSTOMARY)
    state = [trainer.begin([RunSpec(start, {}, Keys(jax.random.key(2), jax.random.key(1)))])]
    epoch = trainer.data.epoch(jax.random.key(2), 0)

    def run() -> Any:
        state[0], _ = trainer.run(state[0], MetricSums.zero(), epoch, 1)
        return state[0].params

    return run


def batch(dataset: Dataset, augment: AugmentOptions) -> Callable[[], Any]:
    trainer = Trainer(lambda *_, **__: (jnp.zeros(()), {}), dataset, TrainOptions(batch_size=BATCH_SIZE))
    epoch = trainer.data.epoch(jax.random.key(2), 0)
    steps = trainer.duration.steps_per_epoch
    batches = Batches(BATCH_SIZE, steps, dataset.mean, dataset.std, "float32", augment)

    @jax.jit
    def make(number: jax.Array, epoch: Any) -> Any:
        return batches.for_training(jax.random.fold_in(jax.random.key(3), number), *epoch.take(number, batches))

    return lambda: make(jnp.asarray(7, jnp.int32), epoch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="timed rounds")
    parser.add_argument("--images", type=int, default=50_000, help="images in the data set")
    arguments = parser.parse_args()
    dataset = random_dataset(arguments.images)
    contenders = {"step": step(dataset), "input": batch(dataset, CUSTOMARY)}
    contenders |= {name: batch(dataset, how) for name, how in OTHERS.items()}
    seconds = interleaved(contenders, arguments.rounds)
    images = {
        name: {"images_per_second": summary([BATCH_SIZE / time for time in times])} for name, times in seconds.items()
    }
    shares = {name: ratio(seconds, name, "step") for name in contenders if name != "step"}
    for name, share in shares.items():
        print(f"{name}: {share['median']:.4f} of a training step")
    results = {"batch_size": BATCH_SIZE, "images": arguments.images, "throughput": images, "seconds_over_step": shares}
    print(write("pipeline", results))


if __name__ == "__main__":
    main()
