"""What aids add to a training step while they are on: `python benchmarks/aids.py`.

Ten steps of training with soft activations, with ghost skips and with both against ten without, in turns:
LeNet-300-100 and Conv-3 on 8x8 digits, ResNet-20 on 32x32 images (random, as their values do not change the time). When
the aids have ended the step is the plain one again. Learned scales come before training: `scales` are ten iterations of
them, on digits alone, as larger images take too long. Thirteen minutes on two cores. The result is written to
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
import jax.numpy as jnp  # noqa: E402

import jaxticket as jt  # noqa: E402
from benchmarks._data import digits_or_random  # noqa: E402
from benchmarks._measure import interleaved, ratio, summary, write  # noqa: E402
from jaxticket import models, recipes  # noqa: E402
from jaxticket.data import Dataset  # noqa: E402
from jaxticket.lab.aid_options import AidOptions  # noqa: E402
from jaxticket.lab.aids import NetworkAid  # noqa: E402
from jaxticket.recipes.rescale_adam import initial_state  # noqa: E402
from jaxticket.recipes.scaling import scaled_leaves, scaling_step  # noqa: E402
from jaxticket.training.options import TrainOptions  # noqa: E402
from jaxticket.training.run_spec import RunSpec  # noqa: E402
from jaxticket.training.state import Keys, Weights  # noqa: E402
from jaxticket.training.trainer import Trainer  # noqa: E402

BATCH, STEPS = 64, 10
CASES = {"lenet300 on digits": ("lenet300", 8), "conv3 on digits": ("conv3", 8), "resnet20": ("resnet20", 32)}
AIDS = {
    "plain": AidOptions(),
    "soft": AidOptions(activation="swish"),
    "ghost": AidOptions(ghost_skips=True),
    "both": AidOptions(activation="swish", ghost_skips=True),
}


class Run:
    """A network in training with its aids on."""

    def __init__(self, model: Any, dataset: Dataset, shape: tuple[int, ...], weights: Weights, aids: AidOptions):
        how = TrainOptions(epochs=10**4, batch_size=BATCH, lr=0.01)
        aid = None
        if aids.in_network:
            aid = NetworkAid(model, shape, aids, 10**6)
        self.trainer = Trainer(functools.partial(models.apply_model, model), dataset, how, aid=aid)
        self.key = jax.random.key(1)
        self.state = self.trainer.begin([RunSpec(weights, jt.full_mask(weights.params), Keys(self.key, self.key))])

    def steps(self) -> Any:
        """Ten steps."""
        sums = self.trainer.zero_sums(1)
        epoch, chunk = self.trainer.data.epoch(self.key, 0), self.trainer.steps_per_dispatch(self.state.params)
        for first in range(0, STEPS, chunk):
            self.state, sums = self.trainer.run(self.state, sums, epoch, min(chunk, STEPS - first))
        return sums


def scaling(model: Any, shape: tuple[int, ...], weights: Weights) -> Callable[[], Any]:
    """Ten iterations of learning scales."""

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return models.apply_model(model, params, weights.model_state, x, train=True)[0]

    step = jax.jit(scaling_step(apply, recipes.LrsiOptions()))
    images = jax.random.normal(jax.random.key(2), (BATCH, *shape))
    batch = images, jnp.zeros(BATCH, jnp.int32)

    def run() -> Any:
        state = initial_state(len(scaled_leaves(weights.params)))
        for _ in range(STEPS):
            state, _ = step(state, weights.params, {}, (batch, batch, batch))
        return state

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="timed rounds of each")
    rounds = parser.parse_args().rounds
    results: dict[str, Any] = {}
    for case, (name, side) in CASES.items():
        model = models.create_model(name, num_classes=10)
        dataset = digits_or_random(side, channels=3, train=STEPS * BATCH, rest=BATCH)
        shape = (side, side, 1 if side == 8 else 3)
        weights = Weights(*models.init_variables(model, jax.random.key(0), shape))
        runs = {name: Run(model, dataset, shape, weights, aids).steps for name, aids in AIDS.items()}
        calls: dict[str, Callable[[], Any]] = dict(runs)
        if side == 8:
            calls["scales"] = scaling(model, shape, weights)
        seconds = interleaved(calls, rounds)
        results[case] = {
            "seconds_of_ten_steps": {call: summary(times) for call, times in seconds.items()},
            "over_plain": {call: ratio(seconds, call, "plain") for call in calls if call != "plain"},
        }
        print(f"{case}: {results[case]['over_plain']}", flush=True)
    print(write("aids", results))


if __name__ == "__main__":
    main()
