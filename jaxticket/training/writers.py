"""Learning curves for TensorBoard and Weights & Biases while networks train; the packages load when asked for.

`metrics.jsonl` is written in any case and has every epoch of every seed. What is written here is what is shown while
training: for seeds that train side by side their mean, under the label of all.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import must_be_one_of
from jaxticket.training.progress import Quiet

# Name of a writer -> the package it needs, by which it is imported and installed.
PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


class Writer(Protocol):
    """Takes numbers of a network that trains."""

    def write(self, label: str, step: int, values: Mapping[str, float]) -> None:
        """Takes the numbers of the network `label` after `step` steps."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class TensorBoard:
    """Event files under `FOLDER/tensorboard`, one run for each network; TensorFlow is not needed."""

    def __init__(self, folder: Path, name: str, config: Mapping[str, Any]) -> None:
        from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

        self._folder, self._open = folder / "tensorboard", SummaryWriter
        self._label, self._file = "", None

    def write(self, label: str, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each curve of the network, and gives it to the disk."""
        if label != self._label:
            self.close()
            self._label, self._file = label, self._open(str(self._folder / label), write_to_disk=True)
        for name, value in values.items():
            self._file.add_scalar(name, value, step)  # type: ignore[union-attr]
        self._file.flush()  # type: ignore[union-attr]

    def close(self) -> None:
        """Closes the file of the network that was last."""
        if self._file is not None:
            self._file.close()
        self._label, self._file = "", None


class Wandb:
    """One run for the experiment, which continues where the command does; `WANDB_MODE=offline` needs no account."""

    def __init__(self, folder: Path, name: str, config: Mapping[str, Any]) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        self._run = wandb.init(project="jaxticket", name=name, id=name, resume="allow", dir=folder, config=dict(config))
        self._known: set[str] = set()

    def write(self, label: str, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each curve of the network, over the steps of its own training."""
        axis = f"{label}/step"
        if label not in self._known:
            self._run.define_metric(axis, hidden=True)
            self._run.define_metric(f"{label}/*", step_metric=axis)
            self._known.add(label)
        self._run.log({axis: step, **{f"{label}/{name}": value for name, value in values.items()}})

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


_WRITERS: dict[str, Callable[[Path, str, Mapping[str, Any]], Writer]] = {"tensorboard": TensorBoard, "wandb": Wandb}


def check_writers(names: Sequence[str]) -> None:
    """Refuses writers that do not exist or whose package is not installed; nothing is imported.

    Raises:
        ConfigError: naming the package and how to install it.
    """
    for name in names:
        if name not in PACKAGES:
            raise ConfigError(f"config.writers={name!r}: {must_be_one_of(name, list(PACKAGES))}")
        package = PACKAGES[name]
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"config.writers={name!r}: needs the package {package}, which is not installed; "
                f"run `pip install {package}`"
            )


def open_writers(names: Sequence[str], folder: Path, config: Mapping[str, Any]) -> list[Writer]:
    """Opens writers.

    Args:
        names: of `PACKAGES`, each once.
        folder: of the experiment; its name is that of the run.
        config: the options of the experiment, for the record.

    Raises:
        ConfigError: a writer that does not exist, or whose package is not installed.
    """
    check_writers(names)
    return [_WRITERS[name](folder, folder.name, config) for name in names]


class Curves(Quiet):
    """Gives the numbers of every epoch to writers."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = writers
        self._label = ""

    def start(self, label: str, *, steps: int, done: int, networks: int = 1) -> None:
        self._label = label.replace(" ", "_")  # `imp-1-0 to imp-1-2` becomes a folder and a name

    def epoch(self, record: dict[str, Any]) -> None:
        numbers = {
            name: float(value)
            for name, value in record.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and name != "step"
        }
        for writer in self._writers:
            writer.write(self._label, record["step"], numbers)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()
