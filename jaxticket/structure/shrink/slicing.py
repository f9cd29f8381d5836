"""Channels of groups as elements of arrays: marked, and cut out."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core import paths
from jaxticket.core.checks import check_paths
from jaxticket.core.errors import MaskError
from jaxticket.core.masks import check_alive
from jaxticket.core.types import Params, Path
from jaxticket.structure.channel_groups.channels import ChannelGroup
from jaxticket.structure.shrink.channel_marks import ChannelMarks


def full_paths(params: Params, mask: Mapping[Path, Any], name: str = "the mask") -> dict[Path, Any]:
    """A mask, or scores, with the paths of `params`: where they lack the leading `params/`, it is added.

    Raises:
        MaskError: it is no dictionary of paths; `name` says what.
    """
    check_paths(name, mask)
    known_paths = paths.leaves(params).keys()
    return {
        path if path in known_paths or f"params/{path}" not in known_paths else f"params/{path}": array
        for path, array in mask.items()
    }


def check_concrete(params: Params) -> None:
    """Refuses parameters that have shapes but no values, with a `MaskError`."""
    for path, leaf in paths.leaves(params).items():
        if isinstance(leaf, jax.ShapeDtypeStruct):
            raise MaskError(f"{path!r} is abstract, its values are needed; give arrays")
        check_alive(f"the tree's leaf {path!r}", leaf)


def mark_leaves(
    leaves: Mapping[Path, Any],
    groups: Sequence[ChannelGroup],
    channels: Sequence[Sequence[int]],
    starts: Sequence[int],
    marks: ChannelMarks,
) -> dict[Path, np.ndarray]:
    """Marks of the leaves' elements that some channels of each group consist of, without those that only read them."""
    marked: dict[Path, np.ndarray] = {}
    for group, chosen, start in zip(groups, channels, starts, strict=True):
        for part in group.slices:
            if part.role == "input" or not len(chosen):
                continue
            shape = np.shape(leaves[part.path])
            along = np.zeros(shape[part.axis], np.int32)
            for channel in chosen:
                along[part.index[channel]] = marks.number([start + channel])
            along = along.reshape([-1 if axis == part.axis else 1 for axis in range(len(shape))])
            joined = marks.join(shape, [marked.get(part.path), np.broadcast_to(along, shape)])
            marked[part.path] = np.asarray(joined)
    return marked


def cut_leaves(
    leaves: Mapping[Path, Any], groups: Sequence[ChannelGroup], gone: Sequence[Sequence[int]]
) -> dict[Path, jax.Array]:
    """The leaves that lose something, without the given channels of each group."""
    positions: dict[Path, dict[int, list[np.ndarray]]] = {}
    for group, channels in zip(groups, gone, strict=True):
        for part in group.slices:
            if len(channels):
                positions.setdefault(part.path, {}).setdefault(part.axis, []).append(part.index[list(channels)].ravel())
    found = {}
    for path, axes in positions.items():
        array = np.asarray(leaves[path])
        for axis, indices in axes.items():
            array = np.delete(array, np.concatenate(indices), axis)
        found[path] = jnp.asarray(array)
    return found


def channel_offsets(groups: Sequence[ChannelGroup]) -> list[int]:
    """Numbers before those of each group's channels, counted through all groups."""
    return [0, *np.cumsum([group.size for group in groups]).tolist()][: len(groups)]
