"""Numbers that measure a training run, declared with their options and held against its length.

An option says what it counts, as in `option(0, within="epochs")`; whoever knows how long training is asks for the
check. What would never act, or is never reached, is then refused before anything is read or trained.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from jaxticket.core.errors import ConfigError

# Unit, such as `epochs` -> how many of them training has; a unit that is not known yet is not there.
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
        most: what it is held against.
        unit: what both count, such as `epochs`.
        rule: `WITHIN`, `UP_TO` or `EVERY`.
        of: what `most` is the length of.
        remedy: what can be done.
    """

    key: str
    shown: Any
    value: float
    most: float
    unit: str
    rule: str = WITHIN
    of: str = "training"
    remedy: str = "lower it, or train longer"

    def check(self) -> None:
        """Refuses a number that does not fit."""
        # An epoch that is cut short has a beginning and no end.
        allowed = {WITHIN: self.most, UP_TO: math.floor(self.most), EVERY: math.ceil(self.most)}[self.rule]
        if self.value > allowed or (self.rule == WITHIN and self.value == allowed):
            raise ConfigError(
                f"config.{self.key}={self.shown!r}: must be {'less than' if self.rule == WITHIN else 'at most'} the "
                f"{_number(allowed)} {self.unit} of {self.of}; {self.remedy}"
            )


def check_spans(options: Any, length: Length, where: str = "") -> None:
    """Refuses what lies at or past the end of training, or could not act before it.

    Args:
        options: an options dataclass; those in it are checked too. What it can only tell of several keys together is
            given by a method `spans(length, where)`.
        length: of training; what is counted in a unit that is not there is not checked.
        where: the path of `options` in the whole configuration, for messages.

    Raises:
        ConfigError: naming the first such key, its value and the length.
    """
    for field in dataclasses.fields(options):
        value: Any = getattr(options, field.name)
        key = f"{where}.{field.name}" if where else field.name
        if dataclasses.is_dataclass(value):
            check_spans(value, length, key)
        rule, unit = field.metadata.get("span") or ("", "")
        if unit in length and is_read(options, field):
            items: tuple[Any, ...] = value if isinstance(value, tuple) else (value,)
            for item in items:
                if item:  # 0 stands for none
                    Span(key, value, item, length[unit], unit, rule).check()
                    _check_a_step(key, value, item, unit, length)
    more = getattr(options, "spans", None)
    for span in more(length, where) if more else ():
        span.check()


def is_read(options: Any, field: dataclasses.Field) -> bool:
    """Whether an option is read, with what the one that it depends on is set to."""
    only = field.metadata.get("only")
    return only is None or getattr(options, only[0]) in only[1:]


def _check_a_step(key: str, shown: Any, value: float, unit: str, length: Length) -> None:
    """Refuses a part of an epoch that is no step."""
    if unit == "epochs" and "steps" in length and not round(value * length["steps"] / length["epochs"]):
        raise ConfigError(f"config.{key}={shown!r}: is less than a step of training; raise it")


def _number(value: float) -> str:
    """A number of epochs or steps as people write it."""
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"
