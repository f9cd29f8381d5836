"""The keys of a configuration on the command line: what to say of one that is not there, and None."""

import difflib
import re
from collections.abc import Sequence
from typing import Any

from flax.traverse_util import flatten_dict
from ml_collections import config_dict

from jaxticket.lab.config import default_config

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
            near = _nearest(config, path)
            known = ", ".join(sorted(place)) or "no keys"
            return f"config.{path}: there is no such key; {here} has {known}" + (
                f"; did you mean config.{near}?" if near else ""
            )
        place = place[name]
    return None


def without_none(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments without those that make a key None which is None by default, and these keys.

    Flags of a number read no None, but a key that is None by default has to be put back somehow.
    """
    wanted = [(argument, key) for argument, key in _overrides(arguments) if argument.endswith("=None")]
    config = _config_alone(arguments) if wanted else None
    if config is None:
        return list(arguments), []
    defaults = flatten_dict(default_config(config.experiment).to_dict(), sep=".")
    emptied = {argument: key for argument, key in wanted if defaults.get(key, ()) is None}
    return [argument for argument in arguments if argument not in emptied], list(emptied.values())


def set_none(config: config_dict.ConfigDict, path: str) -> None:
    """Makes a key None."""
    config.update_from_flattened_dict({path: None})


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
