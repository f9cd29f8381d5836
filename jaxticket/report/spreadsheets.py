"""CSV files, the same bytes everywhere, in which no text becomes a formula of the spreadsheet that opens it."""

import csv
import io
from collections.abc import Iterable
from typing import Any

from jaxticket.lab.row import number

# With what a spreadsheet lets a formula begin; a text that does is told from one by an apostrophe.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(lines: Iterable[Iterable[Any]]) -> str:
    """Lines of cells as CSV.

    Args:
        lines: of texts, numbers, bools and None. Numbers are written in full, those that are not finite, None, lists
            and dictionaries as empty cells.
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_cell(value) for value in line] for line in lines)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, list | dict):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and number(value) is None:
        return ""
    if not isinstance(value, str):
        return value
    # A carriage return ends a line for spreadsheets, and `csv` does not quote it.
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if value.startswith(_FORMULA) else text
