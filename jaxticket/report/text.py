"""Numbers as text, the same on the page, in the figures and in the terminal."""

import math
from collections.abc import Sequence

from jaxticket.report.groups import Spread

NOTHING = "\N{EN DASH}"


def decimals(remaining: float) -> int:
    """Digits after the point that show two significant ones of the remaining percentage, at least one."""
    percentage = 100 * remaining
    if percentage >= 1 or percentage <= 0:
        return 1
    return 1 - math.floor(math.log10(percentage))


def remaining(share: float) -> str:
    """The kept share of the weights: `100%`, `41.0%`, `1.8%`, `0.071%`."""
    return "100%" if share == 1 else f"{100 * share:.{decimals(share)}f}%"


def sparsity_text(share: float) -> str:
    """The removed share of the weights, with as many digits as the kept one: `98.2%`, `99.929%`."""
    return "0%" if share == 0 else f"{100 * share:.{decimals(1 - share)}f}%"


def accuracy_text(value: float | None) -> str:
    """An accuracy in [0, 1]: `0.9612`."""
    return NOTHING if value is None else f"{value:.4f}"


def loss(value: float | None) -> str:
    """A loss with three significant digits: `0.0123`, `2.30`, `1.2e-06`."""
    if value is None:
        return NOTHING
    if value != 0 and not 1e-4 <= abs(value) < 1e4:
        return f"{value:.1e}"
    return f"{value:#.3g}".rstrip(".")


def difference(value: float | None) -> str:
    """A signed difference of accuracies: `+0.0012`, `-0.0130` (with a real minus sign)."""
    return _signed(value, 4)


def points(value: float | None) -> str:
    """A signed difference of accuracies in percentage points: `+1.47`, `-0.30` (with a real minus sign)."""
    return _signed(None if value is None else 100 * value, 2)


def _signed(value: float | None, digits: int) -> str:
    if value is None:
        return NOTHING
    text = f"{abs(value):.{digits}f}"
    sign = "" if float(text) == 0 else "+" if value > 0 else "\N{MINUS SIGN}"
    return sign + text


def interval_points(low: float | None, high: float | None) -> str:
    """An interval of a difference in percentage points: `+0.79 to +2.15`."""
    return NOTHING if low is None or high is None else f"{points(low)} to {points(high)}"


def interval(low: float | None, high: float | None) -> str:
    """An interval of a difference of accuracies: `+0.0079 to +0.0215`."""
    return NOTHING if low is None or high is None else f"{difference(low)} to {difference(high)}"


def p_value_text(value: float | None) -> str:
    """A p-value with two digits: `0.031`, `0.0012`, `<0.0001`, `1`."""
    if value is None:
        return NOTHING
    return "<0.0001" if value < 1e-4 else f"{value:.2g}"


def value(found: object) -> str:
    """A field of a row: a number in its shortest form, a text as it is, a dash where there is none."""
    return NOTHING if found is None else f"{found:g}" if isinstance(found, int | float) else str(found)


def spread(values: Spread, plus_minus: str = "±") -> str:
    """Mean and standard deviation of accuracies: `0.9612 ± 0.0031`; the mean alone for n = 1."""
    if values.std is None:
        return accuracy_text(values.mean)
    return f"{accuracy_text(values.mean)} {plus_minus} {values.std:.4f}"


def amount(value: float | None) -> str:
    """A large number with three significant digits: `950`, `60.9 k`, `1.82 G`."""
    if value is None:
        return NOTHING
    for unit in ("", " k", " M", " G", " T"):
        if value < 999.5 or unit == " T":
            break
        value /= 1000
    return f"{value:.3g}{unit}" if value < 999.5 else f"{value:,.0f}{unit}"


def share(value: float | None) -> str:
    """A share in [0, 1] of anything, as `remaining` has it: `0%`, `41.6%`, `100%`; a dash where it is not known."""
    return NOTHING if value is None else "0%" if value == 0 else remaining(value)


def count_text(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 seed`, `3 seeds`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listing(words: Sequence[str]) -> str:
    """Words in a sentence: `3`, `3 and 5`, `3, 4 and 5`."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
