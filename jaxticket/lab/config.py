"""Between the editable `ml_collections.ConfigDict` of a config file and the frozen options of an experiment."""

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import config_dict

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import chosen, digest, parse
from jaxticket.core.own_code import reread_own_code
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.registry import Experiment, get_experiment


def default_config(experiment: str) -> Any:
    """Every key of an experiment with its default, a locked `ConfigDict` for a config file to change and return.

    Raises:
        ConfigError: there is no such experiment.

    Example:
        >>> from jaxticket import experiments
        >>> config = experiments.default_config("imp")
        >>> config.levels = 3
        >>> config.train.epochs
        20
    """
    config = _as_config(get_experiment(experiment).options())
    config.experiment = experiment
    return config.lock()


def recipe_config(experiment: str, argument: str | None, **values: Any) -> Any:
    """What `get_config` of a config file returns: an experiment by its recipe for a network on a data set.

    Args:
        experiment: its name.
        argument: what follows the colon of `--config=imp:model=lenet300,dataset=digits`; the arguments that
            there are, and their defaults, are those of the experiment's recipe.
        **values: keys to set on top.

    Raises:
        ConfigError: there is no such experiment, an argument is unknown, or the recipe refuses one.

    Example:
        >>> from jaxticket import experiments
        >>> config = experiments.recipe_config("imp", "model=lenet300,dataset=digits", levels=2)
        >>> config.model.name, config.levels
        ('lenet300', 2)
    """
    recipe = get_experiment(experiment).load_recipe()
    _, *parameters = inspect.signature(recipe).parameters.values()
    config = default_config(experiment)
    recipe(config, **parse_arguments(argument, **{one.name: one.default for one in parameters}))
    config.update(values)
    return config


def parse_arguments(text: str | None, **defaults: str) -> dict[str, str]:
    """The arguments of a config file, as in `--config=imp:model=lenet300,dataset=digits`.

    `text` is what follows the colon; `defaults` are the arguments there are, with their defaults.

    Raises:
        ConfigError: an argument that is unknown, or has no value.

    Example:
        >>> from jaxticket import experiments
        >>> experiments.parse_arguments("model=conv2", model="lenet300", dataset="digits")
        {'model': 'conv2', 'dataset': 'digits'}
    """
    arguments = dict(defaults)
    for part in filter(None, (text or "").split(",")):
        key, equals, value = part.partition("=")
        if key not in defaults or not equals or not value:
            usage = ",".join(f"{name}={default}" for name, default in defaults.items())
            raise ConfigError(f"config argument {part!r}: must be NAME=VALUE with the names of {usage!r}")
        arguments[key] = value
    return arguments


def resolve(config: Mapping[str, Any]) -> tuple[Experiment, ExperimentOptions]:
    """The experiment a configuration names, and its options, checked.

    Raises:
        ConfigError: something in it cannot be used.

    Example:
        >>> from jaxticket import experiments
        >>> experiment, options = experiments.resolve(experiments.default_config("imp"))
        >>> experiment.name, options.levels
        ('imp', 8)
    """
    if not isinstance(config, Mapping | config_dict.ConfigDict):
        raise ConfigError(f"config: get_config() returned {config!r}; must be what default_config('imp') returns")
    values = config.to_dict() if isinstance(config, config_dict.ConfigDict) else dict(config)
    if "experiment" not in values:
        raise ConfigError("config.experiment: is missing; start the config file from default_config('imp')")
    reread_own_code()
    experiment = get_experiment(values.pop("experiment"))
    return experiment, parse(experiment.options, values)


def config_hash(experiment: str, options: ExperimentOptions) -> str:
    """Eight hexadecimal digits that stand for what the experiment computes.

    Only what differs from the defaults enters, so that a new option which changes nothing by default orphans no folder.
    """
    return digest({"experiment": experiment, **chosen(options)}, 8)


def experiment_folder(experiment: Experiment, options: ExperimentOptions, workdir: Path) -> Path:
    """`WORKDIR/<name>-<hash8>`."""
    return workdir / f"{options.name or experiment.name}-{config_hash(experiment.name, options)}"


def _as_config(options: Any) -> config_dict.ConfigDict:
    hints = typing.get_type_hints(type(options))
    config = config_dict.ConfigDict()
    for field in dataclasses.fields(options):
        value, hint = getattr(options, field.name), hints[field.name]
        if dataclasses.is_dataclass(value):
            config[field.name] = _as_config(value)
        elif isinstance(value, dict):
            config[field.name] = config_dict.ConfigDict(value)
        elif value is None and isinstance(hint, types.UnionType):
            kind = next(part for part in typing.get_args(hint) if part is not type(None))
            config[field.name] = config_dict.placeholder(kind)
        else:
            config[field.name] = value
    return config
