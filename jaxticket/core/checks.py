"""Arguments of public functions, checked where they come in: a line says which, what was found, what is allowed.

It loads no JAX, for options are checked before anything heavy is loaded.
"""

import math
import re
import sys
from collections.abc import Mapping
from numbers import Integral
from typing import Any

from jaxticket.core.errors import ConfigError, JaxticketError, MaskError

_LONGEST = 80


def check_number(
    name: str,
    value: Any,
    low: float,
    high: float,
    *,
    above: bool = False,
    below: bool = False,
    error: type[JaxticketError] = MaskError,
) -> None:
    """Makes sure that `value` is one number from `low`, or `above` it, to `high`, or `below` it; bools are none.

    Raises:
        MaskError: it is not, or what `error` says.
    """
    shape = getattr(value, "shape", ())
    kind = getattr(getattr(value, "dtype", None), "kind", "f" if type(value) in (int, float) else "O")
    # NaN is not in any range; bfloat16 has the kind V.
    number = float(value) if shape == () and kind in "iufV" else math.nan
    if not low <= number <= high or (above and number == low) or (below and number == high):
        lower, upper = "more than" if above else "at least", "less than" if below else "at most"
        if not above and not below and math.isfinite(high - low) and high < sys.float_info.max:
            raise error(f"{name}={shown(value)}: must be one number from {low:g} to {high:g}")
        limits = [f"{lower} {low:g}"] * math.isfinite(low) + [f"{upper} {high:g}"] * (high < sys.float_info.max)
        raise error(f"{name}={shown(value)}: must be {' and '.join(limits) or 'a number'}")


def check_whole(name: str, value: object, least: int, *, error: type[JaxticketError] = MaskError) -> None:
    """Makes sure that `value` is a whole number of at least `least`.

    Raises:
        MaskError: it is not, or what `error` says.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise error(f"{name}={shown(value)}: must be a whole number of at least {least}")


def check_paths(name: str, value: object) -> None:
    """Makes sure that `value` is a dictionary whose keys are paths, as masks and scores are, or raises `MaskError`."""
    if not isinstance(value, Mapping):
        raise MaskError(f"{name} is {_a(value)}; it must be a dictionary path -> array, such as full_mask gives")
    for path in value:
        if not isinstance(path, str):
            raise MaskError(f"{name} has the key {shown(path)}; keys must be paths, such as 'conv1/kernel'")


def check_params(name: str, value: object, arrays: Mapping[str, Any]) -> None:
    """Makes sure that there are arrays among the leaves of `value`.

    Raises:
        MaskError: there are none, as in None or a function.
    """
    if not arrays:
        raise MaskError(
            f"{name} is {_a(value)} without arrays; it must be a pytree of arrays, such as model.init gives"
        )


def check_function(name: str, value: object) -> None:
    """Makes sure that `value` can be called, or raises `MaskError`."""
    if not callable(value):
        raise MaskError(f"{name} is {_a(value)}; it must be a function")


def check_name(what: str, value: object, *, parts: bool = False) -> None:
    """Makes sure that `value` can be part of a file name: letters, digits, '_', '-' or '.', and no '.' first.

    Args:
        what: it names, for the message: "config.name", "criterion".
        value: the name.
        parts: whether it may be several such names with '/' between them.

    Raises:
        ConfigError: it cannot.
    """
    names = value.split("/") if parts and isinstance(value, str) else [value]
    if not all(isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name) for name in names):
        raise ConfigError(f"{what}={shown(value)}: must be letters, digits, '_', '-' or '.', and not begin with '.'")


def check_optimizer(value: object) -> None:
    """Makes sure that `value` is an Optax optimizer, or raises `ConfigError`."""
    if not callable(getattr(value, "init", None)) or not callable(getattr(value, "update", None)):
        raise ConfigError(f"tx is {_a(value)}; it must be an optimizer of Optax, such as optax.sgd(0.1)")


def shown(value: object) -> str:
    """A value for a message: on one line, and not long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _a(value: object) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
