"""How high the test error rises between two networks, as a stage."""

from collections.abc import Mapping
from typing import Any

from jaxticket.analysis import error_barrier, interpolate
from jaxticket.lab.lab import Lab
from jaxticket.lab.trained import Trained
from jaxticket.training.options import TrainOptions
from jaxticket.training.state import Weights


def barrier_between(lab: Lab, a: Trained, b: Trained, *, train: TrainOptions, points: int = 11) -> Mapping[str, Any]:
    """The test error on the straight line between two networks; running statistics are interpolated too.

    `train` gives batch size and precision of the evaluation, at `points` positions, the ends among them.
    """

    def compute(a: Weights, b: Weights) -> dict[str, Any]:
        positions = [i / (points - 1) for i in range(points)]
        scores = [lab.setting.trainer_of(train).evaluate(interpolate(a, b, at), "test") for at in positions]
        errors = [1 - score.accuracy for score in scores if score is not None]
        found = error_barrier(positions, errors)
        return {"positions": positions, "errors": errors, "barrier": found.height, "at": found.position}

    config = {**lab.setting.batches_key(train), "points": points}
    return lab.measure("barrier", compute, config=config, a=a.weights, b=b.weights)
