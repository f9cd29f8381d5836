"""A trace of some steps of training, for Perfetto, TensorBoard or XProf."""

from pathlib import Path

import jax

from jaxticket.training.progress import Quiet


class Profiler(Quiet):
    """Traces the first network that trains long enough, from its second call of the step on.

    The first call compiles, which would fill the trace. A call of the compiled step may make many steps; the trace ends
    with the call that reaches the number asked for, or where the network is done.

    Args:
        folder: where the trace is written: `plugins/profile/<time>/` in it.
        steps: at least so many are traced.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self._folder, self._steps = folder, steps
        self._until: int | None = None
        self._done = False

    def advance(self, step: int, *, images_per_second: float) -> None:
        if self._done:
            return
        if self._until is None:
            jax.profiler.start_trace(str(self._folder), create_perfetto_trace=True)
            self._until = step + self._steps
        elif step >= self._until:
            self._stop()

    def finish(self, text: str) -> None:
        if self._until is not None:
            self._stop()

    def close(self) -> None:
        self.finish("")

    def _stop(self) -> None:
        jax.profiler.stop_trace()
        self._until, self._done = None, True
