"""Fingerprints of the package's own sources: by which code a finished stage was made.

They are no part of a stage's key, for then every edited comment would have everything trained again. A stage's manifest
names one, so that a stage that was found can be told from one that this code made, and the files that differ named.
"""

import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxticket import storage
from jaxticket.core.errors import TicketError
from jaxticket.core.options import digest

# The folder, next to the stages, in which every fingerprint is written out once.
SOURCES = "sources"

_FORMAT = {"format": "jaxticket-sources", "version": 1}
_PACKAGE = Path(__file__).resolve().parents[2]
# What shows and starts, and can change no result.
_SHOWING = (
    "report/",
    "cli/",
    "configs/",
    "main.py",
    "__main__.py",
    "sweep.py",
    "signals.py",
    "data/__main__.py",
    "core/command_line.py",
    "core/option_rows.py",
    "core/text_table.py",
    "lab/dry_run_table.py",
    "lab/config_writer.py",
    "lab/key_table.py",
    "lab/keys.py",
    "lab/recipe_files.py",
    "lab/sweep.py",
)
_REPORT = re.compile(r"experiments/\w+/report(\.py|/)")
_NAMED = 3


@functools.cache
def package_files() -> Mapping[str, str]:
    """Path in the package -> SHA-256 of each source that can change a result, as they are when first asked for."""
    files = {path.relative_to(_PACKAGE).as_posix(): path for path in sorted(_PACKAGE.rglob("*.py"))}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if not (name.startswith(_SHOWING) or _REPORT.match(name))
    }


def fingerprint() -> str:
    """Twelve hexadecimal digits for `package_files`."""
    return digest(package_files(), 12)


def keep_fingerprint(stages: Path) -> None:
    """Writes the present fingerprint out, as `sources/<digest>.json` in the folder of all stages, if it is not there.

    Raises:
        TicketError: the operating system refuses.
    """
    file = _file(stages, fingerprint())
    if not file.exists():
        storage.write_bytes(file, storage.checked_json({**_FORMAT, "files": dict(package_files())}, str(file)))


def changed_files(stages: Path, made_by: str | None) -> list[str] | None:
    """The sources that differ from those of a fingerprint, sorted; None where it was not noted, or not kept."""
    if made_by is None:
        return None
    file = _file(stages, made_by)
    try:
        stated = storage.parse_checked_json(storage.read_bytes(file), file, _FORMAT)
        then: dict[str, Any] = storage.check_fields(stated, {"files": dict}, file)["files"]
    except TicketError:
        return None
    now = package_files()
    return sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))


def made_by_others(stages: Path, found: Iterable[str | None]) -> str:
    """One line on stages that other sources made; empty where none were.

    `found` are the fingerprints of the stages that were found done.
    """
    others = [made_by for made_by in found if made_by != fingerprint()]
    if not others:
        return ""
    names: set[str] = set()
    unknown = False
    for made_by in set(others):
        changed = changed_files(stages, made_by)
        unknown |= changed is None
        names |= set(changed or ())
    more = len(names) - _NAMED
    said = [*sorted(names)[:_NAMED], *([f"{more} more"] if more > 0 else []), *(["some not noted"] if unknown else [])]
    what = "1 stage was" if len(others) == 1 else f"{len(others)} stages were"
    return f"{what} made by other sources of jaxticket ({', '.join(said)}); --rerun=changed does that again"


def _file(stages: Path, made_by: str) -> Path:
    return stages / SOURCES / f"{made_by}.json"
