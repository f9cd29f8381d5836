"""JSON files, plain ones and such as carry their own checksum.

What is read may come from anybody: its size, its depth and its numbers are bounded and its keys differ, so that
whatever is wrong with it is one line here, and nothing that reads on meets a surprise.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from jaxticket.core.errors import TicketError
from jaxticket.core.json_kinds import KINDS, kind_of
from jaxticket.storage.files import PathLike, first_line, read_bytes, write_bytes

_DEEPEST = 100
# Bytes of a file, and digits of a whole number; more of these a float does not hold.
_LARGEST = 1 << 28
_LONGEST = 308


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
    return parse_json(read_bytes(path), path)


def parse_json(data: bytes, path: PathLike) -> Any:
    """The content of the bytes of a JSON file.

    `path` is the file they come from, or the line of one, for messages.

    Raises:
        TicketError: they are not JSON, hold a key twice, a number that no float can hold, or too many of anything.
    """
    if len(data) > _LARGEST:
        raise TicketError(f"{path} has {len(data):,} bytes, JSON files here at most {_LARGEST:,}; make it again")
    try:
        content = json.loads(
            data.decode(),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_without_repetition,
        )
    except (ValueError, RecursionError) as error:
        raise TicketError(f"{path} is not JSON ({first_line(error)}); restore it or make it again") from error
    return plain(content, str(path))


def check_fields(content: Any, fields: Mapping[str, type], path: PathLike) -> dict[str, Any]:
    """`content` if it is an object that has these fields.

    Args:
        content: what was read.
        fields: name -> its type: `dict`, `list`, `str`, `bool` or `int`.
        path: the file it comes from, for messages.

    Raises:
        TicketError: it is no object, or a field is missing or of another type.
    """
    if not isinstance(content, dict):
        raise TicketError(f"{path}: is {kind_of(content)}; must be an object")
    for name, kind in fields.items():
        value = content.get(name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            found = f"{name} is {kind_of(value)}" if name in content else f"has no {name!r}"
            raise TicketError(f"{path}: {found}; must be {KINDS[kind]}")
    return content


def plain(value: Any, where: str, depth: int = 0) -> Any:
    """A copy of `value` made of what JSON has; tuples become lists.

    Args:
        value: mappings with string keys, lists, tuples, strings, numbers, bools and None.
        where: what `value` is called in messages.
        depth: in how many containers `value` is.

    Raises:
        TicketError: something else in it, or a number that is not finite.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        if abs(value) >= 10**_LONGEST:
            raise TicketError(
                f"{where} is a whole number of more than {_LONGEST} digits; give a smaller one, or a string"
            )
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


def unseal(content: dict[str, Any]) -> bool | None:
    """Takes its checksum from content that `checked_json` may have made, by whatever program it was written since.

    Returns:
        Whether the content is what it was then; None where there is no checksum.
    """
    stated = content.pop("sha256", None)
    return None if stated is None else stated == _hash(content)


def parse_checked_json(data: bytes, path: PathLike, expected: Mapping[str, Any]) -> dict[str, Any]:
    """The content of bytes made by `checked_json`.

    `expected` has the `format` the content must name and the newest `version` that can be read.

    Raises:
        TicketError: not one bit may differ from what was written, and format and version must be known ones.
    """
    content = parse_json(data, path)
    if not isinstance(content, dict) or content.get("format") != expected["format"]:
        raise TicketError(f"{path} is not a {expected['format']} file; give the folder of one")
    version = content.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= expected["version"]:
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


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is beyond what a float holds")
    return value


def _whole(text: str) -> int:
    if len(text.lstrip("-")) > _LONGEST:
        raise ValueError(f"a whole number of {len(text):,} digits")
    return int(text)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r:.80} comes twice")
    return content
