"""What `python -m jaxticket.data` does: lists and prepares data sets."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from jaxticket.core.errors import ConfigError, JaxticketError
from jaxticket.data import registry
from jaxticket.data.availability import status
from jaxticket.data.cache import cache_folder, has_cache
from jaxticket.data.loading import data_folder
from jaxticket.data.sources.find import size_text
from jaxticket.data.specs import DatasetSpec

_GAP = "  "


class _Parser(argparse.ArgumentParser):
    """One line for a mistake, as everywhere else."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see python -m jaxticket.data --help")


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; None takes them from the process.

    Returns:
        The exit code: 0, or 2 for bad input.
    """
    try:
        options = _parser().parse_args(arguments)
        folder = data_folder(options.folder)
        if options.command == "list":
            print(dataset_table([registry.spec(name) for name in registry.names()], folder))
        else:
            _prepare(registry.spec(options.name), folder, options.archive)
    except JaxticketError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def dataset_table(specs: Sequence[DatasetSpec], folder: Path) -> str:
    """What is known of the data sets and where they are, as lines of text, one per data set below a heading."""
    rows = [("name", "classes", "shape", "images", "on disk", "status", "where")]
    for spec in specs:
        state, where = status(spec, folder)
        shape = "x".join(map(str, spec.image_shape))
        images = f"{spec.train_size + spec.test_size:,}"
        rows.append((spec.name, str(spec.num_classes), shape, images, size_text(spec.disk_bytes), state, where))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    to_the_right = {1, 2, 3, 4}
    return "\n".join(
        _GAP.join(
            cell.rjust(width) if column in to_the_right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _prepare(spec: DatasetSpec, folder: Path, archive: str | None) -> None:
    from jaxticket.data.sources.prepare import prepare

    prepared = prepare(spec, folder, None if archive is None else Path(archive).expanduser().absolute())
    print(f"{spec.name}: {prepared}")
    if has_cache(spec, folder):
        print(f"decoded copy: {cache_folder(spec, folder)}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m jaxticket.data", description="Lists and prepares data sets.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="what there is, and what of it is on this machine")
    preparing = commands.add_parser("prepare", help="turn archives into a folder of TensorFlow Datasets, decoded")
    preparing.add_argument("name", help="a data set of the list")
    preparing.add_argument(
        "--archive", help="its archive, or the folder of its archives (default: where archives are looked for)"
    )
    for command in (listing, preparing):
        command.add_argument(
            "--folder", default="", help="of all data sets (default: $JAXTICKET_DATA, else ~/.cache/jaxticket/data)"
        )
    return parser
