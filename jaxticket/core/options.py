"""Frozen dataclasses as typed, validated options: from a plain mapping, to one, and hashed by content.

A configuration is edited as an `ml_collections.ConfigDict` and becomes such dataclasses at the border, once. What
is wrong with it is said in one line that names the key, the value and what is allowed.
"""

import dataclasses
import difflib
import hashlib
import json
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from jaxticket.core.errors import ConfigError
from jaxticket.core.own_code import is_own_code
from jaxticket.core.spans import EVERY, UP_TO, WITHIN, is_read

T = TypeVar("T")

# What numbers become when JAX computes with them: the largest of float32, its smallest that no processor takes for 0.
_FLOAT32_MOST, _FLOAT32_LEAST = 3.4028234e38, 1.1754944e-38
_INT32_MOST = 2**31 - 1


def option(
    default: Any,
    *,
    choices: Sequence[Any] | Callable[[], Sequence[Any]] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    hashed: bool = True,
    within: str | None = None,
    up_to: str | None = None,
    every: str | None = None,
    only: tuple[Any, ...] | None = None,
    nonempty: bool = False,
    increasing: bool = False,
    unique: bool = False,
) -> Any:
    """A dataclass field with limits.

    Args:
        default: the value of the field where none is given.
        choices: the only values allowed; or a function that gives them, the names of a registry, which may then also
            be `FILE.py:NAME`.
        minimum: the least value allowed; of every item where the field is a tuple.
        maximum: the greatest value allowed.
        above: a bound the value must exceed.
        below: a bound the value must stay under.
        hashed: whether the value says what is computed (True) or only where or how it is shown (False).
        within: what the value counts, such as `epochs`, where it must lie before the end of training; 0 is none.
        up_to: the same where it may lie at the end.
        every: the same where it is a distance, of which training has at least one; see `spans.check_spans`.
        nonempty: whether a tuple needs at least one item.
        increasing: whether each item of a tuple must exceed the one before it.
        unique: whether the items of a tuple must be different from each other.
        only: another key and those of its values with which this one is read; it keeps its default with others.
    """
    limits = {"choices": choices, "minimum": minimum, "maximum": maximum, "above": above, "below": below}
    order = {"nonempty": nonempty, "increasing": increasing, "unique": unique}
    spans = ((WITHIN, within), (UP_TO, up_to), (EVERY, every))
    span = next(((rule, unit) for rule, unit in spans if unit), None)
    metadata = {"limits": limits, "order": order, "hashed": hashed, "span": span, "only": only}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def parse(kind: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """An instance of the dataclass `kind` from a (nested) mapping, with every value checked.

    Args:
        kind: a dataclass whose fields are bool, int, float, str, dict, tuples, optionals or such dataclasses.
        values: key -> value; keys that are left out take their default.
        where: the path of `values` in the whole configuration, for messages.

    Raises:
        ConfigError: an unknown key, a value of another type, or one outside its limits.
    """
    assert dataclasses.is_dataclass(kind)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in values:
        if key not in fields:
            raise ConfigError(unknown_key(_join(where, key), key, list(fields)))
    parsed = {}
    for key, value in values.items():
        key_path = _join(where, key)
        parsed[key] = _convert(hints[key], value, key_path)
        _check_limits(parsed[key], fields[key].metadata.get("limits", {}), key_path)
        _check_order(parsed[key], fields[key], key_path)
    made = kind(**parsed)
    check_read(made, where)
    check = getattr(made, "check", None)
    if check is not None:
        check(where)
    return typing.cast(T, made)


def check_read(options: Any, where: str) -> None:
    """Refuses values other than the default of what is only read with another key's value, see `option`.

    Raises:
        ConfigError: naming both.
    """
    for field in dataclasses.fields(options):
        if is_read(options, field) or getattr(options, field.name) == field.default:
            continue
        key, *values = field.metadata["only"]
        raise ConfigError(
            f"config.{_join(where, field.name)}={getattr(options, field.name)}: only read with {key} "
            f"{' or '.join(map(repr, values))}, found {getattr(options, key)!r}"
        )


def unknown_key(key_path: str, key: str, known: Sequence[str]) -> str:
    """The one-line message for a key that does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}"
    return f"config.{key_path}: no such key; {hint}"


def must_be_one_of(name: object, known: Sequence[str]) -> str:
    """What to say of a name that is not among `known`: those, and the nearest of them."""
    near = difflib.get_close_matches(str(name), known, 1)
    return f"must be one of {', '.join(known)}" + (f"; did you mean {near[0]!r}?" if near else "")


def to_dict(options: Any) -> dict[str, Any]:
    """All fields of an options dataclass as plain, JSON-ready values (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(options)))


