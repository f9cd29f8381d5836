"""The results of a sweep, read from the folders of its experiments: printed, as `sweep.csv` and `sweep.json`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxticket import storage
from jaxticket.core.options import digest
from jaxticket.core.text_table import text_table
from jaxticket.lab.config import experiment_folder
from jaxticket.lab.sweep import Entry, varying
from jaxticket.report import text
from jaxticket.report.files import read_study
from jaxticket.report.groups import Group, group_rows
from jaxticket.report.spreadsheets import to_csv
from jaxticket.report.study import MEASURED


def results(entries: Sequence[Entry], workdir: Path) -> list[dict[str, Any]]:
    """What is known of every experiment of a sweep, read from the experiments' folders in `workdir`.

    Returns:
        One dictionary for each entry, branch and level: `entry`, the varying keys, `folder`, `branch`, `level`, `n`
        (how many seeds), `remaining` (mean kept share of the prunable weights), and mean and standard deviation over
        seeds of what is `MEASURED`, None where there is none. One with `n` 0 for an entry that is not complete.

    Raises:
        JaxticketError: a summary that cannot be read.
    """
    keys, rows = varying(entries), []
    for entry in entries:
        folder = experiment_folder(entry.experiment, entry.options, workdir)
        about = {"entry": entry.index, **{key: entry.value(key) for key in keys}, "folder": folder.name}
        study = read_study(folder) if (folder / "summary.json").is_file() else None
        if study is not None and study.warning:
            print(f"note: {folder}: {study.warning}")
        if study is None or not study.complete:
            rows.append({**about, "branch": None, "level": None, "n": 0, "remaining": None, **_measured(None)})
            continue
        for group in group_rows(study.rows):
            found = {"branch": group.name, "level": group.level, "n": group.n, "remaining": group.remaining}
            rows.append({**about, **found, **_measured(group)})
    return rows


def _measured(group: Group | None) -> dict[str, float | None]:
    found = {}
    for name in MEASURED:
        spread = group.spread(name) if group else None
        found |= {name: spread and spread.mean, f"{name}_std": spread and spread.std}
    return found


def print_results(entries: Sequence[Entry], rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints the last level of every branch of every experiment; a star marks the branch's best by validation."""
    last = {(row["entry"], row["branch"]): row for row in rows}
    best: dict[Any, float] = {}
    for (_, branch), row in last.items():
        best[branch] = max(best.get(branch, 0.0), row["val_accuracy"] or 0.0)
    keys = varying(entries)
    lines = [["entry", *keys, "branch", "level", "left", "test", "val", "n"]]
    for row in last.values():
        line = [str(row["entry"]), *(entries[row["entry"]].shown(key) for key in keys)]
        if not row["n"]:
            lines.append([*line, "not complete", *[""] * 5])
            continue
        star = "*" if row["val_accuracy"] and row["val_accuracy"] == best[row["branch"]] else " "
        test, val = (
            text.accuracy_text(row[name]).replace(text.NOTHING, "-") for name in ("test_accuracy", "val_accuracy")
        )
        left = text.remaining(row["remaining"])
        lines.append([*line, row["branch"], str(row["level"]), left, test, val + star, str(row["n"])])
    print("\n".join(text_table(lines)))
    print("test, val: means over n seeds; left: prunable weights; * the branch's highest validation accuracy")


def write_results(
    entries: Sequence[Entry], rows: Sequence[Mapping[str, Any]], workdir: Path, folder: Path | None = None
) -> Path:
    """Writes `sweep.json` and `sweep.csv`, every branch and level of a complete sweep, as `results` gives them.

    Returns:
        `folder`, or `WORKDIR/<name>-sweep-<hash8>`, the name being the experiments' own where they share it.

    Raises:
        TicketError: the operating system refuses.
    """
    folders = list(dict.fromkeys(row["folder"] for row in rows))
    names = {entry.options.name or entry.experiment.name for entry in entries}
    name = names.pop() if len(names) == 1 else entries[0].experiment.name
    folder = folder or workdir / f"{name}-sweep-{digest({'sweep': folders}, 8)}"
    sheet = to_csv([list(rows[0]), *(list(row.values()) for row in rows)])
    storage.write_bytes(folder / "sweep.csv", sheet.encode())
    storage.write_json(folder / "sweep.json", {"complete": True, "varying": varying(entries), "rows": rows})
    return folder
