"""Ordered (regular expression -> value) rules over paths: full match, first match wins, every path covered."""

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from jaxticket.core.errors import MaskError

Path = str
Value = TypeVar("Value")
Rules = Sequence[tuple[str, Value]]


def match_rules(rules: Rules[Value], paths: Iterable[Path]) -> dict[Path, Value]:
    """The value of the first rule whose regular expression matches the whole path, for every path.

    Raises:
        MaskError: a path matches no rule, or an expression is not a valid one.
    """
    compiled = []
    for expression, value in rules:
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
