"""What is shown while training: a bar on a terminal, plain lines elsewhere, nothing when quiet, or several at once."""

import time
from collections.abc import Sequence
from typing import Any, Protocol

from jaxticket.core.duration_text import duration_text

_SECONDS_BETWEEN_LINES = 10.0


class Remaining(Protocol):
    """What is left of a plan: how many `networks` it has, and how many of them are `finished`."""

    networks: int

    @property
    def finished(self) -> int:
        """Networks that need no more training."""
        ...

    @property
    def seconds_left(self) -> float | None:
        """The time that the others take at the rate so far; None where that is not known."""
        ...


class Progress(Protocol):
    """What shows a run while it continues."""

    def start(self, label: str, *, steps: int, done: int, networks: int = 1) -> None:
        """A network, or several side by side, begins to train, `done` of its `steps` steps having been made before."""
        ...

    def advance(self, step: int, *, images_per_second: float) -> None:
        """`step` steps of the network are done."""
        ...

    def epoch(self, record: dict[str, Any]) -> None:
        """An epoch ended; `record` is its line in the history."""
        ...

    def finish(self, text: str) -> None:
        """The network is done; `text` says how it did."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line happened."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class Quiet:
    """Shows nothing."""

    def start(self, label: str, *, steps: int, done: int, networks: int = 1) -> None: ...
    def advance(self, step: int, *, images_per_second: float) -> None: ...
    def epoch(self, record: dict[str, Any]) -> None: ...
    def finish(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...


class Lines(Quiet):
    """One line for every finished network, and one for an epoch now and then while a long one trains."""

    def __init__(self, plan: Remaining) -> None:
        self._plan = plan
        self._label = ""
        self._last = self._last_left = time.monotonic()

    def start(self, label: str, *, steps: int, done: int, networks: int = 1) -> None:
        self._label = label
        if done:
            self.note(f"{label}: going on from step {done} of {steps}")

    def epoch(self, record: dict[str, Any]) -> None:
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self.note(f"{self._label}: {describe(record)}")

    def finish(self, text: str) -> None:
        self.note(text)
        left = time_left(self._plan)
        if left and time.monotonic() - self._last_left >= _SECONDS_BETWEEN_LINES:
            self.note(f"{self._plan.finished} of {self._plan.networks} networks, {left}")
            self._last_left = time.monotonic()

    def note(self, text: str) -> None:
        print(text, flush=True)
        self._last = time.monotonic()


class Bar(Quiet):
    """Two bars, the networks of the experiment and the steps of the one in training; finished ones scroll by."""

    def __init__(self, plan: Remaining) -> None:
        from rich import progress

        self._plan = plan

        self._bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[detail]}"),
            transient=True,
        )
        self._all = self._bars.add_task("networks", total=plan.networks, detail="")
        self._one = self._bars.add_task("", total=None, detail="", visible=False)
        self._epoch_text = ""
        self._bars.start()

    def start(self, label: str, *, steps: int, done: int, networks: int = 1) -> None:
        self._epoch_text = ""
        self._bars.reset(self._one, total=steps, completed=done, description=label, visible=True, detail="")

    def advance(self, step: int, *, images_per_second: float) -> None:
        detail = f"{self._epoch_text} {images_per_second:,.0f} images/s".strip()
        self._bars.update(self._one, completed=step, detail=detail)
        self._bars.update(self._all, completed=self._plan.finished, detail=time_left(self._plan))

    def epoch(self, record: dict[str, Any]) -> None:
        self._epoch_text = describe(record)

    def finish(self, text: str) -> None:
        self._bars.update(self._all, completed=self._plan.finished, detail=time_left(self._plan))
        self.note(text)

    def note(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        self._bars.stop()


class MultiProgress:
    """Forwards everything to each of `parts`, in their order."""

    def __init__(self, parts: Sequence[Progress]) -> None:
        self._parts = parts

    def start(self, label: str, *, steps: int, done: int, networks: int = 1) -> None:
        for part in self._parts:
            part.start(label, steps=steps, done=done, networks=networks)

    def advance(self, step: int, *, images_per_second: float) -> None:
        for part in self._parts:
            part.advance(step, images_per_second=images_per_second)

    def epoch(self, record: dict[str, Any]) -> None:
        for part in self._parts:
            part.epoch(record)

    def finish(self, text: str) -> None:
        for part in self._parts:
            part.finish(text)

    def note(self, text: str) -> None:
        for part in self._parts:
            part.note(text)

    def close(self) -> None:
        for part in self._parts:
            part.close()


def describe(record: dict[str, Any]) -> str:
    """An epoch's record in a few words."""
    text = f"epoch {record['epoch']} loss {record['train_loss']:.4f}"
    if record.get("val_accuracy") is not None:
        text += f" val {record['val_accuracy']:.4f}"
    return text


def time_left(plan: Remaining) -> str:
    """The time left of a plan in words; empty where it is not known, or nothing is left."""
    seconds = plan.seconds_left
    return f"about {duration_text(seconds)} left" if seconds else ""


def for_terminal(plan: Remaining) -> Progress:
    """The bars where standard output is a terminal, else lines."""
    from rich.console import Console

    return Bar(plan) if Console().is_terminal else Lines(plan)
