"""The command line of sweeps: `python -m jaxticket.sweep --config=FILE.py[:ARGS] [--index=I]`.

A config file may define, beside `get_config`, a generator `sweep` that yields dictionaries of overrides, such as
`{"train.lr": 0.1, "seed": 3}`; each is one experiment.
"""

import copy
import csv
import dataclasses
import inspect
import io
import re
import runpy
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from jaxticket.core.errors import ConfigError, JaxticketError, TrainingError
from jaxticket.core.options import digest, to_dict
from jaxticket.main import command_line, execute, one_line, read_flags, until_stopped

USAGE = """\
usage: python -m jaxticket.sweep --config=FILE.py[:ARGS] [--config.KEY=VALUE ...] [--workdir=DIR]
                                 [--index=I | --index=I-J] [--count] [--dry_run]

  --config=FILE.py       a Python file with get_config() and sweep(); ARGS go to both
  --config.KEY=VALUE     overrides a key in every experiment of the sweep
  --workdir=DIR          where experiments and their shared stages are kept (default: runs)
  --index=I              runs only experiment I, from 0; --index=3-7 runs five of them
  --count                print how many experiments there are, and do nothing
  --dry_run              list the experiments and what is to do, and do nothing
  --help                 print this

sweep() yields dictionaries such as {"train.lr": 0.1, "seed": 3}, one for each experiment: get_config() with these keys
changed. Experiments run one after the other and share their stages; the same command again goes on where it was
stopped. In an array job, --index="$SLURM_ARRAY_TASK_ID" runs one of them in each task.
Exit codes: 0 done, 1 training failed, 2 bad input, 75 stopped by a signal (start again to go on)."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One experiment of a sweep.

    Attributes:
        index: its place in the sweep, from 0.
        keys: the flattened keys that `sweep` set.
        experiment: what to run.
        options: what it is told.
    """

    index: int
    keys: tuple[str, ...]
    experiment: Any
    options: Any

    def shown(self, key: str) -> str:
        """The value at a flattened key, for people."""
        value = self.value(key)
        return f"{value:.6g}" if isinstance(value, float) else str(value)

    def value(self, key: str) -> Any:
        """What the experiment is told at a flattened key, JSON-ready; None where there is nothing."""
        found: Any = {"experiment": self.experiment.name, **to_dict(self.options)}
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; None takes them from the process.

    Returns:
        The exit code.
    """
    return command_line(arguments, USAGE, _run)


def _run(arguments: list[str]) -> int:
    values = read_flags(arguments, strings=("index",), switches=("count",))
    flag = cast(Any, values["config"])  # knows the file and the command line's overrides by themselves
    entries = make_entries(values.config, read_sweep(flag.config_filename), flag.override_values)
    chosen = _chosen(values.index, entries)
    if values.count:
        print(len(entries))
        return 0
    workdir = Path(values.workdir)

    def work(interrupts: Any) -> None:
        plans = _plans(chosen, workdir)
        if values.dry_run:
            _print_plans(entries, chosen, plans)
        else:
            _execute(entries, chosen, workdir, interrupts, arguments)

    return until_stopped(work)


def read_sweep(config: str) -> list[Any]:
    """What the `sweep` of a config file yields.

    Args:
        config: the file, and behind a colon the argument that `sweep` gets if it takes one.

    Raises:
        ConfigError: there is no `sweep`, it fails, or it yields nothing.
    """
    file, colon, argument = config.partition(":")
    try:
        sweep = runpy.run_path(file).get("sweep")
        if not callable(sweep):
            raise ConfigError(
                f'--config={file}: has no sweep(); define one that yields {{"train.lr": 0.1}} and the like'
            )
        yielded: Any = sweep(argument) if colon and inspect.signature(sweep).parameters else sweep()
        entries = list(yielded)
    except JaxticketError:
        raise
    except Exception as error:  # whatever a config file raises
        raise ConfigError(f"--config={file}: sweep(): {type(error).__name__}: {one_line(error)}") from error
    if not entries:
        raise ConfigError(f"--config={file}: sweep() yields nothing; must yield at least one dictionary of overrides")
    return entries


def make_entries(config: Any, sweep: Sequence[Any], overrides: Mapping[str, Any]) -> list[Entry]:
    """The experiments of a sweep, each checked by itself.

    Args:
        config: what `get_config` returned.
        sweep: dictionaries from flattened keys to values; a value that is a dictionary changes the keys in it.
        overrides: flattened key -> value, from the command line; they go on top.

    Raises:
        ConfigError: an entry that is no dictionary, or with a key or value that cannot be used.
    """
    from jaxticket.experiments.config import resolve

    base: Any = config.to_dict() if hasattr(config, "to_dict") else config
    if not isinstance(base, dict):
        resolve(base)  # says what is wrong with it
    entries = []
    for index, entry in enumerate(sweep):
        try:
            if not isinstance(entry, Mapping):
                raise ConfigError(f'is {entry!r}; must be a dictionary of overrides, such as {{"train.lr": 0.1}}')
            values, changes = copy.deepcopy(base), dict(_flat(entry))
            for key, value in [*changes.items(), *overrides.items()]:
                _set(values, key, value)
            entries.append(Entry(index, tuple(changes), *resolve(values)))
        except ConfigError as error:
            raise ConfigError(f"sweep entry {index}: {error}") from error
    return entries


def _flat(entry: Mapping[Any, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in entry.items():
        if not isinstance(key, str):
            raise ConfigError(f"key {key!r}: must be a string, such as 'train.lr'")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{where}{key}.")
        else:
            yield f"{where}{key}", value


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Sets a flattened key; one that is not known is refused when the whole is checked."""
    *groups, name = key.split(".")
    for depth, group in enumerate(groups):
        values = values.setdefault(group, {})
        if not isinstance(values, dict):
            raise ConfigError(
                f"config.{key}: no such key; config.{'.'.join(groups[: depth + 1])} is not a group of keys"
            )
    values[name] = value.to_dict() if hasattr(value, "to_dict") else value


