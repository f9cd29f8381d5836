"""One network trained alone, with the parts of its specification as arguments."""

from jaxticket.training.loop import train_runs
from jaxticket.training.run_spec import RunSpec


def train_one(trainer, weights, mask, keys, *, folder=None, progress=None, interrupts=None, **parts):
    """The result of a run; `parts` are the other fields of `RunSpec`."""
    spec = RunSpec(weights, mask, keys, **parts)
    (result,) = train_runs(trainer, [spec], folder=folder, progress=progress, interrupts=interrupts)
    return result
