"""Numbers that measure a training run, declared with their options and held against its length.

An option says what it counts, as in `option(0, within="epochs")`; whoever knows how long training is asks for the
check. What would never act, or is never reached, is then refused before anything is read or trained.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from jaxticket.core.errors import ConfigError

Length = Mapping[str, float]

# How a number lies in training: before its end, at most at its end, or as a distance that fits into it.
WITHIN, UP_TO, EVERY = "within", "up_to", "every"


@dataclasses.dataclass(frozen=True)
class Span:
    """A number that is held against the length of training.

    Attributes:
        key: its path in the configuration.
        shown: the value as it was given.
        value: what counts of it.
        unit: what it counts, such as `epochs`.
        rule: `WITHIN`, `UP_TO` or `EVERY`.
        remedy: what else to say.
    """

    key: str
    shown: Any
    value: float
    unit: str
    rule: str = WITHIN
    remedy: str = ""


def check_spans(options: Any, length: Length, where: str = "") -> None:
    """Refuses what lies at or past the end of training, or could not act before it.

    Args:
        options: an options dataclass; those in it are checked too. What it can only tell of several keys together is
            given by a method `spans(length, where)`.
        length: unit -> how many of them training has; a number whose unit is not there is not checked.
        where: the path of `options` in the whole configuration, for messages.

    Raises:
        ConfigError: naming the first such key, its value and the length.
    """
    for span in _spans(options, length, where):
        if span.unit not in length:
            continue
        if span.unit == "epochs" and "steps" in length and not round(span.value * length["steps"] / length["epochs"]):
            raise ConfigError(f"config.{span.key}={span.shown!r}: is less than a step of training; raise it")
        # An epoch that is cut short has a beginning and no end.
        most = length[span.unit]
        must, most = {
            WITHIN: ("less than the", most),
            UP_TO: ("at most the", math.floor(most)),
            EVERY: ("at most the", math.ceil(most)),
        }[span.rule]
        if span.value > most or (span.rule == WITHIN and span.value == most):
            remedy = span.remedy or "lower it, or train longer"
            raise ConfigError(
                f"config.{span.key}={span.shown!r}: must be {must} {number(most)} {span.unit} of training; {remedy}"
            )


def number(value: float) -> str:
    """A number of epochs or steps as people write it."""
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"


def _spans(options: Any, length: Length, where: str) -> Iterator[Span]:
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        key = f"{where}.{field.name}" if where else field.name
        if dataclasses.is_dataclass(value):
            yield from _spans(value, length, key)
        span = field.metadata.get("span")
        if span is None or not is_read(options, field):
            continue
        rule, unit = span
        for item in value if isinstance(value, tuple) else (value,):
            if item:  # 0 stands for none
                yield Span(key, value, item, unit, rule)
    more = getattr(options, "spans", None)
    if more is not None:
        yield from more(length, where)


def is_read(options: Any, field: dataclasses.Field) -> bool:
    """Whether an option is read, with what the one that it depends on is set to."""
    only = field.metadata.get("only")
    return only is None or getattr(options, only[0]) in only[1:]
