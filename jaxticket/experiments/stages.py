"""Stages: expensive calls whose results live on disk under a key made of everything they depend on.

A stage's folder is complete when its manifest verifies, and only then; the manifest is written last. Anything less is
redone, so resuming, sharing a dense run between studies and starting again after a crash are one thing: call it again.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from jaxticket import storage
from jaxticket.core import paths
from jaxticket.core.errors import TicketError
from jaxticket.core.options import digest
from jaxticket.training.state import Weights


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
        key = digest({"kind": kind, "version": version, "config": config, "inputs": inputs}, 12)
        stage_id = f"{kind}-{key}"
        if stage_id in self.asked:
            return self.asked[stage_id]
        folder = self.folder / stage_id
        content = self._read(folder)
        cached = content is not None
        if content is None and self.execute:
            folder.mkdir(parents=True, exist_ok=True)
            files, content = run(folder)
            storage.write_manifest(folder, files, content)
        stage = Stage(kind, key, folder, cached, content or {}, label, work)
        self.asked[stage_id] = stage
        return stage

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
