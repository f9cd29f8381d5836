"""Stages: expensive calls whose results live on disk under a key made of everything they depend on.

A stage's folder is complete when its manifest verifies, and only then; the manifest is written last. Anything less is
redone, so resuming, sharing a dense run between studies and starting again after a crash are one thing: call it again.

In a run of several processes all of them compute every stage, and process 0 alone writes, and says what is done.
"""

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from jaxticket import storage
from jaxticket.core import paths
from jaxticket.core.errors import TicketError
from jaxticket.lab.training_cost import NO_COST, TrainingCost
from jaxticket.storage.recent import RecentArrays
from jaxticket.training.state import Weights

# How the names of folders in a stage's folder begin that hold checkpoints; removed when the stage is complete.
CHECKPOINTS = "checkpoints"
# A mask is pruned, trained under, evaluated and saved; its file, and that of its weights, are read once for that.
_RECENT = RecentArrays(most=1 << 28)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage: where its results are, and what its manifest says.

    Attributes:
        kind: what was done, such as `train`.
        key: hash of the kind, its version, its configuration and the keys of its inputs.
        folder: where the results are.
        cached: whether it was complete before this command came to it.
        content: the JSON part of the results; empty in a plan.
        label: what the stage is called in plans and on the terminal.
        work: how much there is to do, in words, for plans.
        cost: of a training in a plan.
        made_from: what the key is a hash of: `kind`, `version`, `config` and `inputs`.
        files: name -> SHA-256 of its results; empty where it is not done.
        sources: fingerprint of the package's sources that made it; None where it is not done, or that was not noted.
    """

    kind: str
    key: str
    folder: Path
    cached: bool
    content: Mapping[str, Any]
    label: str = ""
    work: str = ""
    cost: TrainingCost = NO_COST
    made_from: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    sources: str | None = None

    @property
    def id(self) -> str:
        """The folder's name."""
        return f"{self.kind}-{self.key}"

    def load(self, name: str) -> dict[str, Any]:
        """The arrays of one of its files, named without its ending, as NumPy arrays.

        Raises:
            TicketError: the file is not the one that was there when this command came to the stage.
        """
        file = self.folder / f"{name}.safetensors"
        stated = self.files.get(file.name)
        if (kept := _RECENT.get((file, stated))) is not None:
            return kept
        data = storage.read_bytes(file)
        if stated is not None and stated != hashlib.sha256(data).hexdigest():
            raise TicketError(f"{file}: another run has put a new file there; start this one again to go on with it")
        arrays = storage.parse_arrays(data, file)
        if stated is not None:
            _RECENT.add((file, stated), arrays)
        return arrays


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
        return _weights(self.stage.load(self.name))


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
        return self.stage.load("mask")


def stage_in(folder: Path, label: str = "") -> Stage | None:
    """The finished stage in a folder of any work folder, every file of it as it was; None where there is none.

    The folder is named `<kind>-<key>`; `label` is what the stage is called on the terminal.

    Raises:
        TicketError: its manifest, or a file that names, was changed, cut off or removed.
    """
    kind, _, key = folder.absolute().name.rpartition("-")
    manifest = storage.load_manifest(folder)
    if manifest is None:
        return None
    made = Made.of(manifest)
    known = {"made_from": made.made_from, "files": manifest.files, "sources": made.sources}
    return Stage(kind, key, folder.absolute(), True, manifest.content, label, **known)


@dataclasses.dataclass(frozen=True)
class Made:
    """What a manifest says of how its stage was made.

    Attributes:
        made_from: `kind`, `version`, `config` and `inputs`; empty where that was not noted.
        input_files: name of an input -> SHA-256 of the file that was read for it.
        sources: fingerprint of the package's sources; None where that was not noted.
    """

    made_from: dict[str, Any] = dataclasses.field(default_factory=dict)
    input_files: dict[str, str] = dataclasses.field(default_factory=dict)
    sources: str | None = None

    @classmethod
    def of(cls, manifest: storage.Manifest) -> "Made":
        """From a manifest; what is not as it is written by `to_json` counts as not noted."""
        start, files = (manifest.made.get(name) for name in ("from", "input_files"))
        start, files = (value if isinstance(value, dict) else {} for value in (start, files))
        sources = str(manifest.made.get("sources"))
        kinds = {"kind": str, "version": int, "config": dict, "inputs": dict}
        noted = all(isinstance(start.get(name), kind) for name, kind in kinds.items())
        return cls(start if noted else {}, files, sources if re.fullmatch(r"[0-9a-f]{12}", sources) else None)

    def to_json(self) -> dict[str, Any]:
        """For a manifest, and for the journal."""
        return {"from": self.made_from, "input_files": self.input_files, "sources": self.sources}


def stored_weights(stages: Path, key: str) -> WeightsRef | None:
    """Weights in a folder of stages by their key, None where there are none or their stage is not whole."""
    found = re.fullmatch(r"([a-z_]+-[0-9a-f]{12})/(\w+)", key)
    if not found:
        return None
    try:
        stage = stage_in(stages / found[1])
    except TicketError:
        return None
    return WeightsRef(stage, found[2]) if stage and f"{found[2]}.safetensors" in stage.files else None


def write_weights(file: Path, weights: Weights) -> None:
    """Stores weights, bit for bit."""
    arrays = {f"params/{path}": leaf for path, leaf in paths.leaves(weights.params).items()}
    arrays |= {f"model_state/{path}": leaf for path, leaf in paths.leaves(weights.model_state).items()}
    storage.save_arrays(file, jax.device_get(arrays))


def read_weights(file: Path) -> Weights:
    """Weights stored by `write_weights`, as NumPy arrays."""
    return _weights(storage.load_arrays(file))


def _weights(arrays: Mapping[str, Any]) -> Weights:
    tree = paths.nest(arrays)
    return Weights(tree["params"], tree.get("model_state", {}))
