"""What training seeds side by side saves: `python benchmarks/replicates.py`.

LeNet-300-100 on 8x8 digits and on 28x28 images, a few epochs of 3 and of 8 seeds: one after the other (`serial`), in
one program (`vmap`), and as `auto` chooses, with evaluation after every epoch as experiments have it. The 28x28 images
are random; their values do not change the time. Four minutes on two cores. The result is written to
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

import jaxticket as jt  # noqa: E402
from benchmarks._data import digits_or_random  # noqa: E402
from benchmarks._measure import interleaved, ratio, summary, write  # noqa: E402
from jaxticket import models  # noqa: E402
from jaxticket.lab.seeds import choose_replication  # noqa: E402
from jaxticket.parallel import OnePerDevice, Vmapped  # noqa: E402
from jaxticket.training.loop import train_runs  # noqa: E402
from jaxticket.training.options import TrainOptions  # noqa: E402
from jaxticket.training.run_spec import RunSpec  # noqa: E402
from jaxticket.training.state import Keys, Weights  # noqa: E402
from jaxticket.training.trainer import Trainer  # noqa: E402

# Side of the images, batch size and epochs of one timed round, some tenths of a second a network.
CASES = {
    "digits, batches of 64": (8, 64, 6),
    "digits, batches of 16": (8, 16, 2),
    "28x28, batches of 128": (28, 128, 1),
}
SEEDS = (3, 8)


def contenders(trainer: Trainer, starts: list[RunSpec], auto: str) -> dict[str, Callable[[], Any]]:
    def serial() -> Any:
        return [train_runs(trainer, [start])[0].last for start in starts]

    def vmap() -> Any:
        return [fit.last for fit in train_runs(trainer.on(Vmapped()), starts)]

    def devices() -> Any:
        many = jax.local_devices()
        groups = [starts[first : first + len(many)] for first in range(0, len(starts), len(many))]
        layouts = [OnePerDevice.of(many[: len(group)]) for group in groups]
        return [
            fit.last
            for group, layout in zip(groups, layouts, strict=True)
            for fit in train_runs(trainer.on(layout), group)
        ]

    calls: dict[str, Callable[[], Any]] = {"serial": serial, "vmap": vmap}
    if jax.local_device_count() > 1:
        calls["devices"] = devices
    return calls | {"auto": calls[auto]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="timed rounds of each")
    rounds = parser.parse_args().rounds
    results: dict[str, Any] = {}
    for (name, (side, batch_size, epochs)), count in ((case, count) for case in CASES.items() for count in SEEDS):
        options = TrainOptions(epochs=epochs, batch_size=batch_size, optimizer="adam", lr=1e-3)
        model = models.create_model("lenet300", num_classes=10)
        trainer = Trainer(
            functools.partial(models.apply_model, model),
            digits_or_random(side, channels=1, train=6000, rest=600),
            options,
        )
        starts = []
        for seed in range(count):
            key = jax.random.key(seed)
            weights = Weights(*models.init_variables(model, key, (side, side, 1)))
            keys = Keys(jax.random.fold_in(key, 1), jax.random.fold_in(key, 2))
            starts.append(RunSpec(weights, jt.full_mask(weights.params), keys))
        auto = choose_replication("auto", starts[0].weights.params, batch_size)
        seconds = interleaved(contenders(trainer, starts, auto), rounds)
        ways = [way for way in seconds if way != "auto"]
        fastest = min(ways, key=lambda way: summary(seconds[way])["median"])
        case = f"{name}, {count} seeds"
        results[case] = {
            "steps": trainer.duration.total_steps,
            "auto": auto,
            "fastest": fastest,
            "seconds": {way: summary(times) for way, times in seconds.items()},
            "over_serial": {way: ratio(seconds, way, "serial") for way in seconds if way != "serial"},
            "auto_over_fastest": ratio(seconds, "auto", fastest),
        }
        print(f"{case}: auto = {auto}, over serial {results[case]['over_serial']}", flush=True)
    print(write("replicates", results))


if __name__ == "__main__":
    main()
