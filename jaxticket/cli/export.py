"""The trained network of a ticket as StableHLO, for a server without jaxticket."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Says which arguments there are."""
    parser.add_argument("folder", metavar="TICKET", help="its folder, such as runs/imp-1a2b3c4d/tickets/imp-8-0")
    form = parser.add_mutually_exclusive_group()
    for name, says in (("shrink", "cut dead channels out"), ("sparsify", "store blocks where that is faster here")):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, default="", help=says)
    parser.add_argument("--out", required=True, metavar="DIR", help="where model.stablehlo and its weights go")
    parser.add_argument("--batch", metavar="b", help="name of the first axis, then of any size (default: 64 images)")
    parser.add_argument("--platforms", metavar="cpu,cuda", help="one program for all of them (default: what is here)")
    parser.add_argument("--model", default="", help="the network, where the ticket does not say")
    parser.add_argument("--dataset", default="", help="whose images it takes, where the ticket does not say")


def run(arguments: argparse.Namespace) -> int:
    """Exports it, checked against the masked network."""
    from jaxticket.lab.exported_ticket import export_ticket

    given = {name: value for name, value in vars(arguments).items() if name in ("form", "batch", "model", "dataset")}
    platforms = arguments.platforms.split(",") if arguments.platforms else None
    print(export_ticket(Path(arguments.folder), Path(arguments.out), platforms=platforms, **given))
    print(f"exported {arguments.out}")
    return 0
