"""Groups from what following a function has left: classes of positions, and what the leaves' axes are used as."""

from typing import Any

import numpy as np

from jaxticket.core.types import Path
from jaxticket.structure.channel_groups.channels import ChannelGroup, ChannelSlice
from jaxticket.structure.channel_groups.traced import Trace, Value

# The axes of leaves, each with the root of every position.
_Places = list[tuple[Path, int, np.ndarray]]
# The leaf axes that a class lies in, by number, with how many positions it has in each.
_Widths = tuple[tuple[int, int], ...]


def collect_groups(trace: Trace, leaves: dict[Path, Value]) -> tuple[ChannelGroup, ...]:
    """Classes of the same leaves, axes, widths and reason as groups, those that can go first.

    Classes that no kernel makes or reads are left out: they are no channels.
    """
    places: _Places = []
    for path, leaf in sorted(leaves.items()):
        places += [(path, axis, trace.ids.roots(one)) for axis, one in enumerate(leaf.axes) if one is not None]
    alike: dict[tuple[_Widths, str], list[int]] = {}
    for root, widths in _widths(places).items():
        alike.setdefault((widths, trace.ids.reason(root)), []).append(root)
    groups = [
        _group(trace, places, widths, np.array(roots), why)
        for (widths, why), roots in alike.items()
        if any(trace.roles.get(places[number][:2], "vector") != "vector" for number, _ in widths)
    ]
    return tuple(sorted(groups, key=_order))


def _widths(places: _Places) -> dict[int, _Widths]:
    """Where each class lies, by its root."""
    # Many classes share few lists of axes, so a class has the number of its list, and each axis extends lists.
    lists: list[_Widths] = [()]
    found: dict[int, int] = {}
    for number, (_, _, roots) in enumerate(places):
        longer: dict[tuple[int, int], int] = {}
        present, counts = np.unique(roots, return_counts=True)
        for root, count in zip(present.tolist(), counts.tolist(), strict=True):
            before = found.get(root, 0)
            if (before, count) not in longer:
                longer[before, count] = len(lists)
                lists.append((*lists[before], (number, count)))
            found[root] = longer[before, count]
    return {root: lists[number] for root, number in found.items()}


def _group(trace: Trace, places: _Places, widths: _Widths, members: np.ndarray, why: str) -> ChannelGroup:
    slices: list[ChannelSlice] = []
    order: Any = slice(None)
    for number, width in widths:
        path, axis, roots = places[number]
        positions = np.flatnonzero(np.isin(roots, members))
        index = positions[np.argsort(roots[positions], kind="stable")].reshape(len(members), width)
        if not slices:
            order = np.argsort(index[:, 0])
        slices.append(ChannelSlice(path, axis, index[order], trace.roles.get((path, axis), "vector")))
    if not why and not any(part.role == "output" for part in slices):
        why = "no kernel makes them"
    if not why and len(members) == 1:
        why = "it is the only channel of its kind"
    return ChannelGroup(len(members), tuple(slices), why)


def _order(group: ChannelGroup) -> tuple[Any, ...]:
    return bool(group.reason), [(part.path, part.axis, int(part.index[0, 0])) for part in group.slices]
