"""Channels of a network that live and die together, as `channel_groups` finds them and `shrink` removes them."""

import dataclasses
from typing import Literal

import numpy as np

from jaxticket.core.types import Path

Role = Literal["output", "input", "vector"]


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelSlice:
    """Where the channels of a group lie in one leaf.

    Attributes:
        path: slash path of the leaf in `params`.
        axis: axis of the leaf, from 0.
        index: int array [channels, width], the positions along `axis` that are removed with a channel. The width is
            more than 1 behind a flatten, in grouped convolutions, for head dimensions and the like.
        role: 'output' of a kernel that produces the channel, 'input' of one that reads it, 'vector' where the leaf has
            a value per channel that is added, multiplied or joined: a bias, a scale, running statistics.
    """

    path: Path
    axis: int
    index: np.ndarray
    role: Role


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels of the same slices, each of which can be removed alone.

    Attributes:
        size: the number of channels.
        slices: ordered by path and axis.
        reason: why none of the channels can be removed; empty if they can.
    """

    size: int
    slices: tuple[ChannelSlice, ...]
    reason: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelGroups:
    """The groups of a network; `print` gives a table.

    Attributes:
        groups: those that can be pruned first, then in the order of their first slice.

    Example:
        >>> fn = lambda params, x: x @ params["a"] @ params["b"]
        >>> groups = jt.channel_groups(fn, {"a": jnp.ones((3, 4)), "b": jnp.ones((4, 2))}, jnp.ones((1, 3)))
        >>> groups.of("a", 1).size, groups.of("a", 0).reason
        (4, 'they are an axis of an input')
    """

    groups: tuple[ChannelGroup, ...]

    @property
    def prunable(self) -> tuple[ChannelGroup, ...]:
        """The groups whose channels can be removed."""
        return tuple(group for group in self.groups if not group.reason)

    def of(self, path: Path, axis: int) -> ChannelGroup | None:
        """The group with channels along an axis of a leaf, the first where there are several; None if there is none.

        Args:
            path: slash path of the leaf.
            axis: axis of the leaf, from 0.
        """
        return next(iter(self.all_of(path, axis)), None)

    def all_of(self, path: Path, axis: int) -> tuple[ChannelGroup, ...]:
        """All groups with channels along an axis of a leaf; behind a concatenation they are several."""
        return tuple(
            group for group in self.groups if any((part.path, part.axis) == (path, axis) for part in group.slices)
        )

    def __str__(self) -> str:
        """A table with a row for every slice: group, leaf, axis, role, channels and why they cannot be removed."""
        rows = [("group", "leaf", "axis", "role", "channels", "not prunable because")]
        for number, group in enumerate(self.groups):
            for part in group.slices:
                width = part.index.shape[1]
                channels = f"{group.size} x {width}" if width > 1 else f"{group.size}"
                rows.append((f"{number}", part.path, f"{part.axis}", part.role, channels, group.reason))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        return "\n".join(line.rstrip() for line in lines)
