"""The report of `shrink`."""

import dataclasses
import math
from collections.abc import Mapping

import jax
import numpy as np

from jaxticket.core import paths
from jaxticket.core.types import Params, Path
from jaxticket.structure.channel_groups.channels import ChannelGroup


@dataclasses.dataclass(frozen=True)
class GroupReport:
    """Channels that go together.

    Attributes:
        path: the first kernel that produces them.
        before: number of channels.
        after: the same of the smaller network.
        kept: reason -> how many channels stayed for it although they are masked, all or in part.
    """

    path: Path
    before: int
    after: int
    kept: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class ShrinkReport:
    """What is removed, what stays and why, what it saves; `print` it.

    Attributes:
        groups: all groups of channels that can be removed.
        fixed: the groups that cannot, with the reason.
        shapes: path -> (shape before, shape after) of every leaf that changed.
        parameters: how many there are before and after; running statistics do not count.
        macs: multiply-accumulates for the given inputs, before and after.
    """

    groups: tuple[GroupReport, ...]
    fixed: tuple[ChannelGroup, ...]
    shapes: Mapping[Path, tuple[tuple[int, ...], tuple[int, ...]]]
    parameters: tuple[int, int]
    macs: tuple[int, int]

    def __str__(self) -> str:
        """A line for the whole, one for every group, and one for every reason for which channels stayed."""
        lines = [f"{_change(*self.parameters)} parameters, {_change(*self.macs)} multiply-accumulates"]
        for group in self.groups:
            lines.append(f"  {group.path}: {group.before} -> {group.after} channels")
            lines.extend(f"    {number} stay: {reason}" for reason, number in group.kept.items())
        return "\n".join(lines)


def _change(before: int, after: int) -> str:
    return f"{before:,} -> {after:,} ({after / max(before, 1):.1%})"


def is_parameter(path: Path, in_collections: bool) -> bool:
    """Whether a leaf is trained: in the collection `params`, or, without collections, no running mean or variance."""
    if in_collections:
        return path.startswith("params/")
    return path.rpartition("/")[2] not in ("mean", "var")


def parameter_count(params: Params) -> int:
    """The number of trained values in a tree, which may be abstract."""
    leaves = paths.leaves(params)
    in_collections = any(path.startswith("params/") for path in leaves)
    return sum(
        math.prod(np.shape(leaf))
        for path, leaf in leaves.items()
        if is_parameter(path, in_collections) and jax.numpy.issubdtype(leaf.dtype, np.floating)
    )
