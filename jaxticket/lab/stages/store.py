"""The finished stages of a work folder: which there are, why one is not found, taking them over, clearing them away."""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict

from jaxticket import storage
from jaxticket.core.errors import ConfigError, TicketError
from jaxticket.lab.stages import fingerprint
from jaxticket.lab.stages.references import Made
from jaxticket.storage.manifest import MANIFEST

# Of more differences than these it is another network or another data set, and the nearest stage explains nothing.
_MOST_SAID = 4


@dataclasses.dataclass(frozen=True)
class StoredStage:
    """A stage of a work folder.

    Attributes:
        id: its folder's name, `<kind>-<key>`.
        kind: what was done, such as `train`.
        complete: whether it has a manifest.
        size: bytes on the disk.
        age: seconds since it was completed, or begun.
        made_from: `kind`, `version`, `config` and `inputs`, of which the key is a hash; empty where not noted.
        sources: fingerprint of the package's sources that made it; None where not noted.
        changed: the sources that differ today; None where not known.
        used_by: names of the experiments' folders that ask for it.
    """

    id: str
    kind: str
    complete: bool
    size: int
    age: float
    made_from: Mapping[str, Any]
    sources: str | None
    changed: tuple[str, ...] | None
    used_by: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why a stage is not found done.

    Attributes:
        nearest: the finished stage of its kind with the fewest differences; None where there is none of the kind.
        different: flattened key -> (value asked for, value of the nearest); None for what one of them has not.
    """

    nearest: str | None
    different: Mapping[str, tuple[Any, Any]]

    def __str__(self) -> str:
        if self.nearest is None:
            return "nothing of this kind is finished"
        if not self.different:
            return "is done, and is done again"
        said = [f"{key}={_said(here)} (there {_said(there)})" for key, (here, there) in self.different.items()]
        more = f" and {len(said) - _MOST_SAID} more keys" if len(said) > _MOST_SAID else ""
        return f"{self.nearest} is nearest, but for {', '.join(said[:_MOST_SAID])}{more}"

    @property
    def only_follows(self) -> bool:
        """Whether it differs only in what it starts from."""
        return bool(self.different) and all(key.startswith("inputs.") for key in self.different)


@dataclasses.dataclass(frozen=True)
class Cleared:
    """What `gc` removed, or would remove.

    Attributes:
        stages: their ids.
        size: bytes.
    """

    stages: tuple[str, ...]
    size: int


def list_stages(workdir: Path | str) -> list[StoredStage]:
    """All stages of a work folder, by kind and then by age, the youngest first; no result is read.

    Args:
        workdir: the `--workdir` of the runs.

    Raises:
        ConfigError: it has no folder of stages.
    """
    stages = _stages(workdir)
    users = _users(Path(workdir))
    changed: dict[str | None, list[str] | None] = {}
    entries = []
    for folder in _folders(stages):
        made = _made(folder)
        known = made or Made()
        if known.sources not in changed:
            changed[known.sources] = fingerprint.changed_files(stages, known.sources)
        differ = changed[known.sources] if made else []
        mark = folder / MANIFEST if made else folder
        entries.append(
            StoredStage(
                folder.name,
                folder.name.rpartition("-")[0],
                made is not None,
                _size(folder),
                max(time.time() - mark.stat().st_mtime, 0.0),
                known.made_from,
                known.sources,
                None if differ is None else tuple(differ),
                tuple(sorted(user for user, asked in users.items() if asked is None or folder.name in asked)),
            )
        )
    return sorted(entries, key=lambda entry: (entry.kind, entry.age))


def why(workdir: Path | str, made_from: Mapping[str, Any], *, other_than: str = "") -> Reason:
    """Why a stage is not found done: the nearest finished one of its kind, and in what they differ.

    Args:
        workdir: the `--workdir` of the runs.
        made_from: of the stage, such as `plan.stages[0].made_from` or that of an `StoredStage`.
        other_than: the id of a stage that is not looked at, such as this one itself.
    """
    return Finished(Path(workdir) / "stages").why(made_from, other_than)


class Finished:
    """The finished stages of a folder, each manifest read once, for many questions.

    Args:
        stages: `WORKDIR/stages`.
    """

    def __init__(self, stages: Path) -> None:
        self._stages = stages
        self._kinds: dict[str, dict[str, dict[str, Any]]] = {}

    def why(self, made_from: Mapping[str, Any], other_than: str = "") -> Reason:
        """As the function `why`."""
        kind, wanted = made_from["kind"], flatten_dict(dict(made_from), sep=".")
        best: Reason | None = None
        for name, other in self._of(kind).items():
            if name == other_than:
                continue
            keys = sorted(wanted.keys() | other.keys())
            different = {key: (wanted.get(key), other.get(key)) for key in keys if wanted.get(key) != other.get(key)}
            if best is None or len(different) < len(best.different):
                best = Reason(name, different)
        return best or Reason(None, {})

    def _of(self, kind: str) -> dict[str, dict[str, Any]]:
        if kind not in self._kinds:
            found = {folder.name: _made(folder) for folder in sorted(self._stages.glob(f"{kind}-*"))}
            made = {name: one.made_from for name, one in found.items() if one and one.made_from}
            self._kinds[kind] = {
                name: flatten_dict(start, sep=".") for name, start in made.items() if start["kind"] == kind
            }
        return self._kinds[kind]


def adopt(workdir: Path | str, stages: Sequence[str]) -> list[str]:
    """Takes finished stages that other sources made as if these had, so that they are no longer said to differ.

    Args:
        workdir: the `--workdir` of the runs.
        stages: their ids.

    Returns:
        The ids of those that were made by others until now.

    Raises:
        ConfigError: there is no such finished stage, or a run holds it.
        TicketError: a file of one is damaged, or the operating system refuses.
    """
    folder, adopted = _stages(workdir), []
    fingerprint.keep_fingerprint(folder)
    for name in stages:
        if name not in {one.name for one in _folders(folder)}:
            raise ConfigError(f"{name}: is no stage of {folder}; must be a folder <kind>-<key> there")
        with storage.attempt(folder / name) as holder:
            manifest = storage.load_manifest(folder / name)
            if holder is not None or manifest is None:
                raise ConfigError(f"{folder / name}: is no finished stage; run it to its end first")
            made = Made.of(manifest)
            if made.sources != fingerprint.fingerprint():
                taken = dataclasses.replace(made, sources=fingerprint.fingerprint())
                storage.write_manifest(folder / name, manifest.files, manifest.content, made=taken.to_json())
                adopted.append(name)
    return adopted


def gc(workdir: Path | str, *, dry: bool = True) -> Cleared:
    """Removes the stages that no experiment of the work folder asks for.

    Args:
        workdir: the `--workdir` of the runs. An experiment of an earlier jaxticket, which did not note its stages,
            keeps them all.
        dry: only says what would be removed.

    Returns:
        What was, or would be, removed.

    Raises:
        ConfigError: an experiment is being run there, or the folder has no stages.
        TicketError: an experiment's files are damaged, or the operating system refuses.
    """
    stages, users = _stages(workdir), _users(Path(workdir))
    if not dry:
        for experiment in users:
            with storage.attempt(Path(workdir) / experiment) as holder:
                if holder is not None:
                    raise ConfigError(f"{Path(workdir) / experiment}: is being written by {holder}; wait for its end")
    asked = {name for names in users.values() for name in names or ()}
    everything = any(names is None for names in users.values())
    removed, size = [], 0
    for folder in () if everything else _folders(stages):
        if folder.name in asked:
            continue
        with storage.attempt(folder) if not dry else contextlib.nullcontext() as holder:
            if holder is not None:
                continue
            size += _size(folder)
            removed.append(folder.name)
            if not dry:
                with storage.naming_errors("remove", folder):
                    (folder / MANIFEST).unlink(missing_ok=True)  # a kill leaves a stage that is not complete
                    shutil.rmtree(folder)
    return Cleared(tuple(removed), size)


def _stages(workdir: Path | str) -> Path:
    stages = Path(workdir) / "stages"
    if not stages.is_dir():
        raise ConfigError(f"{workdir}: has no folder of stages; must be the --workdir of runs")
    return stages


def _folders(stages: Path) -> Iterator[Path]:
    for folder in sorted(stages.iterdir()):
        if folder.is_dir() and folder.name != fingerprint.SOURCES and "-" in folder.name:
            yield folder


def _made(folder: Path) -> Made | None:
    """How a finished stage was made; None where it is not finished, or its manifest damaged."""
    try:
        manifest = storage.load_manifest(folder, verify=False)
    except TicketError:
        return None
    return None if manifest is None else Made.of(manifest)


def _users(workdir: Path) -> dict[str, set[str] | None]:
    """Experiment's folder -> the stages that it asks for; None where it did not note them."""
    users: dict[str, set[str] | None] = {}
    for file in sorted(workdir.glob("*/config.json")):
        content = storage.check_fields(storage.read_json(file), {}, file)
        named = content.get("stages")
        users[file.parent.name] = set(map(str, named)) if isinstance(named, list) else None
    return users


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _said(value: Any) -> str:
    return "default" if value is None else repr(value)
