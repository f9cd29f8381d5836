"""JSON files, plain ones and such as carry their own checksum."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxticket.core.errors import TicketError
from jaxticket.storage.files import PathLike, first_line, read_bytes, write_bytes

_DEEPEST = 100


def write_json(path: PathLike, obj: Any) -> None:
    """Writes JSON atomically, keys sorted, so that equal content has equal bytes.

    Raises:
        TicketError: something in `obj` is not JSON, or the operating system refuses.
    """
    write_bytes(path, _render(plain(obj, str(path))))


def read_json(path: PathLike) -> Any:
    """The content of a JSON file.

    Raises:
        TicketError: there is no such file, or it is not JSON.
    """
    return _parse_json(read_bytes(path), Path(path))


def plain(value: Any, where: str, depth: int = 0) -> Any:
    """A copy of `value` made of what JSON has; tuples become lists.

    Args:
        value: mappings with string keys, lists, tuples, strings, numbers, bools and None.
        where: what `value` is called in messages.
        depth: in how many containers `value` is.

    Raises:
        TicketError: something else in it, or a number that is not finite.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TicketError(f"{where} is {value}, which JSON does not have; give a finite number or None")
        return float(value)
    if depth > _DEEPEST:
        raise TicketError(f"{where[:80]}... is nested in more than {_DEEPEST} containers; make it flatter")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TicketError(f"{where} has the key {key!r}; keys must be strings")
        return {key: plain(item, f"{where}[{key!r}]", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    raise TicketError(
        f"{where} is a {type(value).__name__}; JSON has strings, numbers, bools, None, lists and dictionaries "
        "(use .item() or .tolist() on arrays)"
    )


def checked_json(content: Mapping[str, Any], where: str) -> bytes:
    """`content` as JSON with its own SHA-256 under the key `sha256`.

    Raises:
        TicketError: something in `content` is not JSON.
    """
    ready = plain(content, where)
    return _render({**ready, "sha256": _hash(ready)})


def parse_checked_json(data: bytes, path: PathLike, expected: Mapping[str, Any]) -> dict[str, Any]:
    """The content of bytes made by `checked_json`.

    Args:
        data: the bytes.
        path: the file they come from, for messages.
        expected: the `format` the content must name and the newest `version` that can be read.

    Raises:
        TicketError: not one bit may differ from what was written, and format and version must be known ones.
    """
    content = plain(_parse_json(data, Path(path)), str(path))
    if not isinstance(content, dict) or content.get("format") != expected["format"]:
        raise TicketError(f"{path} is not a {expected['format']} file; give the folder of one")
    version = content.get("version")
    if not isinstance(version, int) or not 1 <= version <= expected["version"]:
        raise TicketError(
            f"{path} has format version {version!r}, this jaxticket reads 1 to {expected['version']}; upgrade jaxticket"
        )
    stated = content.pop("sha256", None)
    if stated != _hash(content) or _render({**content, "sha256": stated}) != data:
        raise TicketError(f"{path} was changed after it was written; restore it or make it again")
    return content


def _render(content: Any) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _hash(content: Any) -> str:
    return hashlib.sha256(_render(content)).hexdigest()


def _parse_json(data: bytes, path: Path) -> Any:
    try:
        return json.loads(data.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise TicketError(f"{path} is not JSON ({first_line(error)}); restore it or make it again") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
