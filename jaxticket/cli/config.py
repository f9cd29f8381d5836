"""`jaxticket config`: the whole configuration of a run, as a config file."""

import sys
from collections.abc import Sequence
from pathlib import Path

from jaxticket.main import CommandEnd, read_flags

USAGE = """\
usage: jaxticket config --config=NAME[:ARGS] [--config.KEY=VALUE ...] [--out=FILE.py]

Prints every key as it is after the overrides. The output is a config file: --config=FILE.py runs the same experiment.

  --config=NAME          a config file that comes with the package, or a Python file of yours; ARGS go to it
  --config.KEY=VALUE     overrides a key of it
  --out=FILE.py          write it there
  --help                 print this; with --config=NAME every key, its type, value and meaning"""


def run(arguments: Sequence[str]) -> int:
    """Prints or writes the configuration."""
    with CommandEnd(arguments, USAGE) as end:
        if not end.shows_help():
            _show(end.arguments)
    return end.code


def _show(arguments: list[str]) -> None:
    from jaxticket.core.errors import ConfigError
    from jaxticket.lab.config import resolve
    from jaxticket.lab.config_writer import config_text

    values = read_flags(arguments, strings=("out",))
    resolve(values.config)
    text = config_text(values.config)
    if values.out is None:
        sys.stdout.write(text)
        return
    try:
        with Path(values.out).open("x") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"--out={values.out}: cannot be written ({error.strerror}); choose another name") from error
    print(f"config   {values.out}")
