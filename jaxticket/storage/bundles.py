"""A few files that belong together, and one more that describes them with their checksums."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxticket.core.checks import shown
from jaxticket.core.errors import TicketError
from jaxticket.storage.files import PathLike, naming_errors, read_bytes, write_files
from jaxticket.storage.json_files import check_fields, checked_json, parse_checked_json


def write_bundle(
    folder: PathLike, description: str, kind: Mapping[str, Any], files: Mapping[str, bytes], content: Mapping[str, Any]
) -> None:
    """Writes files into a folder, and last of all their description; what is there by these names is replaced.

    A crash leaves the old files, the new ones, or, in the moment between two renames, some that `read_bundle` refuses.

    Args:
        folder: made where it is missing.
        description: name of the file that describes the others.
        kind: `format` and `version`, as `parse_checked_json` expects them.
        files: name -> content.
        content: what there is to say about them, JSON-ready.

    Raises:
        TicketError: `content` is not JSON, or the operating system refuses.
    """
    folder = checked_folder(folder)
    stated = {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()}
    described = checked_json({**kind, "files": stated, "content": dict(content)}, str(folder / description))
    write_files({folder / name: data for name, data in {**files, description: described}.items()})


def read_bundle(folder: PathLike, description: str, kind: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What `write_bundle` wrote: the content of the description, and the files by name.

    Raises:
        TicketError: there is no such description, or a file is not, to the bit, what it says.
    """
    folder = checked_folder(folder)
    where = folder / description
    with naming_errors("read", folder):
        if not where.is_file():
            raise TicketError(f"{folder} holds no {kind['format']}: there is no {description}; give the folder of one")
    stated = check_fields(parse_checked_json(read_bytes(where), where, kind), {"files": dict, "content": dict}, where)
    files = {}
    for name, file in stated["files"].items():
        if Path(name).name != name:
            raise TicketError(f"{where}: {name!r} is not a file next to it; make the folder again")
        files[name] = read_bytes(folder / name)
        if file != {"sha256": hashlib.sha256(files[name]).hexdigest(), "size": len(files[name])}:
            raise TicketError(
                f"{folder / name} is not the file that {description} describes: it was changed, or saving was "
                "interrupted; restore the folder or make it again"
            )
    return stated["content"], files


def checked_folder(folder: object) -> Path:
    """`folder` as a path.

    Raises:
        TicketError: it is none.
    """
    if not isinstance(folder, str | os.PathLike):
        raise TicketError(f"a folder is a path, not {shown(folder)}")
    return Path(folder)
