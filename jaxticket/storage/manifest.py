"""Manifests: what makes a folder complete, and by which it is told from a damaged one."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxticket.core.errors import TicketError
from jaxticket.storage.files import PathLike, checksum, naming_errors, unless_stale, write_bytes
from jaxticket.storage.json_files import checked_json, parse_checked_json

MANIFEST = "manifest.json"

_FORMAT = {"format": "jaxticket-manifest", "version": 1}


def write_manifest(folder: PathLike, files: Iterable[str], content: Mapping[str, Any]) -> None:
    """Declares a folder complete: `manifest.json` with size and SHA-256 of `files`, and its own. To be written last.

    Args:
        folder: the folder.
        files: names of files in it, or paths relative to it.
        content: what there is to say about it, JSON-ready.

    Raises:
        TicketError: a file is missing or outside of the folder, or `content` is not JSON.
    """
    folder = Path(folder)
    listed = {}
    for name in sorted(set(files)):
        path = _inside(folder, name)
        with naming_errors("read", path):
            listed[name] = {"sha256": checksum(path), "size": path.stat().st_size}
    where = folder / MANIFEST
    sealed = checked_json({**_FORMAT, "files": listed, "content": dict(content)}, str(where))
    write_bytes(where, sealed)


def read_manifest(folder: PathLike) -> dict[str, Any] | None:
    """The content of a folder's manifest, every file of which is as it was; None where there is no manifest.

    Raises:
        TicketError: the manifest or a file it names was changed, cut off or removed.
    """
    folder = Path(folder)
    where = folder / MANIFEST
    with naming_errors("read", where):
        try:
            data = unless_stale(where.read_bytes)
        except (FileNotFoundError, NotADirectoryError):
            return None
    manifest = parse_checked_json(data, where, _FORMAT)
    for name, stated in manifest["files"].items():
        path = _inside(folder, name)
        with naming_errors("read", path):
            if not path.is_file():
                raise TicketError(f"{path} is missing, {where} names it; restore it or remove the folder")
            if path.stat().st_size != stated["size"] or checksum(path) != stated["sha256"]:
                raise TicketError(f"{path} is not what {where} says; restore it or remove the folder")
    return manifest["content"]


def _inside(folder: Path, name: str) -> Path:
    relative = Path(name)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise TicketError(f"{name!r} is not a file inside {folder}; give paths relative to it")
    return folder / relative
