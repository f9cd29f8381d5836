"""Manifests: they list the files of a complete folder with checksums, so that damage is found."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxticket.core.errors import TicketError
from jaxticket.storage.files import PathLike, checksum, naming_errors, unless_stale, write_bytes
from jaxticket.storage.json_files import check_fields, checked_json, parse_checked_json

MANIFEST = "manifest.json"

_FORMAT = {"format": "jaxticket-manifest", "version": 1}


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a manifest says.

    Attributes:
        files: name -> SHA-256, 64 hexadecimal digits.
        sizes: name -> bytes.
        content: what there is to say about the folder, JSON-ready.
        made: how it was made, JSON-ready; empty where that was not noted.
    """

    files: Mapping[str, str]
    sizes: Mapping[str, int]
    content: dict[str, Any]
    made: dict[str, Any]


def write_manifest(
    folder: PathLike, files: Iterable[str], content: Mapping[str, Any], *, made: Mapping[str, Any] | None = None
) -> Manifest:
    """Declares a folder complete: `manifest.json` with size and SHA-256 of `files`, and its own. To be written last.

    Args:
        folder: the folder.
        files: names of files in it, or paths relative to it.
        content: what there is to say about it, JSON-ready.
        made: how it was made, JSON-ready.

    Returns:
        What was written.

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
    said = {"content": dict(content), **({"made": dict(made)} if made else {})}
    write_bytes(where, checked_json({**_FORMAT, "files": listed, **said}, str(where)))
    return _manifest({"files": listed, **said})


def read_manifest(folder: PathLike) -> dict[str, Any] | None:
    """The content of a folder's manifest, every file of which is as it was; None where there is no manifest.

    Raises:
        TicketError: the manifest or a file it names was changed, cut off or removed.
    """
    manifest = load_manifest(folder)
    return None if manifest is None else manifest.content


def load_manifest(folder: PathLike, *, verify: bool = True) -> Manifest | None:
    """A folder's manifest; None where there is none.

    With `verify` the files it names must be as they were; else only the manifest itself is looked at.

    Raises:
        TicketError: the manifest, or with `verify` a file it names, was changed, cut off or removed.
    """
    folder = Path(folder)
    where = folder / MANIFEST
    with naming_errors("read", where):
        try:
            data = unless_stale(where.read_bytes)
        except (FileNotFoundError, NotADirectoryError):
            return None
    stated = check_fields(parse_checked_json(data, where, _FORMAT), {"files": dict, "content": dict}, where)
    check_fields(stated["files"], dict.fromkeys(stated["files"], dict), where)
    for name, file in stated["files"].items():
        check_fields(file, {"sha256": str, "size": int}, f"{where}: {name}")
    manifest = _manifest(stated)
    for name in manifest.files if verify else ():
        path = _inside(folder, name)
        with naming_errors("read", path):
            if not path.is_file():
                raise TicketError(f"{path} is missing, {where} names it; restore it or remove the folder")
            if path.stat().st_size != manifest.sizes[name] or checksum(path) != manifest.files[name]:
                raise TicketError(f"{path} is not what {where} says; restore it or remove the folder")
    return manifest


def _manifest(stated: Mapping[str, Any]) -> Manifest:
    made = stated.get("made")
    return Manifest(
        {name: file["sha256"] for name, file in stated["files"].items()},
        {name: file["size"] for name, file in stated["files"].items()},
        stated["content"],
        made if isinstance(made, dict) else {},
    )


def _inside(folder: Path, name: str) -> Path:
    relative = Path(name)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise TicketError(f"{name!r} is not a file inside {folder}; give paths relative to it")
    return folder / relative