def chosen(options: Any) -> dict[str, Any]:
    """The hashed fields that differ from their default, nested, as plain values.

    A new field whose default changes nothing leaves this, and every hash made of it, as it was.
    """
    different = {}
    for field in dataclasses.fields(options):
        if not field.metadata.get("hashed", True):
            continue
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            inner = chosen(value)
            if inner:
                different[field.name] = inner
            continue
        has_factory = field.default_factory is not dataclasses.MISSING
        default = field.default_factory() if has_factory else field.default  # type: ignore[misc]
        if value != default:
            different[field.name] = json.loads(json.dumps(value))
    return different


def digest(content: Any, length: int) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of `content` as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _convert(next(a for a in typing.get_args(hint) if a is not type(None)), value, where)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise _wrong(where, value, "a group of keys")
        return parse(typing.cast(type, hint), value, where)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise _wrong(where, value, "a tuple, such as (1, 2)")
        item_hints = typing.get_args(hint)
        if item_hints[-1] is Ellipsis:
            return tuple(_convert(item_hints[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        if len(value) != len(item_hints):
            raise _wrong(where, value, f"{len(item_hints)} items")
        return tuple(_convert(h, item, where) for h, item in zip(item_hints, value, strict=True))
    if hint is dict or origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong(where, value, "a group of keys")
        return {str(k): tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    if hint is float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _wrong(where, value, "a finite number")
        return _as_float32(value, where)
    if hint is int:
        if isinstance(value, float) and value == round(value):
            value = int(value)  # 1e3 means 1000
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong(where, value, "a whole number")
        if abs(value) > _INT32_MOST:
            raise _wrong(where, value, f"at most {_INT32_MOST} in size")
        return value
    if hint in (bool, str):
        if not isinstance(value, hint):
            raise _wrong(where, value, "True or False" if hint is bool else "a string")
        return value
    if hint is Any:
        return value
    raise TypeError(f"{where}: fields of type {hint} are not supported")


def _as_float32(value: float, where: str) -> float:
    """The number, which computations in float32 will neither take for 0 nor for infinity."""
    if abs(value) > _FLOAT32_MOST or 0 < abs(value) < _FLOAT32_LEAST:
        raise _wrong(where, value, f"0 or from {_FLOAT32_LEAST:.3g} to {_FLOAT32_MOST:.3g} in size, as float32 has it")
    return float(value)


def _check_order(value: Any, field: dataclasses.Field, where: str) -> None:
    order = field.metadata.get("order", {})
    such = f", such as {field.default!r}" if field.default else ""
    if order.get("nonempty") and not value:
        raise _wrong(where, value, f"at least one{such}")
    if order.get("increasing") and list(value) != sorted(set(value)):
        raise _wrong(where, value, f"increasing{such}")
    if order.get("unique") and len(set(value)) < len(value):
        raise _wrong(where, value, "different from each other")


def _check_limits(value: Any, limits: Mapping[str, Any], where: str) -> None:
    if isinstance(value, tuple):
        for i, item in enumerate(value):
            _check_limits(item, limits, f"{where}[{i}]")
        return
    if value is None or not limits:
        return
    given: Any = limits["choices"]
    choices: Any = given() if callable(given) else given
    if choices is not None and value not in choices and not (callable(given) and is_own_code(value)):
        raise _wrong(where, value, "one of " + ", ".join(map(str, choices)))
    if limits["minimum"] is not None and value < limits["minimum"]:
        raise _wrong(where, value, f"at least {limits['minimum']}")
    if limits["maximum"] is not None and value > limits["maximum"]:
        raise _wrong(where, value, f"at most {limits['maximum']}")
    if limits["above"] is not None and value <= limits["above"]:
        raise _wrong(where, value, f"more than {limits['above']}")
    if limits["below"] is not None and value >= limits["below"]:
        raise _wrong(where, value, f"less than {limits['below']}")


def _wrong(where: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(f"config.{where}={value!r}: must be {allowed}")


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
