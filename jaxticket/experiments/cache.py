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
from jaxticket.experiments import fingerprint
from jaxticket.experiments.journal import read_journal, write_journal
from jaxticket.experiments.stages import CHECKPOINTS, Made, Stage
from jaxticket.experiments.training_cost import NO_COST, TrainingCost
from jaxticket.parallel import processes
from jaxticket.storage import faults
from jaxticket.storage.manifest import MANIFEST

_JOURNAL = "finished.json"
_SECONDS_BETWEEN_LOOKS = 0.2


class Cache:
    """The stages under one work folder.

    Args:
        folder: where the stages are; runs that share it may be under way at the same time.
        execute: False only looks, for plans: nothing is run and nothing is written.
        note: told in one line what is worth knowing.
        check: called while another run is waited for; stops that by raising.

    Attributes:
        asked: every stage asked for, in order and once each.
    """

    def __init__(
        self, folder: Path, *, execute: bool, note: Callable[[str], None], check: Callable[[], None] = lambda: None
    ) -> None:
        self.folder = folder
        self.execute = execute
        self.asked: dict[str, Stage] = {}
        self._note = note
        self._check = check
        self._damaged: set[Path] = set()
        if execute and processes.is_writer():
            for journal in folder.glob(f"*/{_JOURNAL}"):
                with storage.attempt(journal.parent) as holder:
                    if holder is None:
                        self._complete_interrupted(journal)
        if execute:
            processes.barrier("journals")

    def stage(
        self,
        kind: str,
        version: int,
        config: Mapping[str, Any],
        inputs: Mapping[str, str],
        run: Callable[[Path], tuple[list[str], dict[str, Any]]],
        *,
        label: str = "",
        work: str = "",
    ) -> Stage:
        """The stage with this key, done before or done now.

        Args:
            kind: what is done; with `version`, the part of the key that stands for the code.
            version: raised when the code changes what it computes.
            config: the options it depends on, JSON-ready.
            inputs: name -> key of what it starts from.
            run: does the work in a folder and returns the files it wrote there and its JSON content.
            label: what it is called in plans.
            work: how much there is to do, in words.
        """
        stage = self.find(kind, version, config, inputs, label=label, work=work)
        if stage.id in self.asked:
            return stage
        with self.claim([stage]) as done:
            if stage.id in done:
                return done[stage.id]
            return self.finish([(stage, *run(self.workplace(stage)))])[0]

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
        """The stage with this key if it is done, else one without content, for `claim` and `finish`; as `stage`."""
        made_from = json.loads(json.dumps({"kind": kind, "version": version, "config": config, "inputs": inputs}))
        key = digest(made_from, 12)
        stage_id = f"{kind}-{key}"
        if stage_id in self.asked:
            return self.asked[stage_id]
        stage = Stage(kind, key, self.folder / stage_id, False, {}, label, work, cost, made_from)
        (found,) = self._look([stage.folder])
        if found is not None:
            stage = found.complete(stage)
        if stage.cached or not self.execute:
            self.asked[stage_id] = stage
        return stage

    @contextlib.contextmanager
    def claim(self, stages: Sequence[Stage]) -> Iterator[dict[str, Stage]]:
        """In this context no other run computes these stages; one that does so already is waited for.

        Args:
            stages: from `find`, not done then.

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
            for stage, found in zip(stages, self._look([stage.folder for stage in stages]), strict=True):
                if found is not None:
                    done[stage.id] = found.complete(stage)
            self.asked |= done
            yield done

    def _wait(self, lock: storage.Lock, stage: Stage) -> None:
        said = ""
        while holder := processes.agree(lock.take() if processes.is_writer() else None):
            if holder != said:
                self._note(f"waiting for stage {stage.id} ({stage.label}), computed by {holder}")
                said = holder
            self._check()
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def workplace(self, stage: Stage) -> Path:
        """Where this process writes a stage's files, an existing folder: the stage's, or one that nobody reads."""
        place = stage.folder if processes.is_writer() else Path(processes.scratch().name) / stage.id
        place.mkdir(parents=True, exist_ok=True)
        return place

    def finish(self, done: Sequence[tuple[Stage, list[str], dict[str, Any]]]) -> list[Stage]:
        """Declares stages complete, all of them or none.

        Args:
            done: stages from `find`, the files that were written into their workplaces, and their content.
        """
        results = {
            stage.id: {"files": files, "content": content, "made": self._made(stage).to_json()}
            for stage, files, content in done
        }
        written: list[_Found] = []
        if processes.is_writer():
            fingerprint.keep_fingerprint(self.folder)
            written = self._commit(done[0][0].folder / _JOURNAL, results)
        else:
            for stage, *_ in done:
                shutil.rmtree(self.workplace(stage))
        finished = []
        for (stage, *_), found in zip(done, self._told(written), strict=True):
            finished.append(dataclasses.replace(found.complete(stage), cached=False))
            processes.wait_until_seen(stage.folder / MANIFEST)
        self.asked |= {stage.id: stage for stage in finished}
        return finished

    def _made(self, stage: Stage) -> Made:
        return Made(dict(stage.made_from), {}, fingerprint.fingerprint())

    def _commit(self, journal: Path, results: Mapping[str, Any]) -> "list[_Found]":
        faults.point("stage/commit")
        # A kill between two manifests must not part what was trained together, and one between the removal of the
        # checkpoints and the manifest must not lose the training.
        if len(results) > 1 or any(self._checkpoints(stage_id) for stage_id in results):
            write_journal(journal, results)
        written = self._complete(results)
        journal.unlink(missing_ok=True)
        return written

    def _complete_interrupted(self, journal: Path) -> None:
        try:
            self._complete(read_journal(journal))
        except TicketError as error:
            self._note(f"{error}; the stages are done again")
        _remove(journal)

    def _complete(self, results: Mapping[str, Any]) -> "list[_Found]":
        written = []
        for stage_id, result in results.items():
            for checkpoints in self._checkpoints(stage_id):
                shutil.rmtree(checkpoints, ignore_errors=True)
            faults.point("stage/tidied")
            folder = self.folder / stage_id
            if (folder / MANIFEST).is_dir():
                shutil.rmtree(folder / MANIFEST)
            manifest = storage.write_manifest(folder, result["files"], result["content"], made=result.get("made"))
            written.append(_Found.of(manifest))
        return written

    def _checkpoints(self, stage_id: str) -> list[Path]:
        return list((self.folder / stage_id).glob(f"{CHECKPOINTS}*"))

    def _look(self, folders: Sequence[Path]) -> "list[_Found | None]":
        """What the manifests say, None where there is no valid one; where stages are run, process 0 looks for all."""
        if not self.execute:
            return [self._read(folder) for folder in folders]
        told = self._told([self._read(folder) for folder in folders] if processes.is_writer() else [])
        for folder, found in zip(folders, told, strict=True):
            if found is not None:
                processes.wait_until_seen(folder / MANIFEST)
        return told

    def _told(self, found: "Sequence[_Found | None]") -> "list[Any]":
        """What process 0 found, in every process."""
        told = processes.agree([one and dataclasses.asdict(one) for one in found])
        return [one and _Found(**one) for one in told]

    def _read(self, folder: Path) -> "_Found | None":
        try:
            manifest = storage.load_manifest(folder)
        except TicketError as error:
            if self.execute and folder not in self._damaged:
                self._note(f"{error}; the stage is done again")
                self._damaged.add(folder)
            return None
        return None if manifest is None else _Found.of(manifest)


@dataclasses.dataclass(frozen=True)
class _Found:
    """What the manifest of a finished stage says, JSON-ready for the other processes."""

    content: dict[str, Any]
    files: dict[str, str]
    sources: str | None

    @classmethod
    def of(cls, manifest: storage.Manifest) -> "_Found":
        return cls(manifest.content, dict(manifest.files), Made.of(manifest).sources)

    def complete(self, stage: Stage) -> Stage:
        return dataclasses.replace(stage, cached=True, content=self.content, files=self.files, sources=self.sources)


def _remove(path: Path) -> None:
    """Removes a file, or a folder that stands in its place."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
