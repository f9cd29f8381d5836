"""Channel pruning of a dense network, the baseline of structured tickets (Chen et al. 2022, figure 1)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxticket.core import masks
from jaxticket.core.masks import Mask
from jaxticket.core.rules import Path
from jaxticket.experiments.setting import Setting
from jaxticket.experiments.whole_network import whole_network
from jaxticket.structure.channel_groups import channel_groups
from jaxticket.structure.channels import Group
from jaxticket.structure.shrinking.group_scores import channel_scores
from jaxticket.training.state import Weights

_PARAMS = "params/"


def slim_mask(
    setting: Setting, weights: Weights, mask: Mask, scores: str | Mapping[Path, Any], kept: int
) -> tuple[Mask, int]:
    """`mask` less the channels of lowest score, as few of them as leave at most `kept` weights.

    Channels of all layers are ranked together. One goes with the weights that make it and those that read it. Layers
    whose channels meet others, such as the outputs of residual blocks, are never trimmed, and each layer keeps its best
    channel, so that more than `kept` weights can be left.

    Args:
        setting: the network.
        weights: its trained weights.
        mask: what is prunable.
        scores: `bn_scale` or `magnitude`, means over a channel; or path -> float [channels].
        kept: the number of weights that may be left.

    Returns:
        The mask, and how many weights it keeps.

    Raises:
        MaskError: `bn_scale` where a layer has no normalisation.
    """
    apply, variables, x = whole_network(setting, weights)
    groups = [group for group in channel_groups(apply, variables, x).prunable if _producer(group) in mask]
    if isinstance(scores, str):
        worth = channel_scores(variables, groups, scores)
    else:
        worth = [_of_layer(group, scores) for group in groups]
    order = sorted(
        (float(values[channel]), number, int(channel))
        for number, values in enumerate(worth)
        for channel in np.argsort(values, kind="stable")[:-1]
    )

    def without(count: int) -> Mask:
        new = {path: np.array(leaf) for path, leaf in mask.items()}
        for _, number, channel in order[:count]:
            for part in groups[number].slices:
                path = part.path.removeprefix(_PARAMS)
                if part.role != "vector" and path in new:
                    new[path][(*(slice(None),) * part.axis, part.index[channel])] = False
        return new

    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if masks.count(without(middle))[0] <= kept else (middle + 1, high)
    found = without(low)
    return found, masks.count(found)[0]


def _producer(group: Group) -> Path:
    """The one kernel that makes a group's channels, empty if there are several."""
    kernels = [part.path.removeprefix(_PARAMS) for part in group.slices if part.role == "output"]
    return kernels[0] if len(kernels) == 1 else ""


def _of_layer(group: Group, scores: Mapping[Path, Any]) -> np.ndarray:
    (part,) = [part for part in group.slices if part.role == "output"]
    return np.asarray(scores[part.path.removeprefix(_PARAMS)])[part.index].mean(axis=1)
