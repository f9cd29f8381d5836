"""The keys of a configuration on the command line: what to say of wrong ones, None and ranges."""

import difflib
import re
from collections.abc import Sequence
from typing import Any

from flax.traverse_util import flatten_dict
from ml_collections import config_dict

from jaxticket.core.option_rows import option_rows
from jaxticket.lab.config import default_config
from jaxticket.lab.registry import experiments, get_experiment

# Keys that had other names once -> what they are called now.
FORMER_KEYS = {
    "replicates": "seed_parallelism",
    "train.learning_rate": "train.lr",
    "train.lr_every": "train.lr_update",
    "train.plateau_evaluations": "train.plateau_patience",
    "train.select": "train.select_checkpoint",
    "train.smoothing": "train.label_smoothing_kind",
    "aids.smoothing": "aids.label_smoothing",
    "aids.lrsi": "aids.rescale_init",
    "aids.scales": "aids.rescale_init_options",
    "cells": "treatments",
    "looks": "measurements",
    "slim": "channel_criterion",
    "slim_floor": "channel_floor",
    "target_on": "target_counts",
    "regroup.t2": "regroup.min_rows_per_column",
    "regroup.b2": "regroup.min_columns",
    "regroup.passes": "regroup.until_empty",
}


def unknown_key_in(arguments: Sequence[str]) -> str | None:
    """What to say of the first overridden key that the configuration does not have; None where it has them all."""
    config = _config_alone(arguments)
    if config is None:
        return None
    return next((said for _, key in _overrides(arguments) if (said := unknown_key_message(config, key))), None)


def unknown_key_message(config: config_dict.ConfigDict, path: str) -> str | None:
    """What to say of a key that a configuration does not have, with those of its place; None where it has it."""
    place: Any = config
    names = path.split(".")
    for number, name in enumerate(names):
        here = ".".join(["config", *names[:number]])
        if not isinstance(place, config_dict.ConfigDict):
            return f"config.{path}: there is no such key; {here} is a value"
        if name not in place:
            former = ".".join(names[: number + 1])
            if former in FORMER_KEYS and not unknown_key_message(config, FORMER_KEYS[former]):
                now = ".".join([FORMER_KEYS[former], *names[number + 1 :]])
                return f"config.{path}: there is no such key; it is now config.{now}"
            if here == "config.model.options":
                return f'config.{path}: is an option; give all of them at once, --{here}="{{{name!r}: VALUE}}"'
            near = _nearest(config, path)
            hint = f"; did you mean config.{near}?" if near else ""
            if elsewhere := _experiments_with(config, path):
                return f"config.{path}: there is no such key in {config.experiment}, it is a key of {elsewhere}{hint}"
            known = ", ".join(sorted(place)) or "no keys"
            return f"config.{path}: there is no such key; {here} has {known}{hint}"
        place = place[name]
    return None


def wrong_flag_in(arguments: Sequence[str], error: str) -> str | None:
    """What to say of a key given without `config.`, or of a value that its flag cannot read; None of other errors."""
    unknown = re.fullmatch(r"Unknown command line flag '([\w.]+)'", error)
    found = re.match(r"flag --config\.([\w.]+)=(.*?): ", error)
    config = _config_alone(arguments) if unknown or found else None
    near = _nearest(config, unknown[1]) if unknown and config else None
    if unknown and near:
        return f"--{unknown[1]}: there is no such flag; did you mean --config.{near}?"
    if found is None or config is None:
        return None
    rows = {row.path: row for row in option_rows(get_experiment(config.experiment).options())}
    return f"config.{found[1]}={found[2]}: must be {rows[found[1]].kind}" if found[1] in rows else None


def without_none(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """The arguments without those that make a key None which is empty by default, and these keys with their defaults.

    Flags of numbers and tuples read no None, but what is None, "" or () by default has to be put back somehow.
    """
    wanted = [(argument, key) for argument, key in _overrides(arguments) if argument.endswith("=None")]
    config = _config_alone(arguments) if wanted else None
    if config is None:
        return list(arguments), {}
    defaults = flatten_dict(default_config(config.experiment).to_dict(), sep=".")
    emptied = {argument: key for argument, key in wanted if defaults.get(key, 0) in (None, "", ())}
    rest = [argument for argument in arguments if argument not in emptied]
    return rest, {key: defaults[key] for key in emptied.values()}


def plain_values(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments with `range(5)` written out, as flags of tuples read it, and lines to say of what may surprise."""
    plain, notes = [], []
    for argument in arguments:
        key, _, value = argument.partition("=")
        found = re.fullmatch(r"range\((\d+(?:, ?\d+)?(?:, ?[1-9]\d*)?)\)", value)
        if found and key.lstrip("-").startswith("config."):
            argument = f"{key}={tuple(range(*map(int, found[1].split(','))))}"
        if key.lstrip("-") == "config.seeds" and value.isdigit() and int(value) > 1:
            notes.append(f"config.seeds={value}: is the one seed number {value}; for {value} seeds give range({value})")
        plain.append(argument)
    return plain, notes


def _nearest(config: config_dict.ConfigDict, path: str) -> str | None:
    """The key whose name is alike in the same place, else of the same name elsewhere, else the one most alike."""
    known = list(flatten_dict(config.to_dict(), sep="."))
    place, _, last = path.rpartition(".")
    beside = {name: one for one in known for where, _, name in [one.rpartition(".")] if where == place}
    same = [one for one in known if one.rpartition(".")[2] == last]
    by_name = {one.rpartition(".")[2]: one for one in reversed(known)}  # of equal names the first
    ways = [
        [beside[name] for name in difflib.get_close_matches(last, beside, 1, 0.75)],
        difflib.get_close_matches(path, same, 1, 0),
        [by_name[name] for name in difflib.get_close_matches(last, by_name, 1, 0.75)],
        difflib.get_close_matches(path, known, 1, 0.75),
    ]
    return next((found[0] for found in ways if found), None)


def _experiments_with(config: config_dict.ConfigDict, path: str) -> str:
    """The other experiments that have a key of this path."""
    others = [one for one in experiments if one.name != config.get("experiment")]
    return ", ".join(one.name for one in others if path in {row.path for row in option_rows(one.options())})


def _config_alone(arguments: Sequence[str]) -> config_dict.ConfigDict | None:
    """The configuration of the file, without what overrides it; None where there is none to be had."""
    from absl import flags
    from ml_collections import config_flags

    values, own = flags.FlagValues(), []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, _ = argument.partition("=")
        if name in ("--config", "-config"):
            own = [argument] if equals else [argument, following]
    program = ["jaxticket", *own]
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=program)
    try:
        values(program)
    except Exception:  # whatever a config file raises is said where it is read with its overrides
        return None
    return values.config


def _overrides(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """(argument, key) of what overrides the configuration."""
    found = [(argument, re.match(r"--?(?:no)?config\.([\w.]+)", argument)) for argument in arguments]
    return [(argument, match[1]) for argument, match in found if match]
