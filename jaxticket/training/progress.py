"""What is shown while training: a bar on a terminal, plain lines elsewhere, nothing when quiet, or several at once."""

import time
from collections.abc import Sequence
from typing import Any, Protocol

_SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """What shows a run while it continues."""

    def start(self, label: str, *, steps: int, done: int) -> None:
        """A network begins to train, `done` of its `steps` steps having been made before."""
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

    def start(self, label: str, *, steps: int, done: int) -> None: ...
    def advance(self, step: int, *, images_per_second: float) -> None: ...
    def epoch(self, record: dict[str, Any]) -> None: ...
    def finish(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...


class Lines(Quiet):
    """One line for every finished network, and one for an epoch now and then while a long one trains."""

    def __init__(self) -> None:
        self._label = ""
        self._last = time.monotonic()

    def start(self, label: str, *, steps: int, done: int) -> None:
        self._label = label
        if done:
            self.note(f"{label}: going on from step {done} of {steps}")

    def epoch(self, record: dict[str, Any]) -> None:
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self.note(f"{self._label}: {describe(record)}")

    def finish(self, text: str) -> None:
        self.note(text)

    def note(self, text: str) -> None:
        print(text, flush=True)
        self._last = time.monotonic()


class Bar(Quiet):
    """Two bars, the networks of the experiment and the steps of the one in training; finished ones scroll by."""

    def __init__(self, networks: int) -> None:
        from rich import progress

        self._bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[detail]}"),
            transient=True,
        )
        self._all = self._bars.add_task("networks", total=networks, detail="")
        self._one = self._bars.add_task("", total=None, detail="", visible=False)
        self._epoch_text = ""
        self._bars.start()

    def start(self, label: str, *, steps: int, done: int) -> None:
        self._epoch_text = ""
        self._bars.reset(self._one, total=steps, completed=done, description=label, visible=True, detail="")

    def advance(self, step: int, *, images_per_second: float) -> None:
        detail = f"{self._epoch_text} {images_per_second:,.0f} images/s".strip()
        self._bars.update(self._one, completed=step, detail=detail)

    def epoch(self, record: dict[str, Any]) -> None:
        self._epoch_text = describe(record)

    def finish(self, text: str) -> None:
        self._bars.advance(self._all)
        self.note(text)

    def note(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        self._bars.stop()


class MultiProgress:
    """Forwards everything to each of `parts`, in their order."""

    def __init__(self, parts: Sequence[Progress]) -> None:
        self._parts = parts

    def start(self, label: str, *, steps: int, done: int) -> None:
        for part in self._parts:
            part.start(label, steps=steps, done=done)

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


def for_terminal(networks: int) -> Progress:
    """The bars where standard output is a terminal, else lines."""
    from rich.console import Console

    return Bar(networks) if Console().is_terminal else Lines()
