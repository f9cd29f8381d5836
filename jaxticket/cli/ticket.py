"""What a ticket holds, and how the masks of two differ."""

import argparse
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Says which arguments there are."""
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="where a ticket comes from, and what is left of each layer")
    info.add_argument("folder", metavar="TICKET", help="its folder, such as runs/imp-1a2b3c4d/tickets/imp-8-0")
    info.set_defaults(act=_info)
    diff = commands.add_parser("diff", help="of each layer, what only one of two tickets keeps")
    diff.add_argument("folder", metavar="TICKET", help="the folder of the first")
    diff.add_argument("other", metavar="OTHER", help="the folder of the second, with the same layers")
    diff.set_defaults(act=_diff)


def run(arguments: argparse.Namespace) -> int:
    """Prints what was asked for."""
    arguments.act(arguments)
    return 0


def _info(arguments: argparse.Namespace) -> None:
    import jaxticket as jt
    from jaxticket.core import paths
    from jaxticket.core.text_table import text_table

    ticket = _load(arguments.folder)
    for name, value in ticket.meta.items():
        print(f"{name:<16} {_said(value)}")
    print()
    rows: list[tuple[str, ...]] = [("parameter", "shape", "dtype", "kept", "of", "sparsity")]
    for path, leaf in paths.leaves(ticket.params).items():
        counts = _counts({path: ticket.mask[path]}) if path in ticket.mask else ("all", f"{leaf.size:,}", "-")
        rows.append((path, "x".join(map(str, leaf.shape)), str(leaf.dtype), *counts))
    rows.append(("all prunable", "", "", *_counts(ticket.mask)))
    print("\n".join(text_table(rows, left=(0, 1, 2))))
    state = paths.leaves(ticket.model_state)
    print(f"\nsparsity of all kernels and scales {jt.sparsity_total(ticket.params, ticket.mask):.4f}")
    if state:
        print(f"model state: {len(state)} arrays, such as {next(iter(state))}")


def _diff(arguments: argparse.Namespace) -> None:
    import numpy as np

    import jaxticket as jt
    from jaxticket.core.text_table import text_table

    one, other = _load(arguments.folder).mask, _load(arguments.other).mask
    distance = float(jt.distance(one, other))
    rows: list[tuple[str, ...]] = [("layer", "both keep", "only first", "only second", "neither", "differ")]
    for path, first in one.items():
        second = other[path]
        counts = [np.sum(first & second), np.sum(first & ~second), np.sum(~first & second), np.sum(~first & ~second)]
        rows.append((path, *(f"{count:,}" for count in counts), f"{np.mean(first != second):.2%}"))
    print("\n".join(text_table(rows, left=(0,))))
    kept = jt.count(jt.union(one, other))[0]
    overlap = jt.count(jt.intersect(one, other))[0] / kept if kept else 1.0
    print(f"\ndistance {distance:.4f} (share of the weights on which they differ)")
    print(f"overlap  {overlap:.4f} (kept by both, of what either keeps)")


def _load(folder: str) -> Any:
    from pathlib import Path

    import jaxticket as jt
    from jaxticket.core.errors import TicketError

    tickets = sorted(found.parent.name for found in Path(folder).glob("tickets/*/ticket.json"))
    if tickets:
        raise TicketError(
            f"{folder}: is a run; give one of its tickets, {Path(folder) / 'tickets' / tickets[-1]} for one"
        )
    return jt.load_ticket(folder)


def _counts(mask: dict[str, Any]) -> tuple[str, str, str]:
    import jaxticket as jt

    kept, total = jt.count(mask)
    return f"{kept:,}", f"{total:,}", f"{jt.sparsity(mask):.4f}"


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(one)}" for name, one in value.items()) or "-"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "\n".join(f"{'' if number == 0 else ' ' * 17}{_said(one)}" for number, one in enumerate(value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
