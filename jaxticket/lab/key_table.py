"""Every key of an experiment with its type, default and meaning, read from the classes of its options."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.registry import Experiment, get_experiment


@dataclasses.dataclass(frozen=True)
class KeyRow:
    """What is known of one key.

    Attributes:
        path: such as `train.lr`.
        kind: its type and its limits, in words.
        default: as Python writes it.
        meaning: a sentence or more.
    """

    path: str
    kind: str
    default: str
    meaning: str


def key_rows(options: type[ExperimentOptions]) -> list[KeyRow]:
    """A row for every key, in the order of the fields.

    Example:
        >>> from jaxticket.experiments.imp import ImpOptions
        >>> row = next(row for row in key_rows(ImpOptions) if row.path == "prune.rate")
        >>> row.kind, row.default
        ('float, more than 0, less than 1', '0.2')
    """
    return list(_rows(options(), ""))


def own_keys(options: type[ExperimentOptions]) -> list[KeyRow]:
    """The rows of the keys that not every experiment has."""
    common = {row.path for row in key_rows(ExperimentOptions)}
    return [row for row in key_rows(options) if row.path not in common]


def print_keys(config: Mapping[str, Any], part: str = "") -> None:
    """Prints every key of a configuration: value, type and meaning.

    Args:
        config: as `default_config` or a config file gives it.
        part: only keys that have this in their path.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding

    experiment = get_experiment(config["experiment"])
    console = Console(highlight=False)
    console.print(f"[bold]{experiment.name}[/]: {escape(_head(experiment))}\n")
    for row in key_rows(experiment.options):
        if part not in row.path:
            continue
        value = _value(config, row.path)
        default = "" if value == row.default else f" (default {row.default})"
        console.print(f"[bold]{row.path}[/] = {escape(value + default)}    [dim]{escape(row.kind)}[/]", soft_wrap=True)
        console.print(Padding(escape(row.meaning), (0, 0, 0, 4)))


def _head(experiment: Experiment) -> str:
    return " ".join(filter(None, (experiment.question, f"({experiment.paper})" if experiment.paper else "")))


def _value(config: Mapping[str, Any], path: str) -> str:
    value: Any = config
    for name in path.split("."):
        value = value[name]
    return repr(value.to_dict() if hasattr(value, "to_dict") else value)


def _rows(options: Any, where: str) -> Iterator[KeyRow]:
    hints, meanings = typing.get_type_hints(type(options)), _meanings(type(options))
    for field in dataclasses.fields(options):
        value, path = getattr(options, field.name), f"{where}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from _rows(value, f"{path}.")
        else:
            kind = ", ".join([_type(hints[field.name]), *_limits(field.metadata.get("limits", {}))])
            yield KeyRow(path, kind, repr(value), meanings.get(field.name, ""))


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
    return "any" if hint is Any else hint.__name__


def _limits(limits: Mapping[str, Any]) -> Iterator[str]:
    given: Any = limits.get("choices")
    choices: Any = given() if callable(given) else given
    if choices is not None:
        yield f"one of {', '.join(map(str, choices))}"
    words = {"minimum": "at least", "maximum": "at most", "above": "more than", "below": "less than"}
    for key, word in words.items():
        if limits.get(key) is not None:
            yield f"{word} {limits[key]}"
