"""Lists, shows and prepares data sets, the registered ones and those that are named by their place."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Says which arguments there are."""
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="what there is, and what of it is on this machine")
    showing = commands.add_parser("show", help="sizes, classes, mean and standard deviation; reads the data")
    showing.add_argument("name", help="a data set of the list, or folder:PATH, npz:FILE, parquet:PATH, hf:NAME")
    showing.add_argument("--image_size", type=int, default=0, help="side to which images of your own are scaled")
    preparing = commands.add_parser("prepare", help="turn archives into a folder of TensorFlow Datasets, decoded")
    preparing.add_argument("name", help="a data set of the list")
    preparing.add_argument(
        "--archive", help="its archive, or the folder of its archives (default: where archives are looked for)"
    )
    for command, act in ((listing, _list), (showing, _show), (preparing, _prepare)):
        command.set_defaults(act=act)
        command.add_argument(
            "--folder", default="", help="of all data sets (default: $JAXTICKET_DATA, else ~/.cache/jaxticket/data)"
        )


def run(arguments: argparse.Namespace) -> int:
    """Does what was asked for."""
    arguments.act(arguments)
    return 0


def _list(options: argparse.Namespace) -> None:
    from jaxticket.data import registry
    from jaxticket.data.availability import dataset_table
    from jaxticket.data.registry import data_folder

    print(dataset_table([registry.spec(name) for name in registry.names()], data_folder(options.folder)))


def _show(options: argparse.Namespace) -> None:
    from jaxticket.data.dataset_facts import dataset_facts
    from jaxticket.data.loading import load

    print(dataset_facts(load(options.name, folder=options.folder, image_size=options.image_size)))


def _prepare(options: argparse.Namespace) -> None:
    from jaxticket.data import registry
    from jaxticket.data.cache import cache_folder, has_cache
    from jaxticket.data.registry import data_folder

    spec, folder = registry.spec(options.name), data_folder(options.folder)
    from jaxticket.data.sources.prepare import prepare

    print(f"{spec.name}: {prepare(spec, folder, options.archive and Path(options.archive).expanduser().absolute())}")
    if has_cache(spec, folder):
        print(f"decoded copy: {cache_folder(spec, folder)}")
