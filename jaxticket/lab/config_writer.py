"""A configuration as the text of a config file."""

from collections.abc import Mapping
from typing import Any

from jaxticket.lab.key_table import key_rows, key_value
from jaxticket.lab.registry import get_experiment


def config_text(config: Mapping[str, Any]) -> str:
    r"""A Python file whose `get_config()` returns the same configuration; it says what is not the default.

    Args:
        config: as `default_config` or a config file gives it, with every key.

    Example:
        >>> from jaxticket.experiments import default_config
        >>> config = default_config("imp")
        >>> config.levels = 3
        >>> print(*config_text(config).splitlines()[6:9], sep="\n")
            config = default_config("imp")
            with config.unlocked():
                config.levels = 3  # default 8
    """
    experiment = get_experiment(config["experiment"])
    lines = [
        f'"""A configuration of {experiment.name}: {experiment.question}"""',
        "",
        "from jaxticket.experiments import default_config",
        "",
        "",
        "def get_config():",
        f'    config = default_config("{experiment.name}")',
        "    with config.unlocked():",
    ]
    for row in key_rows(experiment.options):
        value = key_value(config, row)
        note = "" if value == row.default else f"  # default {row.default!r}"
        lines.append(f"        config.{row.path} = {value!r}{note}")
    return "\n".join([*lines, "    return config", ""])
