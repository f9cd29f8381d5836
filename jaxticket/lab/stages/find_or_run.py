"""The stages of a work folder: found, claimed, done and declared complete, by one process or several together."""

import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxticket import storage
from jaxticket.core.errors import TicketError
from jaxticket.core.options import digest
from jaxticket.lab.stages import fingerprint, folder
from jaxticket.lab.stages.folder import Found
from jaxticket.lab.stages.journal import read_journal, write_journal
from jaxticket.lab.stages.own_sources import with_contents
from jaxticket.lab.stages.references import Made, Stage
from jaxticket.lab.stages.rerun import Rerun
from jaxticket.lab.training_cost import NO_COST, TrainingCost
from jaxticket.parallel import processes
from jaxticket.storage import faults
from jaxticket.storage.manifest import MANIFEST

_JOURNAL = "finished.json"
_SECONDS_BETWEEN_LOOKS = 0.2


class Stages:
    """The stages under one work folder.

    Args:
        folder: where the stages are; runs that share it may be under way at the same time.
        execute: False only looks, for plans: nothing is run and nothing is written.
        note: called with one line on what is worth knowing.
        check: called while another run is waited for; raises to stop.
        rerun: which finished stages are done again.

    Attributes:
        asked: every stage asked for, in order and once each.
    """

    def __init__(
        self,
        folder: Path,
        *,
        execute: bool,
        note: Callable[[str], None],
        check: Callable[[], None] = lambda: None,
        rerun: Rerun | None = None,
    ) -> None:
        self.folder = folder
        self.execute = execute
        self.rerun = rerun or Rerun()
        self.asked: dict[str, Stage] = {}
        # Finished stages that are done again -> what tells their manifests from those that are there afterwards.
        self._again: dict[str, list[int]] = {}
        self.note = note
        self._check = check
        self._damaged: set[Path] = set()
        if execute and processes.is_writer():
            for journal in folder.glob(f"*/{_JOURNAL}"):
                with storage.attempt(journal.parent) as holder:
                    if holder is None:
                        self._complete_interrupted(journal)
        if execute:
            processes.wait_for_all("journals")

    def find(
        self,
        kind: str,
        version: int,
        config: Mapping[str, Any],
        inputs: Mapping[str, str],
        *,
        label: str = "",
        work: str = "",
        cost: TrainingCost = NO_COST,
    ) -> Stage:
        """The stage with this key if it is done, else one without content, for `claim` and `finish`.

        Args:
            kind: what is done; with `version`, the part of the key that stands for the code.
            version: raised when the code changes what it computes.
            config: the options it depends on, JSON-ready.
            inputs: name -> key of what it starts from.
            label: what it is called in plans.
            work: how much there is to do, in words.
            cost: of a training in a plan.
        """
        made_from = {"kind": kind, "version": version, "config": with_contents(config), "inputs": inputs}
        made_from = json.loads(json.dumps(made_from))
        key = digest(made_from, 12)
        stage_id = f"{kind}-{key}"
        if stage_id in self.asked:
            return self.asked[stage_id]
        stage = Stage(kind, key, self.folder / stage_id, False, {}, label, work, cost, made_from)
        (found,) = self._look([stage])
        if found is not None and found.again:
            self._again[stage_id] = found.stamp
        elif found is not None:
            stage = _complete(stage, found)
        if stage.cached or not self.execute:
            self.asked[stage_id] = stage
        return stage

    @contextlib.contextmanager
    def claim(self, stages: Sequence[Stage]) -> Iterator[dict[str, Stage]]:
        """In this context no other run computes these stages; one that does so already is waited for.

        The stages are from `find`, not done then.

        Yields:
            Those that are done by now, by id; the others are the caller's to do.

        Raises:
            TicketError: their folders cannot be written to.
        """
        with contextlib.ExitStack() as held:
            for stage in sorted(stages, key=lambda stage: stage.id):  # in one order: no two runs wait for each other
                lock = storage.Lock(stage.folder)
                held.callback(lock.release)
                self._wait(lock, stage)
            for stage in stages:
                journal = stage.folder / _JOURNAL
                if processes.is_writer() and journal.exists():  # who was waited for was killed in the last moment
                    self._complete_interrupted(journal)
            done = {}
            for stage, found in zip(stages, self._look(stages), strict=True):
                if found is not None and not found.again:
                    done[stage.id] = _complete(stage, found)
                elif processes.is_writer():
                    folder.clear_start(stage.folder, again=stage.id in self._again)
            self.asked |= done
            yield done

    def _wait(self, lock: storage.Lock, stage: Stage) -> None:
        said = ""
        while holder := processes.broadcast(lock.take() if processes.is_writer() else None):
            if holder != said:
                self.note(f"waiting for stage {stage.id} ({stage.label}), computed by {holder}")
                said = holder
            self._check()
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def workplace(self, stage: Stage) -> Path:
        """Where this process writes a stage's files, an existing folder: the stage's, or one that nobody reads.

        Of a finished stage that is done again it is a folder in the stage's, which stays as it is until the end.
        """
        place = stage.folder if processes.is_writer() else Path(processes.scratch().name) / stage.id
        if processes.is_writer() and stage.id in self._again:
            place = stage.folder / folder.AGAIN
        with storage.naming_errors("write", place):
            place.mkdir(parents=True, exist_ok=True)
        return place

    def begin(self, stages: Sequence[Stage]) -> None:
        """Notes which sources begin long work whose checkpoints lie in the stages' folders."""
        for stage in stages if processes.is_writer() else ():
            folder.begin(stage.folder)

    def finish(self, done: Sequence[tuple[Stage, list[str], dict[str, Any]]]) -> list[Stage]:
        """Declares stages complete, all of them or none.

        Args:
            done: stages from `find`, the files that were written into their workplaces, and their content.
        """
        written: list[Found] = []
        if processes.is_writer():
            fingerprint.keep_fingerprint(self.folder)
            results = {
                stage.id: {
                    "files": files,
                    "content": content,
                    "made": self._made(stage).to_json(),
                    "again": stage.id in self._again,
                }
                for stage, files, content in done
            }
            written = self._commit(done[0][0].folder / _JOURNAL, results)
            self.rerun.note(results)
        else:
            for stage, *_ in done:
                shutil.rmtree(self.workplace(stage))
        finished = []
        for (stage, *_), found in zip(done, self._told(written), strict=True):
            finished.append(dataclasses.replace(_complete(stage, found), cached=False))
            processes.wait_until_seen(stage.folder / MANIFEST)
        self.asked |= {stage.id: stage for stage in finished}
        return finished

    def _made(self, stage: Stage) -> Made:
        # What other sources began and these ended counts as made by others: who asks for what changed gets it again.
        sources = folder.begun_by(stage.folder) or fingerprint.fingerprint()
        return Made(dict(stage.made_from), self._input_files(stage), sources)

    def _input_files(self, stage: Stage) -> dict[str, str]:
        """Name of an input -> SHA-256 of the file behind it, where that is known by now."""
        files = {}
        for name, key in stage.made_from["inputs"].items():
            stage_id, _, file = str(key).rpartition("/")
            if stage_id in self.asked and (known := self.asked[stage_id].files.get(f"{file}.safetensors")):
                files[name] = known
        return files

    def _commit(self, journal: Path, results: Mapping[str, Any]) -> list[Found]:
        faults.point("stage/commit")
        # A kill between two manifests must not part what was trained together, one between the removal of the
        # checkpoints and the manifest must not lose the training, and one while new files take the places of old ones
        # must not leave a mixture.
        together = len(results) > 1 or any(result.get("again") for result in results.values())
        if together or any(folder.checkpoints(self.folder / stage_id) for stage_id in results):
            write_journal(journal, results)
        written = self._complete(results)
        journal.unlink(missing_ok=True)
        return written

    def _complete_interrupted(self, journal: Path) -> None:
        try:
            self._complete(read_journal(journal))
        except TicketError as error:
            self.note(f"{error}; the stages are done again")
        folder.remove_folder(journal)
        journal.unlink(missing_ok=True)

    def _complete(self, results: Mapping[str, Any]) -> list[Found]:
        return [folder.complete(self.folder / stage_id, result) for stage_id, result in results.items()]

    def _look(self, stages: Sequence[Stage]) -> list[Found | None]:
        """What the manifests say, None where there is no valid one; where stages are run, process 0 looks for all."""
        if not self.execute:
            return [self._read(stage) for stage in stages]
        told = self._told([self._read(stage) for stage in stages] if processes.is_writer() else [])
        for stage, found in zip(stages, told, strict=True):
            if found is not None:
                processes.wait_until_seen(stage.folder / MANIFEST)
        return told

    def _told(self, found: Sequence[Found | None]) -> "list[Any]":
        """What process 0 found, in every process."""
        told = processes.broadcast([one and dataclasses.asdict(one) for one in found])
        return [one and Found(**one) for one in told]

    def _read(self, stage: Stage) -> Found | None:
        try:
            found = folder.find_stage(stage.folder)
        except TicketError as error:
            if self.execute and stage.folder not in self._damaged:
                self.note(f"{error}; the stage is done again")
                self._damaged.add(stage.folder)
            return None
        return found and dataclasses.replace(found, again=self._is_done_again(stage, found))

    def _is_done_again(self, stage: Stage, found: Found) -> bool:
        if stage.id in self._again:  # unless another run has done so in the meantime
            return self._again[stage.id] == found.stamp
        if self.rerun.wants(stage.id, stage.kind, found.sources):
            return True
        now = self._input_files(stage)
        others = [name for name, file in found.input_files.items() if now.get(name, file) != file]
        if others and self.execute:
            self.note(f"{stage.id} ({stage.label}): was made from another {' and '.join(others)}; it is done again")
        return bool(others)


def _complete(stage: Stage, found: Found) -> Stage:
    """A stage with what its manifest says."""
    return dataclasses.replace(stage, cached=True, content=found.content, files=found.files, sources=found.sources)
