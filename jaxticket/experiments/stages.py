"""Stages: expensive calls whose results live on disk under a key made of everything they depend on.

A stage's folder is complete when its manifest verifies, and only then; the manifest is written last. Anything less is
redone, so resuming, sharing a dense run between studies and starting again after a crash are one thing: call it again.
"""

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from jaxticket import storage
from jaxticket.core import paths
from jaxticket.core.errors import TicketError
from jaxticket.core.options import digest
from jaxticket.training.state import Weights

# How the names of folders in a stage's folder begin that hold checkpoints; removed when the stage is complete.
CHECKPOINTS = "checkpoints"
_JOURNAL = "finished.json"


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage: where its results are, and what its manifest says.

    Attributes:
        kind: what was done, such as `train`.
        key: hash of the kind, its version, its configuration and the keys of its inputs.
        folder: where the results are.
        cached: whether it was complete before this command began.
        content: the JSON part of the results; empty in a plan.
        label: what the stage is called in plans and on the terminal.
        work: how much there is to do, in words, for plans.
    """

    kind: str
    key: str
    folder: Path
    cached: bool
    content: Mapping[str, Any]
    label: str = ""
    work: str = ""

    @property
    def id(self) -> str:
        """The folder's name."""
        return f"{self.kind}-{self.key}"


@dataclasses.dataclass(frozen=True)
class WeightsRef:
    """Weights stored by a stage."""

    stage: Stage
    name: str

    @property
    def key(self) -> str:
        """What other stages' keys contain."""
        return f"{self.stage.id}/{self.name}"

    def load(self) -> Weights:
        """The arrays, NumPy."""
        return read_weights(self.stage.folder / f"{self.name}.safetensors")


@dataclasses.dataclass(frozen=True)
class MaskRef:
    """A mask stored by a stage, whose content describes it."""

    stage: Stage

    @property
    def key(self) -> str:
        """What other stages' keys contain."""
        return f"{self.stage.id}/mask"

    @property
    def statistics(self) -> Mapping[str, Any]:
        """`kept`, `total`, `sparsity`, `sparsity_total` and `layer_sparsity`."""
        return self.stage.content["mask"]

    def load(self) -> dict[str, Any]:
        """Path -> NumPy bool array."""
        return storage.load_arrays(self.stage.folder / "mask.safetensors")


class Cache:
    """The stages under one work folder.

    Attributes:
        asked: every stage asked for, in order and once each.
        execute: False only looks, for plans: nothing is run and nothing is written.
    """

    def __init__(self, folder: Path, *, execute: bool, note: Callable[[str], None]) -> None:
        self.folder = folder
        self.execute = execute
        self.asked: dict[str, Stage] = {}
        self._note = note
        if execute:
            for journal in folder.glob(f"*/{_JOURNAL}"):
                self._complete_interrupted(journal)

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
        stage.folder.mkdir(parents=True, exist_ok=True)
        return self.finish([(stage, *run(stage.folder))])[0]

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
        """The stage with this key if it is done, else one without content, to be given to `finish`; as `stage`."""
        key = digest({"kind": kind, "version": version, "config": config, "inputs": inputs}, 12)
        stage_id = f"{kind}-{key}"
        if stage_id in self.asked:
            return self.asked[stage_id]
        folder = self.folder / stage_id
        content = self._read(folder)
        stage = Stage(kind, key, folder, content is not None, content or {}, label, work)
        if stage.cached or not self.execute:
            self.asked[stage_id] = stage
        return stage

    def finish(self, done: Sequence[tuple[Stage, list[str], dict[str, Any]]]) -> list[Stage]:
        """Declares stages complete, all of them or none.

        Args:
            done: stages from `find`, the files that were written into their folders, and their content.
        """
        journal = done[0][0].folder / _JOURNAL
        results = {stage.id: {"files": files, "content": content} for stage, files, content in done}
        if len(done) > 1:  # a kill between two manifests must not part what was trained together
            storage.write_json(journal, results)
        self._complete(results)
        journal.unlink(missing_ok=True)
        finished = [dataclasses.replace(stage, content=content) for stage, _, content in done]
        self.asked |= {stage.id: stage for stage in finished}
        return finished

    def _complete_interrupted(self, journal: Path) -> None:
        try:
            self._complete(storage.read_json(journal))
        except TicketError as error:
            self._note(f"{error}; the stages are done again")
        journal.unlink(missing_ok=True)

    def _complete(self, results: Mapping[str, Any]) -> None:
        for stage_id, result in results.items():
            for checkpoints in (self.folder / stage_id).glob(f"{CHECKPOINTS}*"):
                shutil.rmtree(checkpoints, ignore_errors=True)
            storage.write_manifest(self.folder / stage_id, result["files"], result["content"])

    def _read(self, folder: Path) -> dict[str, Any] | None:
        try:
            return storage.read_manifest(folder)
        except TicketError as error:
            if self.execute:
                self._note(f"{error}; the stage is done again")
            return None


def write_weights(file: Path, weights: Weights) -> None:
    """Stores weights, bit for bit."""
    arrays = {f"params/{path}": leaf for path, leaf in paths.leaves(weights.params).items()}
    arrays |= {f"model_state/{path}": leaf for path, leaf in paths.leaves(weights.model_state).items()}
    storage.save_arrays(file, jax.device_get(arrays))


def read_weights(file: Path) -> Weights:
    """Weights stored by `write_weights`, as NumPy arrays."""
    tree = paths.nest(storage.load_arrays(file))
    return Weights(tree["params"], tree.get("model_state", {}))
