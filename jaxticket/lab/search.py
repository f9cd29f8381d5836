"""A search for good values of some keys: Optuna draws them, and its journal in the work folder is shared by tasks.

The journal has every trial. A task takes a trial that was begun by a task which is gone, else draws a new one, so that
what was stopped goes on, and tasks at once do not do the same. The draw of a trial depends only on those before it.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxticket import storage
from jaxticket.core.errors import ConfigError, one_line
from jaxticket.lab.swept_keys import SweptKey

_STUDY = "jaxticket"
_SECONDS_BETWEEN_LOOKS = 0.2


@dataclasses.dataclass(frozen=True)
class DrawnTrial:
    """A trial.

    Attributes:
        number: from 0.
        drawn: by key what Optuna drew, JSON-ready.
        overrides: by key its value.
        score: None where it has none, since it failed or is not `finished`.
        finished: whether it needs not be run.
    """

    number: int
    drawn: dict[str, Any]
    overrides: dict[str, Any]
    score: float | None = None
    finished: bool = False


class Search:
    """The trials of a search.

    Args:
        folder: of the journal `optuna.log`, and of what tells which trials are being run.
        keys: what is drawn.
        trials: how many there are in all.

    Raises:
        ConfigError: Optuna is not installed.
    """

    def __init__(self, folder: Path, keys: Sequence[SweptKey], trials: int) -> None:
        try:
            import optuna  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ConfigError(
                "--search=optuna: needs the package optuna, which is not installed; run `pip install optuna`"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self.folder, self._keys, self._trials = folder, keys, trials
        self._journal = folder / "optuna.log"
        self._held: dict[int, storage.Lock] = {}

    def take(self, check: Callable[[], None] = lambda: None) -> DrawnTrial | None:
        """A trial to be run, until `tell` nobody else's; None where all there are to be are done or run elsewhere.

        `check` is called while another task draws; raises to stop.

        Raises:
            ConfigError: the journal cannot be read.
            TicketError: the operating system refuses to write.
        """
        states = self._optuna.trial.TrialState
        with self._alone(check), self._named():
            study = self._study()
            for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
                lock = storage.Lock(self.folder / f"trial-{trial.number}")
                if lock.take() is not None:
                    continue
                if len(trial.params) == len(self._keys):
                    return self._hold(lock, trial)
                study.tell(trial.number, state=states.FAIL)  # its task was killed while it was drawn
                _give_back(lock)
            if len(self._drawn(study)) >= self._trials:
                return None
            trial = study.ask({one.key: self._distribution(one) for one in self._keys})
            lock = storage.Lock(self.folder / f"trial-{trial.number}")
            lock.take()
            return self._hold(lock, trial)

    def trial_of(self, number: int, drawn: dict[str, Any]) -> DrawnTrial:
        """The trial of this number, not run yet, from what was drawn."""
        return DrawnTrial(number, drawn, {one.key: _override(one, drawn[one.key]) for one in self._keys})

    def tell(self, number: int, score: float | None) -> None:
        """Notes the score of a trial, higher being better; None for one that failed.

        Raises:
            ConfigError: the journal cannot be read.
        """
        with self._named():
            state = self._optuna.trial.TrialState.FAIL if score is None else None
            self._study().tell(number, score, state=state, skip_if_finished=True)
        _give_back(self._held.pop(number))

    def release(self) -> None:
        """Leaves what this task has begun to others, or to itself when it starts again."""
        while self._held:
            _give_back(self._held.popitem()[1])

    def trials(self) -> list[DrawnTrial]:
        """All trials that were drawn, by number; nothing is written.

        Raises:
            ConfigError: the journal cannot be read.
        """
        if not self._journal.is_file():
            return []
        with self._named():
            return [self._known(trial) for trial in self._drawn(self._study())]

    def _hold(self, lock: storage.Lock, trial: Any) -> DrawnTrial:
        self._held[trial.number] = lock
        return self._known(trial)

    def _known(self, trial: Any) -> DrawnTrial:
        found, state = self.trial_of(trial.number, dict(trial.params)), getattr(trial, "state", None)
        if state is None or not state.is_finished():
            return found
        return dataclasses.replace(found, score=trial.value, finished=True)

    def _drawn(self, study: Any) -> list[Any]:
        return [one for one in study.get_trials(deepcopy=False) if len(one.params) == len(self._keys)]

    def _study(self) -> Any:
        from optuna.storages import JournalStorage  # pyright: ignore[reportMissingImports]
        from optuna.storages.journal import JournalFileBackend  # pyright: ignore[reportMissingImports]

        kept_in = JournalStorage(JournalFileBackend(str(self._journal)))
        how = {"study_name": _STUDY, "storage": kept_in, "load_if_exists": True, "direction": "maximize"}
        study = self._optuna.create_study(**how)
        # One seed for all would draw the same again after a stop, and in tasks at once.
        study.sampler = self._optuna.samplers.TPESampler(seed=len(study.get_trials(deepcopy=False)))
        return study

    def _distribution(self, one: SweptKey) -> Any:
        kinds = self._optuna.distributions
        if not one.is_range:  # by their numbers, for Optuna takes neither tuples nor groups
            return kinds.CategoricalDistribution(range(len(one.values)))
        if isinstance(one.low, float):
            return kinds.FloatDistribution(one.low, one.high, log=one.log)
        return kinds.IntDistribution(int(one.low), int(one.high), log=one.log)

    @contextlib.contextmanager
    def _alone(self, check: Callable[[], None]) -> Iterator[None]:
        """In this context no other task draws."""
        lock = storage.Lock(self.folder)
        while lock.take() is not None:
            check()
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Says in one line what is wrong with the journal."""
        try:
            with storage.naming_errors("write", self._journal):
                yield
        except (KeyError, ValueError, AssertionError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"{self._journal}: is no journal of this search ({one_line(error)}); remove it to begin anew"
            ) from error


def _override(one: SweptKey, drawn: Any) -> Any:
    """The value of a key: of a float six digits, so that what is shown and typed is what was run."""
    if not one.is_range:
        return one.values[drawn]
    return min(max(float(f"{drawn:.6g}"), one.low), one.high) if isinstance(one.low, float) else drawn


def _give_back(lock: storage.Lock) -> None:
    lock.release()
    with contextlib.suppress(OSError):
        lock.folder.rmdir()
