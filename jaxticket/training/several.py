"""One progress that tells several."""

from collections.abc import Sequence
from typing import Any

from jaxticket.training.progress import Progress


class Several:
    """Tells all of `parts` what it is told, in their order."""

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
