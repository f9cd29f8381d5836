"""Every key of an experiment with its type, default and meaning."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Says which arguments there are."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help="such as imp; `jaxticket list experiments` has all")
    parser.add_argument("part", nargs="?", default="", help="only keys with this in their path, such as train.lr")


def run(arguments: argparse.Namespace) -> int:
    """Prints them."""
    from jaxticket.lab.config import default_config
    from jaxticket.lab.key_table import print_keys

    print_keys(default_config(arguments.experiment), arguments.part)
    return 0
