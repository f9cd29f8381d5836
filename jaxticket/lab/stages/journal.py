"""The journal of stages that are complete but for their manifests, so that a kill between two of them parts nothing.

A file `finished.json` in the folder of the first of them is there while the manifests are written. It carries
a checksum, and is believed only as far as it names stages that are there and files inside them.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxticket import storage
from jaxticket.core.errors import TicketError

_FORMAT = {"format": "jaxticket-journal", "version": 1}
_STAGE = re.compile(r"\w[\w.-]*-[0-9a-f]{12}")
_FIELDS = {"files": list, "content": dict}


def write_journal(file: Path, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes a journal.

    `file` is `finished.json` of one of the stages; `results` has by a stage's id its `files`, and `content` and `made`
    for its manifest.

    Raises:
        TicketError: something in them is not JSON, or the operating system refuses.
    """
    storage.write_bytes(file, storage.checked_json({**_FORMAT, "stages": dict(results)}, str(file)))


def read_journal(file: Path) -> dict[str, dict[str, Any]]:
    """What `write_journal` wrote.

    Raises:
        TicketError: it was changed after it was written, or is not what is written there.
    """
    content = storage.parse_checked_json(storage.read_bytes(file), file, _FORMAT)
    results = storage.check_fields(content, {"stages": dict}, file)["stages"]
    for stage_id, result in results.items():
        storage.check_fields(result, _FIELDS, f"{file}: {stage_id[:80]}")
        folder = file.parents[1] / stage_id
        if not _STAGE.fullmatch(stage_id) or not folder.is_dir():
            raise TicketError(f"{file}: {stage_id[:80]!r} is no stage of {file.parents[1]}; remove the file")
        if not all(isinstance(name, str) for name in result["files"]):
            raise TicketError(f"{file}: files of {stage_id} must be strings; remove the file")
    return results
