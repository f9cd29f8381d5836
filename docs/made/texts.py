"""Numbers, tables and paragraphs as the documents write them."""

import re
import textwrap
from collections.abc import Mapping, Sequence

from jaxticket import analysis

# A line that begins so is no line of a paragraph: Markdown makes a list or a heading of it.
_KEPT = "\0"  # a space that may not end a line
_NO_LINE = re.compile(r"([-+*#>]|\d+[.)])\s")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown; an empty cell stays empty."""
    if {len(row) for row in rows} - {len(header)}:
        raise ValueError("a row is not as long as the header")
    lines = ["|" + "|".join(f" {cell} " if cell else " " for cell in row) + "|" for row in (header, *rows)]
    lines.insert(1, "|" + "---|" * len(header))
    return "\n".join(lines)


def one_line(*parts: str) -> str:
    """Parts of a sentence as one line, for a cell of a table."""
    return " ".join(" ".join(parts).split())


def paragraph(*sentences: str) -> str:
    """Sentences as a paragraph of lines of at most 120 characters."""
    text = re.sub(r"`[^`]*`|\d %", lambda found: found[0].replace(" ", _KEPT), one_line(*sentences))
    lines = textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False)
    for line in lines:
        assert not _NO_LINE.match(line), f"a line of a paragraph begins like a list: {line}"
    return "\n".join(lines).replace(_KEPT, " ")


def percent(share: float, digits: int = 2) -> str:
    """`88.85` of 0.8885."""
    return f"{100 * share:.{digits}f}"


def spread(values: Mapping[int, float], digits: int = 2) -> str:
    """`88.85 ± 0.20`, the mean and the sample standard deviation of accuracies, in percent."""
    found = analysis.mean_interval(list(values.values()))
    return f"{100 * found.mean:.{digits}f}" + ("" if found.std is None else f" ± {100 * found.std:.{digits}f}")


def signed(difference: float, digits: int = 2) -> str:
    """`+0.37`, a difference of accuracies in points."""
    text = f"{100 * difference:+.{digits}f}"
    return text.replace("-", "+") if float(text) == 0 else text


def interval(found: analysis.Difference, digits: int = 2) -> str:
    """`+1.56 (+1.11, +2.01)`, the mean of differences and its interval, in points."""
    if found.low is None or found.high is None:
        return signed(found.mean, digits)
    return f"{signed(found.mean, digits)} ({signed(found.low, digits)}, {signed(found.high, digits)})"


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 interval`, `3 intervals`; small numbers as words are not for tables and are not made here."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(things: Sequence[str]) -> str:
    """`a, b and c`."""
    *rest, last = things
    return f"{', '.join(rest)} and {last}" if rest else last


def span(numbers: Sequence[float], form: str = "{:.1f}") -> str:
    """`1.6 to 8.4`, or the one number where both ends read alike."""
    low, high = form.format(min(numbers)), form.format(max(numbers))
    return low if low == high else f"{low} to {high}"


def span_of(found: Sequence[analysis.Difference], digits: int = 1) -> str:
    """`-0.2 to +0.5`, the smallest and the largest mean of some differences, in points."""
    ends = sorted(one.mean for one in found)
    low, high = signed(ends[0], digits), signed(ends[-1], digits)
    return low if low == high else f"{low} to {high}"
