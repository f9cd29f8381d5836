"""Which finished stages are done again, by the wish of a command: `--rerun`, `--rerun=KIND` or `--rerun=changed`.

What has been done again is noted in the experiment's folder, so that the same command, stopped and started again, goes
on. A stage that is done again stays what it was until its new results are complete.
"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from jaxticket import storage
from jaxticket.core.errors import ConfigError, TicketError
from jaxticket.core.options import must_be_one_of
from jaxticket.lab.stages import fingerprint
from jaxticket.parallel import processes

ALL = "all"
CHANGED = "changed"

_NOTES = "rerun.json"
_FORMAT = {"format": "jaxticket-rerun", "version": 1}


class Rerun:
    """The wish of one command.

    Args:
        what: `all`, the stages of one kind, such as `train`, or those `changed` sources made; empty: none.
        folders: of the experiments of the command; what an earlier start of it did is read there.
    """

    def __init__(self, what: str = "", folders: Sequence[Path] = ()) -> None:
        self.what = what
        self._folders = list(folders)
        self._own: set[str] = set()
        self._file: Path | None = None
        self._checked = False
        self._done = {stage for folder in folders for stage in self._noted(folder)} if what else set()

    def check(self, kinds: Collection[str]) -> None:
        """Refuses a kind of which the command has no stage (`ConfigError`); asked once, for all its experiments."""
        if self._checked:
            return
        self._checked = True
        if self.what and self.what not in (ALL, CHANGED, *kinds):
            raise ConfigError(f"--rerun={self.what}: {must_be_one_of(self.what, [ALL, CHANGED, *sorted(kinds)])}")

    def wants(self, stage_id: str, kind: str, sources: str | None) -> bool:
        """Whether a finished stage is to be done again.

        `sources` is the fingerprint of those that made it; None where it was not noted.
        """
        if not self.what or stage_id in self._done:
            return False
        return self.what in (ALL, kind) or (self.what == CHANGED and sources != fingerprint.fingerprint())

    def begin(self, folder: Path) -> None:
        """What is done from now on is noted in this folder, of an experiment.

        Raises:
            TicketError: the operating system refuses.
        """
        self._file = folder / _NOTES if self.what else None
        self._own = set(self._noted(folder)) if self.what else set()

    def note(self, stages: Iterable[str]) -> None:
        """Notes stages that are done now, by their ids.

        Raises:
            TicketError: the operating system refuses.
        """
        if not self.what:
            return
        self._own |= set(stages)
        self._done |= self._own
        if self._file is not None:
            content = {**_FORMAT, "what": self.what, "sources": fingerprint.fingerprint(), "done": sorted(self._own)}
            storage.write_bytes(self._file, storage.checked_json(content, str(self._file)))

    def finish(self) -> None:
        """Forgets the notes: the next command of this kind begins anew."""
        for folder in self._folders if processes.is_writer() else ():
            forget(folder)

    def _noted(self, folder: Path) -> list[str]:
        """What was done again for the same wish, by the same sources; nothing where the notes are damaged."""
        file = folder / _NOTES
        if not file.is_file():
            return []
        try:
            content = storage.parse_checked_json(storage.read_bytes(file), file, _FORMAT)
            storage.check_fields(content, {"what": str, "sources": str, "done": list}, file)
        except TicketError:
            return []
        return (
            content["done"] if (content["what"], content["sources"]) == (self.what, fingerprint.fingerprint()) else []
        )


def forget(folder: Path) -> None:
    """Removes what an interrupted rerun noted in an experiment's folder."""
    with storage.naming_errors("remove", folder / _NOTES):
        (folder / _NOTES).unlink(missing_ok=True)