def _chosen(index: str | None, entries: list[Entry]) -> list[Entry]:
    """The entries that `--index` names."""
    if index is None:
        return entries
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", index)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
    if not first <= last < len(entries):
        raise ConfigError(
            f"--index={index}: must be from 0 to {len(entries) - 1}, or a range such as 0-{len(entries) - 1}"
        )
    return entries[first : last + 1]


def _plans(entries: Sequence[Entry], workdir: Path) -> list[Any]:
    """A plan for each entry; wrong combinations are found here, before anything is run."""
    from jaxticket.experiments.run import make_plan

    plans = []
    for entry in entries:
        try:
            plans.append(make_plan(entry.experiment, entry.options, workdir))
        except JaxticketError as error:
            raise type(error)(f"sweep entry {entry.index}: {error}") from error
    return plans


def _print_plans(entries: list[Entry], chosen: list[Entry], plans: list[Any]) -> None:
    keys = varying(entries)
    rows = [["entry", *keys, "cached", "to do", "folder"]]
    networks = {}
    for entry, plan in zip(chosen, plans, strict=True):
        cached = sum(stage.cached for stage in plan.networks)
        settings = [entry.shown(key) for key in keys]
        rows.append([str(entry.index), *settings, str(cached), str(len(plan.networks) - cached), str(plan.folder)])
        networks.update({stage.id: stage.cached for stage in plan.networks})
    _print_columns(rows, last_to_the_left=True)
    print(f"networks: {len(networks)} different ones, of which {len(networks) - sum(networks.values())} to train")


def _execute(entries: list[Entry], chosen: list[Entry], workdir: Path, interrupts: Any, arguments: list[str]) -> None:
    failed = []
    keys = varying(entries)
    for entry in chosen:
        interrupts.check()
        settings = " ".join(f"{key}={entry.shown(key)}" for key in keys)
        print(f"entry {entry.index} of {len(entries)}: {settings}", flush=True)
        index = [f"--index={entry.index}"] if len(chosen) > 1 else []
        command = shlex.join(["python", "-m", "jaxticket.sweep", *arguments, *index])
        try:
            execute(entry.experiment, entry.options, workdir, interrupts, command)
        except TrainingError as error:  # a learning rate too high for one must not keep the others from running
            print(f"error: sweep entry {entry.index}: {error}", file=sys.stderr, flush=True)
            failed.append(str(entry.index))
        print()
    rows = results(entries, workdir)
    print_results(entries, rows)
    if {row["entry"] for row in rows if row["n"]} == set(range(len(entries))):
        print(f"sweep    {write_results(entries, rows, workdir)}")
    if failed:
        raise TrainingError(f"{len(failed)} of {len(chosen)} experiments failed: sweep entries {', '.join(failed)}")


