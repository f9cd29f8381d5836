"""The stages of a work folder: found, claimed, done and declared complete, by one process or several together."""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxticket import storage
from jaxticket.core.errors import TicketError
from jaxticket.core.options import digest
from jaxticket.experiments.stages import CHECKPOINTS, Stage
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
    ) -> Stage:
        """The stage with this key if it is done, else one without content, for `claim` and `finish`; as `stage`."""
        key = digest({"kind": kind, "version": version, "config": config, "inputs": inputs}, 12)
        stage_id = f"{kind}-{key}"
        if stage_id in self.asked:
            return self.asked[stage_id]
        folder = self.folder / stage_id
        (content,) = self._contents([folder])
        made_from = {"config": dict(config), "inputs": dict(inputs)}
        stage = Stage(kind, key, folder, content is not None, content or {}, label, work, made_from)
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
            for stage, content in zip(stages, self._contents([stage.folder for stage in stages]), strict=True):
                if content is not None:
                    done[stage.id] = dataclasses.replace(stage, cached=True, content=content)
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
        contents = [{**content, "made_from": dict(stage.made_from)} for stage, _, content in done]
        results = {
            stage.id: {"files": files, "content": content}
            for (stage, files, _), content in zip(done, contents, strict=True)
        }
        if processes.is_writer():
            self._commit(done[0][0].folder / _JOURNAL, results)
        else:
            for stage, *_ in done:
                shutil.rmtree(self.workplace(stage))
        agreed = processes.agree(contents)
        finished = [dataclasses.replace(stage, content=found) for (stage, *_), found in zip(done, agreed, strict=True)]
        for stage in finished:
            processes.wait_until_seen(stage.folder / MANIFEST)
        self.asked |= {stage.id: stage for stage in finished}
        return finished

    def _commit(self, journal: Path, results: Mapping[str, Any]) -> None:
        faults.point("stage/commit")
        # A kill between two manifests must not part what was trained together, and one between the removal of the
        # checkpoints and the manifest must not lose the training.
        if len(results) > 1 or any(self._checkpoints(stage_id) for stage_id in results):
            storage.write_json(journal, results)
        self._complete(results)
        journal.unlink(missing_ok=True)

    def _complete_interrupted(self, journal: Path) -> None:
        try:
            self._complete(storage.read_json(journal))
        except TicketError as error:
            self._note(f"{error}; the stages are done again")
        journal.unlink(missing_ok=True)

    def _complete(self, results: Mapping[str, Any]) -> None:
        for stage_id, result in results.items():
            for checkpoints in self._checkpoints(stage_id):
                shutil.rmtree(checkpoints, ignore_errors=True)
            faults.point("stage/tidied")
            storage.write_manifest(self.folder / stage_id, result["files"], result["content"])

    def _checkpoints(self, stage_id: str) -> list[Path]:
        return list((self.folder / stage_id).glob(f"{CHECKPOINTS}*"))

    def _contents(self, folders: Sequence[Path]) -> list[dict[str, Any] | None]:
        """What the manifests say, None where there is no valid one; where stages are run, process 0 looks for all."""
        if not self.execute:
            return [self._read(folder) for folder in folders]
        contents = processes.agree([self._read(folder) for folder in folders] if processes.is_writer() else None)
        for folder, content in zip(folders, contents, strict=True):
            if content is not None:
                processes.wait_until_seen(folder / MANIFEST)
        return contents

    def _read(self, folder: Path) -> dict[str, Any] | None:
        try:
            return storage.read_manifest(folder)
        except TicketError as error:
            if self.execute and folder not in self._damaged:
                self._note(f"{error}; the stage is done again")
                self._damaged.add(folder)
            return None
