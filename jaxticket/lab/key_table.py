"""Every key of an experiment with its type, default and meaning, read from the classes of its options."""

from collections.abc import Iterator, Mapping
from typing import Any

from jaxticket import models
from jaxticket.core.errors import ConfigError
from jaxticket.core.option_rows import OptionRow, option_rows
from jaxticket.core.options import unknown_key
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.registry import get_experiment
from jaxticket.models.architecture import Architecture


def key_rows(options: type[ExperimentOptions]) -> list[OptionRow]:
    """A row for every key of an experiment: its own first, then those of all experiments.

    Example:
        >>> from jaxticket.experiments.imp import ImpOptions
        >>> row = key_rows(ImpOptions)[0]
        >>> row.path, row.kind, row.default
        ('levels', 'int, at least 1', 8)
    """
    common = {row.path for row in option_rows(ExperimentOptions())}
    return sorted(option_rows(options()), key=lambda row: row.path in common)


def print_keys(config: Mapping[str, Any], part: str = "") -> None:
    """Prints every key of a configuration: value, type and meaning.

    Those of its network's own options come last.

    Args:
        config: as `default_config` or a config file gives it.
        part: only keys that have this in their path.

    Raises:
        ConfigError: there are none.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding

    experiment = get_experiment(config["experiment"])
    rows = [*key_rows(experiment.options), *_network_rows(config["model"]["name"])]
    if not any(part in row.path for row in rows):
        raise ConfigError(unknown_key(part, part, [row.path for row in rows]))
    console = Console(highlight=False)
    paper = f" ({experiment.paper})" if experiment.paper else ""
    console.print(f"[bold]{experiment.name}[/]: {escape(experiment.question + paper)}\n")
    for row in rows:
        if part not in row.path:
            continue
        value = key_value(config, row)
        default = "" if value == row.default else f" (default {row.default!r})"
        console.print(
            f"[bold]{row.path}[/] = {escape(f'{value!r}{default}')}  [dim]{escape(row.kind)}[/]", soft_wrap=True
        )
        console.print(Padding(escape(row.meaning), (0, 0, 0, 4)))


def key_value(config: Mapping[str, Any], row: OptionRow) -> Any:
    """The value of a key in a configuration, its default where it is not set there."""
    value: Any = config
    for name in row.path.split("."):
        value = value.get(name, row.default)
    return value.to_dict() if hasattr(value, "to_dict") else value


def _network_rows(name: str) -> Iterator[OptionRow]:
    """Of the options of a network, which are keys of `model.options`."""
    network = models.network(name)
    if isinstance(network.factory, type) and issubclass(network.factory, Architecture):
        rows = {row.path: row for row in option_rows(network.factory(**network.fixed), "model.options.")}
        yield from (rows[f"model.options.{key}"] for key in network.option_fields if key != "dtype")
        return
    for key, field in network.option_fields.items():
        kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "any")
        yield OptionRow(f"model.options.{key}", kind, field.default, f"of {network.name}")
