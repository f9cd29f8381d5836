"""Ordered (regular expression -> value) rules over paths: full match, first match wins, every path covered."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from jaxticket.core.errors import ConfigError, MaskError
from jaxticket.core.types import Path

Value = TypeVar("Value")
Rules = Sequence[tuple[str, Value]]

_SHOWN = 6


def match_rules(rules: Rules[Value], paths: Iterable[Path]) -> dict[Path, Value]:
    """The value of the first rule whose regular expression matches the whole path, for every path.

    A rule may match nothing, so that one list serves many networks; see `check_used` for a list that a user wrote.

    Raises:
        MaskError: a path matches no rule, or an expression is not a valid one.
    """
    if isinstance(rules, str) or not isinstance(rules, Sequence):
        raise MaskError(f"rules={rules!r}: must be a list of (regular expression, value) pairs")
    compiled = []
    for rule in rules:
        if not isinstance(rule, tuple | list) or len(rule) != 2 or not isinstance(rule[0], str):
            raise MaskError(f"rule {rule!r}: must be a pair (regular expression, value), such as ('.*', False)")
        expression, value = rule
        try:
            compiled.append((re.compile(expression), value))
        except re.error as error:
            raise MaskError(f"rule {expression!r} is not a regular expression: {error}") from error
    matched: dict[Path, Value] = {}
    for path in paths:
        for expression, value in compiled:
            if expression.fullmatch(path):
                matched[path] = value
                break
        else:
            raise MaskError(f"no rule covers {path!r}; add one, such as ('.*', False) at the end")
    return matched


def check_expressions(rules: Rules[Value], key: str) -> None:
    """Refuses what is not a regular expression.

    Raises:
        ConfigError: naming `key`, the path of the rules in the configuration.
    """
    try:
        match_rules(rules, ())
    except MaskError as error:
        raise ConfigError(f"config.{key}: {error}") from error


def check_used(
    rules: Rules[Value],
    paths: Iterable[Path],
    key: str,
    *,
    matches: Callable[[str, Path], object] = re.fullmatch,
    also: str = "",
) -> None:
    """Refuses rules of a configuration that have no effect on its network: misspelt, or behind others.

    A last rule may come too late for every path, as what is said of all the rest does where nothing is left.

    Args:
        rules: what the user wrote.
        paths: of the leaves of the network.
        key: the path of the rules in the configuration, for messages.
        matches: whether an expression is meant for a path.
        also: what else an expression may name, for messages.

    Raises:
        ConfigError: naming the first rule that decides on nothing, and some of the paths.
    """
    left = known = list(paths)
    for number, (expression, _) in enumerate(rules):
        found = [path for path in known if matches(expression, path)]
        remaining = [path for path in left if path not in found]
        if not found:
            more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
            raise ConfigError(
                f"config.{key}: rule {expression!r} matches nothing; there are {', '.join(known[:_SHOWN])}{more}{also}"
            )
        if len(remaining) == len(left) and number < len(rules) - 1:
            raise ConfigError(
                f"config.{key}: rule {expression!r} comes too late, rules before it decide on {found[0]} and all else "
                "that it matches; move it up"
            )
        left = remaining
