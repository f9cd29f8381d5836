"""Entries of a summary as dataclasses, read by the types of their fields: a new field is one line."""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from jaxticket.core.errors import JaxticketError
from jaxticket.core.json_kinds import KINDS
from jaxticket.lab.row import number

T = TypeVar("T")
_AGAIN = "run the experiment's command again"


def record_field(key: str = "", read: Callable[[Any], Any] | None = None, **options: Any) -> Any:
    """A field of a record that has another name in the file, or is read in a way of its own.

    Args:
        key: its name in the file; empty for the field's own.
        read: makes its value from the one in the file; what it raises is said in one line.
        **options: of `dataclasses.field`.
    """
    return dataclasses.field(**options, metadata={"key": key, "read": read})


def read_record(kind: type[T], value: Any, where: str) -> T:
    """A dataclass from an object of JSON.

    Fields may be numbers, texts, bools, tuples, mappings, other records, and any of them or None. A number that is not
    finite counts as missing: it is None, or left out of a mapping.

    Args:
        kind: the dataclass; a field without a default must be there.
        value: what was read.
        where: what it is called in messages.

    Raises:
        JaxticketError: `value` is not one.
    """
    hints, found = typing.get_type_hints(kind), {}
    for own in dataclasses.fields(cast(Any, kind)):
        name, read = own.metadata.get("key") or own.name, own.metadata.get("read")
        optional = own.default is not dataclasses.MISSING or own.default_factory is not dataclasses.MISSING
        if name in _object(value, where) or not optional:
            given, at = value.get(name), f"{where}.{name}"
            found[own.name] = checked(read, given, at) if read else _read(hints[own.name], given, at)
    return checked(lambda values: kind(**values), found, where)  # its `__post_init__` may refuse them


def checked(read: Callable[[Any], T], value: Any, where: str) -> T:
    """What `read` makes of a value.

    Raises:
        JaxticketError: it cannot make anything of it; in one line, with `where` it is.
    """
    try:
        return read(value)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise JaxticketError(f"{where} is not what it should be ({error!r}); {_AGAIN}") from error


def _read(kind: Any, value: Any, where: str) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        of = next(one for one in inner if one is not type(None))
        return number(value) if of is float else None if value is None else _read(of, value, where)
    if origin is tuple:
        many = inner[-1] is Ellipsis
        if not isinstance(value, list | tuple) or not (many or len(value) == len(inner)):
            raise _wrong(where, value, KINDS[list] if many else f"{KINDS[list]} of {len(inner)}")
        return tuple(_read(inner[0 if many else i], one, f"{where}[{i}]") for i, one in enumerate(value))
    if origin is not None:
        items = _object(value, where).items()
        known = ((name, one) for name, one in items if inner[1] is not float or number(one) is not None)
        return {inner[0](name): _read(inner[1], one, f"{where}.{name}") for name, one in known}
    if dataclasses.is_dataclass(kind):
        return read_record(cast(Any, kind), value, where)
    if kind is bool:
        return bool(value)
    given, value = value, number(value) if kind is float else value
    if kind is not Any and (not isinstance(value, kind) or isinstance(value, bool)):
        raise _wrong(where, given, "a number" if kind is float else KINDS[kind])
    return value


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(where, value, KINDS[dict])
    return value


def _wrong(where: str, value: Any, allowed: str) -> JaxticketError:
    return JaxticketError(f"{where} is {value!r:.80}; must be {allowed}; {_AGAIN}")
