"""What can be set: every field of an options dataclass, its type, limits, default and meaning."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class OptionRow:
    """What is known of one option.

    Attributes:
        path: such as `train.lr`.
        kind: its type and its limits, in words.
        default: its value if nothing is said.
        meaning: what the docstring of its class says of it.
        choices: the only values allowed; empty where there are others.
    """

    path: str
    kind: str
    default: Any
    meaning: str
    choices: tuple[Any, ...] = ()


def option_rows(options: Any, where: str = "") -> Iterator[OptionRow]:
    """A row for every field of an instance of an options dataclass and of the dataclasses in it, in their order.

    Args:
        options: whose values are the defaults.
        where: what their paths begin with, such as `train.`.

    Example:
        >>> from jaxticket.training import TrainOptions
        >>> row = next(row for row in option_rows(TrainOptions(), "train.") if row.path == "train.lr")
        >>> row.kind, row.default, row.meaning
        ('float, more than 0', 0.1, 'the learning rate after warm-up.')
    """
    hints, meanings = typing.get_type_hints(type(options)), _meanings(type(options))
    for field in dataclasses.fields(options):
        value, path = getattr(options, field.name), f"{where}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from option_rows(value, f"{path}.")
            continue
        limits = field.metadata.get("limits", {})
        given: Any = limits.get("choices")
        listed: Any = given() if callable(given) else given
        choices: tuple[Any, ...] = tuple(listed or ())
        said = [f"one of {', '.join(str(one) or repr(one) for one in choices)}"] if choices else []
        if not (choices and isinstance(value, str)):
            said = [_type(hints[field.name]), *said]
        kind = ", ".join([*said, *_limits(limits)])
        choices = (True, False) if isinstance(value, bool) else choices
        yield OptionRow(path, kind, value, meanings.get(field.name, ""), choices)


def _meanings(kind: type) -> dict[str, str]:
    """Field -> what the `Attributes:` of the docstrings of a class and its parents say of it."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        text = inspect.cleandoc(one.__doc__ or "")
        section = re.search(r"^Attributes:\n((?:[ ]{4}.*\n?|\n)*)", text, re.MULTILINE)
        entries = re.findall(r"^ {4}(\w+): ((?:.*\n?)(?:^ {8}.*\n?)*)", section[1] if section else "", re.MULTILINE)
        found |= {name: " ".join(meaning.split()) for name, meaning in entries}
    return found


def _type(hint: Any) -> str:
    arguments = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("None" if one is type(None) else _type(one) for one in arguments)
    if origin is tuple:
        return f"tuple of {_type(arguments[0])}" if arguments[-1] is ... else f"({', '.join(map(_type, arguments))})"
    if origin is dict or hint is dict:
        return "dictionary"
    return {Any: "any", bool: "True or False"}.get(hint) or hint.__name__


def _limits(limits: Mapping[str, Any]) -> Iterator[str]:
    words = {"minimum": "at least", "maximum": "at most", "above": "more than", "below": "less than"}
    for key, word in words.items():
        if limits.get(key) is not None:
            yield f"{word} {limits[key]}"
