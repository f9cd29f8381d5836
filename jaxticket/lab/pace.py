"""The pace of a run: how much of its plan is trained, how long the rest takes, and what later plans can go by."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxticket import storage
from jaxticket.core.errors import JaxticketError
from jaxticket.core.options import digest
from jaxticket.lab.provenance import device
from jaxticket.lab.setting import Setting
from jaxticket.lab.stages.references import Stage
from jaxticket.training.progress import Quiet

_FORMAT = {"format": "jaxticket-rates", "version": 1}
_FILE = "rates.json"
# A rate of less than this is that of loading and compiling.
_LEAST_SECONDS = 1.0


class Pace(Quiet):
    """Measures the rate of a run, and what it leaves to do.

    The time is that of everything between the first steps and now, evaluations and pruning too, so that it holds for
    the whole plan. Networks that another run trains, or that end early, shorten the rest.

    Args:
        planned: the trainings of the plan.

    Attributes:
        done: id -> stage of all that the run has come to, which grows; set when the run begins.
    """

    def __init__(self, planned: Sequence[Stage]) -> None:
        self.done: Mapping[str, Stage] = {}
        self.networks = len(planned)
        self._to_train = [stage for stage in planned if not stage.cached]
        self._seen, self._left, self._trained, self._left_work = -1, self._to_train, 0, 0
        self._current: Stage | None = None
        self._side_by_side = self._steps = self._step = 0
        self._before = 0.0  # work that counts as done here, but was done before the clock ran
        self._origin: float | None = None

    def start(self, label: str, *, steps: int, done: int, networks: int = 1) -> None:
        """One or more networks begin to train."""
        self._count()
        first = label.partition(" to ")[0]
        self._current = next((stage for stage in self._left if stage.label == first), None)
        self._side_by_side, self._steps, self._step = networks, steps, done
        self._before += self._in_training

    def advance(self, step: int, *, images_per_second: float) -> None:
        """So many steps are done; the clock runs from the end of the very first ones, which are compiled."""
        self._step = step
        if self._origin is None:
            self._origin = time.monotonic()
            self._before += self._work

    @property
    def finished(self) -> int:
        """Networks that need no more training."""
        self._count()
        return self.networks - len(self._left)

    @property
    def macs_per_second(self) -> float | None:
        """Multiply-accumulates of training in a second of this run; None before there is a rate."""
        seconds = 0.0 if self._origin is None else time.monotonic() - self._origin
        work = self._work
        return work / seconds if seconds > _LEAST_SECONDS and work > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """The time that the rest of the plan takes at this rate; None before there is one."""
        rate = self.macs_per_second
        left = self._left_work - self._in_training
        return 0.0 if not self._left else None if rate is None else max(left, 0.0) / rate

    def to_json(self) -> dict[str, Any]:
        """For a summary: `networks`, `finished` and `seconds_left`."""
        left = self.seconds_left
        return {"networks": self.networks, "finished": self.finished, "seconds_left": left and round(left, 1)}

    def _count(self) -> None:
        """Counts again what is done, where there is more."""
        if len(self.done) == self._seen:
            return
        self._seen = len(self.done)
        self._left = [stage for stage in self._to_train if stage.id not in self.done]
        self._left_work = sum(stage.cost.macs for stage in self._left)
        own = [stage for stage in self._to_train if stage.id in self.done and not self.done[stage.id].cached]
        self._trained = sum(stage.cost.macs for stage in own)
        if self._current is not None and self._current.id in self.done:
            self._current = None

    @property
    def _work(self) -> float:
        """Multiply-accumulates since the clock runs."""
        self._count()
        return self._trained + self._in_training - self._before

    @property
    def _in_training(self) -> float:
        """Multiply-accumulates of the networks in training, those of an earlier run included."""
        if self._current is None:
            return 0.0
        cost = self._current.cost
        return self._side_by_side * (cost.macs - (self._steps - self._step) * cost.macs / max(cost.steps, 1))


def keep_rate(stages: Path, setting: Setting, macs_per_second: float) -> None:
    """Notes in a folder of stages at which rate this machine trains a network; what cannot be written is not noted."""
    try:
        rates = _read(stages)
        rates |= dict.fromkeys(_names(setting), macs_per_second)
        storage.write_bytes(stages / _FILE, storage.checked_json({**_FORMAT, "rates": rates}, _FILE))
    except JaxticketError:
        return


def known_rate(stages: Path, setting: Setting) -> tuple[float, bool] | None:
    """Multiply-accumulates in a second of training on this machine, noted in a folder of stages.

    Returns:
        The rate, and whether it is that of this network on such batches; that of whatever was trained last where this
        one was not, and None where nothing was.
    """
    rates = _read(stages)
    return next(((rates[name], i == 0) for i, name in enumerate(_names(setting)) if name in rates), None)


def _names(setting: Setting) -> tuple[str, str]:
    """What rates are noted by: machine and network, and the machine alone."""
    machine = device()
    train = setting.options.train
    return digest([machine, setting.network_key(), train.batch_size, train.compute_dtype], 12), digest(machine, 12)


def _read(stages: Path) -> dict[str, float]:
    """The rates that are noted; none where the file is absent or damaged."""
    file = stages / _FILE
    if not file.is_file():
        return {}
    try:
        content = storage.parse_checked_json(storage.read_bytes(file), file, _FORMAT)
    except JaxticketError:
        return {}
    rates = content.get("rates")
    return {name: rate for name, rate in rates.items() if isinstance(rate, float) and rate > 0} if rates else {}
