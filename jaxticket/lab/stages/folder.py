"""The folder of one stage: what its manifest says, and how results and marks get into it.

| in the folder | what it is |
| --- | --- |
| `manifest.json` | names the results; the stage is complete where it verifies |
| `checkpoints*` | of a training that is under way |
| `checkpoints.by-<digest>` | by which sources of the package that was begun |
| `again/` | the results of doing a complete stage again, until they take the places of the old ones |

Process 0 alone calls these functions.
"""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxticket import storage
from jaxticket.lab.stages import fingerprint
from jaxticket.lab.stages.references import CHECKPOINTS, Made
from jaxticket.storage import faults
from jaxticket.storage.manifest import MANIFEST

AGAIN = "again"

_BEGUN_BY = f"{CHECKPOINTS}.by-"


@dataclasses.dataclass(frozen=True)
class Found:
    """What the manifest of a finished stage says, JSON-ready for the other processes.

    Attributes:
        content: of the stage.
        files: name -> SHA-256.
        input_files: name of an input -> SHA-256 of the file that was read for it.
        sources: the fingerprint of those that made it; None where it was not noted.
        stamp: tells the manifest's file from others that take its place.
        again: whether the stage is to be done again all the same.
    """

    content: dict[str, Any]
    files: dict[str, str]
    input_files: dict[str, str]
    sources: str | None
    stamp: list[int]
    again: bool = False

    @classmethod
    def of(cls, manifest: storage.Manifest, folder: Path) -> "Found":
        """Of the manifest in a folder."""
        made = Made.of(manifest)
        with storage.naming_errors("read", folder / MANIFEST):
            status = (folder / MANIFEST).stat()
        stamp = [status.st_mtime_ns, status.st_ino]
        return cls(manifest.content, dict(manifest.files), made.input_files, made.sources, stamp)


def find_stage(folder: Path) -> Found | None:
    """What a complete stage says; None where there is none.

    Raises:
        TicketError: the manifest or a file it names was changed, cut off or removed.
    """
    manifest = storage.load_manifest(folder)
    return None if manifest is None else Found.of(manifest, folder)


def checkpoints(folder: Path) -> list[Path]:
    """What lies there of a training that is under way, the mark of who began it included."""
    return list(folder.glob(f"{CHECKPOINTS}*"))


def begin(folder: Path) -> None:
    """Marks that these sources begin long work with checkpoints, unless that was begun before.

    Raises:
        TicketError: the operating system refuses.
    """
    if not begun_by(folder):
        mark = folder / f"{_BEGUN_BY}{fingerprint.fingerprint()}"
        with storage.naming_errors("write", mark):
            mark.mkdir(parents=True, exist_ok=True)


def begun_by(folder: Path) -> str:
    """The fingerprint of the sources that began work with checkpoints; empty where none did."""
    return next((mark.name.removeprefix(_BEGUN_BY) for mark in folder.glob(f"{_BEGUN_BY}*")), "")


def clear_start(folder: Path, *, again: bool) -> None:
    """Removes what an interrupted rerun left, unless this is one too, by the same sources, and goes on from there."""
    goes_on = again and begun_by(folder) == fingerprint.fingerprint()
    if (folder / AGAIN).is_dir() and not goes_on:
        for left in (*checkpoints(folder), folder / AGAIN):
            shutil.rmtree(left, ignore_errors=True)


def complete(folder: Path, result: Mapping[str, Any]) -> Found:
    """Declares a stage complete; may be called again where a kill interrupted it.

    `result` has names of `files`, `content` and `made` of its manifest, and whether it is done `again`.

    Raises:
        TicketError: a file is missing, or the operating system refuses.
    """
    for left in checkpoints(folder):
        shutil.rmtree(left, ignore_errors=True)
    faults.point("stage/tidied")
    remove_folder(folder / MANIFEST)
    for name in result["files"] if result.get("again") is True else ():
        with storage.naming_errors("write", folder / name):
            if (folder / AGAIN / name).is_file():
                (folder / AGAIN / name).replace(folder / name)
    manifest = storage.write_manifest(folder, result["files"], result["content"], made=result.get("made"))
    shutil.rmtree(folder / AGAIN, ignore_errors=True)
    return Found.of(manifest, folder)


def remove_folder(path: Path) -> None:
    """Removes a folder that stands where a file belongs."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