def varying(entries: Sequence[Entry]) -> list[str]:
    """The flattened keys by which the entries differ; all that `sweep` set where they do not differ."""
    keys = list(dict.fromkeys(key for entry in entries for key in entry.keys))
    different = [key for key in keys if any(entry.value(key) != entries[0].value(key) for entry in entries)]
    return different or keys


def results(entries: Sequence[Entry], workdir: Path) -> list[dict[str, Any]]:
    """What is known of every experiment of a sweep, read from the experiments' folders.

    Args:
        entries: the sweep.
        workdir: the folder of all experiments.

    Returns:
        One dictionary for each entry, branch and level: `entry`, the varying keys, `folder`, `branch`, `level`, `n`
        (how many seeds), `remaining` (mean kept share of the prunable weights), and mean and standard deviation over
        seeds of the accuracies in [0, 1], None where there is none. One with `n` 0 for an entry that is not complete.

    Raises:
        JaxticketError: a summary that cannot be read.
    """
    from jaxticket.experiments.run import experiment_folder
    from jaxticket.report.groups import group_rows
    from jaxticket.report.study import read_study

    keys, rows = varying(entries), []
    for entry in entries:
        folder = experiment_folder(entry.experiment, entry.options, workdir)
        about = {"entry": entry.index, **{key: entry.value(key) for key in keys}, "folder": folder.name}
        study = read_study(folder) if (folder / "summary.json").is_file() else None
        if study is None or not study.complete:
            rows.append({**about, "branch": None, "level": None, "n": 0, "remaining": None, **_accuracies(None)})
            continue
        for group in group_rows(study.rows):
            found = {"branch": group.branch, "level": group.level, "n": group.n, "remaining": group.remaining}
            rows.append({**about, **found, **_accuracies(group)})
    return rows


def _accuracies(group: Any) -> dict[str, float | None]:
    found = {}
    for name in ("test_accuracy", "val_accuracy"):
        spread = group.spread(name) if group else None
        found |= {name: spread and spread.mean, f"{name}_std": spread and spread.std}
    return found


def print_results(entries: Sequence[Entry], rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints the last level of every branch of every experiment; a star marks the branch's best by validation.

    Args:
        entries: the sweep.
        rows: made by `results`.
    """
    from jaxticket.report import text

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
        test, val = (text.accuracy(row[name]).replace(text.NOTHING, "-") for name in ("test_accuracy", "val_accuracy"))
        left = text.remaining(row["remaining"])
        lines.append([*line, row["branch"], str(row["level"]), left, test, val + star, str(row["n"])])
    _print_columns(lines)
    print("test, val: means over n seeds; left: prunable weights; * the branch's highest validation accuracy")


def write_results(entries: Sequence[Entry], rows: Sequence[Mapping[str, Any]], workdir: Path) -> Path:
    """Writes `sweep.json` and `sweep.csv`, every branch and level of a complete sweep.

    Args:
        entries: the sweep.
        rows: made by `results`.
        workdir: the folder of all experiments.

    Returns:
        `WORKDIR/<name>-sweep-<hash8>`, the name being the experiments' own where they share it.

    Raises:
        TicketError: the operating system refuses.
    """
    from jaxticket import storage

    folders = list(dict.fromkeys(row["folder"] for row in rows))
    names = {entry.options.name or entry.experiment.name for entry in entries}
    name = names.pop() if len(names) == 1 else entries[0].experiment.name
    folder = workdir / f"{name}-sweep-{digest({'sweep': folders}, 8)}"
    sheet = io.StringIO()
    writer = csv.DictWriter(sheet, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    storage.write_bytes(folder / "sweep.csv", sheet.getvalue().encode())
    storage.write_json(folder / "sweep.json", {"complete": True, "varying": varying(entries), "rows": rows})
    return folder


def _print_columns(rows: Sequence[Sequence[str]], *, last_to_the_left: bool = False) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        if last_to_the_left:
            cells[-1] = row[-1]
        print("  ".join(cells).rstrip())


if __name__ == "__main__":
    sys.exit(main())
