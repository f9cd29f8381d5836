"""Small runs of any experiment on digits, and what is said in them."""

import pytest

from jaxticket.core.errors import JaxticketError
from jaxticket.experiments import default_config, make_plan, resolve, run_experiment
from jaxticket.training.progress import Quiet

SMALL = {
    "model.name": "lenet300",
    "model.options.width": 0.1,
    "train.batch_size": 128,
    "train.epochs": 2,
    "train.lr": 0.05,
}


class Notes(Quiet):
    """Keeps what is noted."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def configured(name, changes, recipe=None):
    """An experiment and its options: its defaults, or those of a recipe, with keys such as `train.epochs` changed."""
    config = default_config(name)
    if recipe:
        recipe(config)
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    return resolve(config)


def options_of(name, **changes):
    """An experiment and its options for a narrow network, with keys changed."""
    return configured(name, SMALL | changes)


def run(workdir, name, **changes):
    """The folder of a run, its rows, and what was noted."""
    notes = Notes()
    folder, summary = run_experiment(*options_of(name, **changes), workdir, progress=lambda _: notes)
    return folder, summary["rows"], notes.notes


def refused(workdir, name, message, **changes):
    """Asserts that a plan is refused in one line."""
    with pytest.raises(JaxticketError, match=message) as caught:
        make_plan(*options_of(name, **changes), workdir)
    assert "\n" not in str(caught.value)
