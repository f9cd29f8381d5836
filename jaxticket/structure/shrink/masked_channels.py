"""Which channels a mask takes as a whole, and what is removed with them."""

from collections.abc import Sequence

import numpy as np

from jaxticket.core import paths
from jaxticket.core.types import Mask, Params, Path
from jaxticket.structure.channel_groups.channels import ChannelGroup, ChannelSlice


def with_biases(params: Params, mask: Mask) -> Mask:
    """The mask with the bias of every channel whose scale is masked."""
    leaves = paths.leaves(params)
    found = dict(mask)
    for path, kept in mask.items():
        bias = f"{path.removesuffix('scale')}bias"
        if leaf_name(path) == "scale" and bias in leaves and np.shape(leaves[bias]) == np.shape(kept):
            found[bias] = kept & found[bias] if bias in found else kept
    return found


def with_dead_norms(params: Params, mask: Mask, groups: Sequence[ChannelGroup]) -> Mask:
    """The mask with scale and bias of the channels whose kernel slices are all masked."""
    leaves = paths.leaves(params)
    found = dict(mask)
    for group in groups:
        dead = np.logical_and.reduce([masked_channels(part, mask) for part in group.slices if part.role == "output"])
        for part in group.slices:
            if part.role == "vector" and leaf_name(part.path) in ("scale", "bias"):
                kept = np.array(found.get(part.path, np.ones(np.shape(leaves[part.path]), bool)))
                kept[(*(slice(None),) * part.axis, part.index[dead].ravel())] = False
                found[part.path] = kept
    return found


def masked_channels(part: ChannelSlice, mask: Mask) -> np.ndarray:
    """Bool per channel: whether the mask keeps nothing of a slice."""
    if part.path not in mask:
        return np.zeros(len(part.index), bool)
    others = tuple(axis for axis in range(mask[part.path].ndim) if axis != part.axis)
    return ~mask[part.path].any(others)[part.index].any(1)


def candidates_of(group: ChannelGroup, mask: Mask) -> list[int]:
    """Channels of which the mask takes every kernel slice that produces them, or a scale."""
    produced = [masked_channels(part, mask) for part in group.slices if part.role == "output"]
    scaled = [
        masked_channels(part, mask)
        for part in group.slices
        if part.role == "vector" and leaf_name(part.path) == "scale"
    ]
    all_masked = np.logical_and.reduce(produced)
    return np.nonzero(np.logical_or.reduce([all_masked, *scaled]))[0].tolist()


def leaf_name(path: Path) -> str:
    """The last part of a path, such as `scale`."""
    return path.rpartition("/")[2]
