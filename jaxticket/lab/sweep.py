"""The experiments of a sweep: what the generator `sweep` of a config file yields, each checked by itself."""

import copy
import dataclasses
import inspect
import runpy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxticket.core.errors import ConfigError, JaxticketError, one_line
from jaxticket.core.options import to_dict
from jaxticket.lab.config import resolve

if TYPE_CHECKING:
    from jaxticket.lab.dry_run import DryRun
    from jaxticket.lab.stages.rerun import Rerun


@dataclasses.dataclass(frozen=True)
class Entry:
    """One experiment of a sweep.

    Attributes:
        index: its place in the sweep, from 0.
        keys: the flattened keys that `sweep` set.
        experiment: what to run.
        options: of the experiment.
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
        """The option at a flattened key, JSON-ready; None where there is none."""
        found: Any = {"experiment": self.experiment.name, **to_dict(self.options)}
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found


def read_sweep(config: str) -> list[Any]:
    """What the `sweep` of a config file yields.

    `config` is the file, and behind a colon the argument that `sweep` gets if it takes one.

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

    `config` is what `get_config` returned; `sweep` has dictionaries from flattened keys to values, where a value that
    is a dictionary changes the keys in it; `overrides`, of the command line, go on top.

    Raises:
        ConfigError: an entry that is no dictionary, or with a key or value that cannot be used.
    """
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


def plans_of(entries: Sequence[Entry], workdir: Path, rerun: "Rerun | None" = None) -> list["DryRun"]:
    """A plan for each entry; wrong combinations are found here, before anything is run.

    Raises:
        JaxticketError: an entry that cannot be run, which it names.
    """
    from jaxticket.lab.dry_run import make_plan  # with JAX, which whoever only counts the entries does not need

    plans = []
    for entry in entries:
        try:
            plans.append(make_plan(entry.experiment, entry.options, workdir, rerun=rerun))
        except JaxticketError as error:
            raise type(error)(f"sweep entry {entry.index}: {error}") from error
    return plans


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


def varying(entries: Sequence[Entry]) -> list[str]:
    """The flattened keys by which the entries differ; all that `sweep` set where they do not differ."""
    keys = list(dict.fromkeys(key for entry in entries for key in entry.keys))
    different = [key for key in keys if any(entry.value(key) != entries[0].value(key) for entry in entries)]
    return different or keys
