"""What can be chosen by name: experiments, networks, data sets and criteria."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Says which arguments there are."""
    kinds = ("experiments", "networks", "data", "criteria")
    parser.add_argument("kind", nargs="?", choices=kinds, help="only these (default: all)")


def run(arguments: argparse.Namespace) -> int:
    """Prints a table of each kind."""
    from rich.console import Console

    tables = {"experiments": _experiments, "networks": _networks, "data": _data, "criteria": _criteria}
    for kind, table in tables.items():
        if arguments.kind in (None, kind):
            Console(highlight=False).print(table())
    return 0


def _table(title: str, *columns: str, caption: str = "") -> "Table":
    from rich.table import Table, box

    table = Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        min_width=max(len(title), len(caption)),
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    table.columns[0].no_wrap = True
    return table


def _experiments() -> "Table":
    from jaxticket.lab.recipe_files import recipe_times
    from jaxticket.lab.registry import experiments

    table, times = (
        _table("Experiments: jaxticket run --config=NAME", "name", "question", "paper", "takes"),
        recipe_times(),
    )
    for one in experiments:
        table.add_row(one.name, one.question, one.paper, times.get(one.name, ""))
    return table


def _networks() -> "Table":
    from jaxticket import models

    own = "and yours: model=FILE.py:NAME, a Flax module or a function that returns one"
    columns = "network", "also called", "options, --config.model.options"
    table = _table("Networks: --config=NAME:model=NETWORK", *columns, caption=own)
    for name in models.names():
        row = models.network(name)
        options = [key for key in row.option_fields if key != "dtype"]
        table.add_row(name, ", ".join(row.aliases), ", ".join(options))
    return table


def _data() -> "Table":
    from jaxticket import data
    from jaxticket.data.availability import status
    from jaxticket.data.loading import data_folder
    from jaxticket.data.own.schemes import forms

    own = f"and yours: dataset={' or '.join(forms())}"
    columns = "data set", "classes", "shape", "images", "here"
    table = _table("Data sets: --config=NAME:dataset=DATA", *columns, caption=own)
    for name in data.names():
        spec = data.spec(name)
        shape = "x".join(map(str, spec.image_shape))
        images = f"{spec.train_size + spec.test_size:,}"
        table.add_row(name, str(spec.num_classes), shape, images, status(spec, data_folder(""))[0])
    return table


def _criteria() -> "Table":
    from jaxticket.core.criteria import criteria

    own = "and yours: --config.prune.criterion=FILE.py:NAME, a function"
    table = _table("Criteria: --config.prune.criterion=CRITERION", "criterion", "needs", "ranks", caption=own)
    for one in criteria:
        table.add_row(one.name, ", ".join(one.needs) or "nothing", one.ranks)
    return table
