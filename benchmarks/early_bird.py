"""What looking for early birds adds to an epoch: `python benchmarks/early_bird.py`.

An epoch of training against one look at the masks of three ratios with the decision on the host, in turns: Conv-3 on
8x8 digits, a pre-activation ResNet-20 on 32x32 images (random, as their values do not change the time; 512 of them,
where CIFAR has 50,000, so that the share there is about a hundredth), each with room for 160 looks. `scales` ranks
channels, `weights` single weights. Three minutes on two cores. The result is written to `benchmarks/results/`.
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
from jaxticket.experiments.early_bird.monitors import EmergenceMonitor, ScaleMonitor, WeightMonitor  # noqa: E402
from jaxticket.training.options import TrainOptions  # noqa: E402
from jaxticket.training.run_spec import RunSpec  # noqa: E402
from jaxticket.training.state import Keys, Weights  # noqa: E402
from jaxticket.training.trainer import Trainer  # noqa: E402

LOOKS = 160
CASES = {"conv3 on digits": ("conv3", 8, {}), "preresnet20 on 512 images": ("preresnet", 32, {"depth": 20})}
MONITORS: dict[str, EmergenceMonitor] = {"scales": ScaleMonitor(), "weights": WeightMonitor()}


class Run:
    """A network in training, and what can be done with it."""

    def __init__(self, name: str, side: int, options: dict[str, Any], monitor: EmergenceMonitor) -> None:
        model = models.create_model(name, num_classes=10, **options)
        dataset = digits_or_random(side, channels=3, train=512, rest=128)
        how = TrainOptions(epochs=LOOKS, batch_size=128, lr=0.05, bn_l1=1e-4)
        self.trainer = Trainer(functools.partial(models.apply_model, model), dataset, how)
        weights = Weights(*models.init_variables(model, jax.random.key(0), (side, side, 1 if side == 8 else 3)))
        mask = jt.full_mask(weights.params)
        self.monitor, self.key, self.measurements = monitor, jax.random.key(1), 0
        self.state = self.trainer.begin([RunSpec(weights, mask, Keys(self.key, self.key), monitor=monitor)])

    def epoch(self) -> Any:
        """The steps of an epoch."""
        sums, steps = self.trainer.zero_sums(1), self.trainer.duration.steps_per_epoch
        epoch, chunk = self.trainer.data.epoch(self.key, 0), self.trainer.steps_per_dispatch(self.state.params)
        for first in range(0, steps, chunk):
            self.state, sums = self.trainer.run(self.state, sums, epoch, min(chunk, steps - first))
        return sums

    def look(self) -> Any:
        """A look, and the decision on the host."""
        number = self.measurements % LOOKS
        self.state = self.trainer.update_monitor(self.state, self.monitor, number)
        self.measurements += 1
        return self.monitor.stop(self.state.monitor_state, number + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="timed rounds of each")
    rounds = parser.parse_args().rounds
    results: dict[str, Any] = {}
    for case, (name, side, options) in CASES.items():
        for kind, monitor in MONITORS.items():
            run = Run(name, side, options, monitor)
            calls: dict[str, Callable[[], Any]] = {"epoch": run.epoch, "look": run.look}
            seconds = interleaved(calls, rounds)
            results[f"{case}, {kind}"] = {
                "seconds": {call: summary(times) for call, times in seconds.items()},
                "look_over_epoch": ratio(seconds, "look", "epoch"),
            }
            print(f"{case}, {kind}: {results[f'{case}, {kind}']['look_over_epoch']}", flush=True)
    print(write("early_bird", results))


if __name__ == "__main__":
    main()
