"""The page of keys and the table of commands, made from the options of the experiments and from the command itself."""

import re
from itertools import groupby

from texts import table

from jaxticket.cli import COMMANDS
from jaxticket.core.option_rows import OptionRow, option_rows
from jaxticket.lab.key_table import key_rows
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.registry import experiments

HEADINGS = ["key", "type", "default", "meaning"]


def texts() -> dict[str, str]:
    """The made texts of the pages on keys and on commands."""
    common = list(option_rows(ExperimentOptions()))
    defaults = {row.path: row.default for row in common}
    parts = []
    for section, rows in groupby(sorted(common, key=_section), _section):
        parts.append(f"### {section or 'At the top'}\n\n{_table(rows)}")
    parts = ["## Of every experiment", *parts, "## Of one experiment"]
    for one in experiments:
        own = [row for row in key_rows(one.options) if defaults.get(row.path, object) != row.default]
        parts.append(f"### `{one.name}`\n\n{one.question[0].upper()}{one.question[1:]}\n\n{_table(own)}")
    commands = [[f"`jaxticket {name}`", says] for name, says in COMMANDS.items()]
    return {"keys": "\n\n".join(parts), "commands": table(["command", "what it does"], commands)}


def _section(row: OptionRow) -> str:
    return row.path.partition(".")[0] if "." in row.path else ""


def _table(rows) -> str:
    shown = [[f"`{row.path}`", row.kind, f"`{row.default!r}`", row.meaning] for row in rows]
    if not shown:
        return "It has no keys of its own."
    return table(HEADINGS, [[re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in row] for row in shown])
