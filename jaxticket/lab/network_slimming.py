"""Channel pruning by a number of weights: rounds of network slimming, the baseline of structured tickets."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxticket.core import masks
from jaxticket.core.errors import ConfigError
from jaxticket.core.types import Mask, Path
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.setting import Setting
from jaxticket.structure.channel_groups.channels import ChannelGroup
from jaxticket.structure.channel_groups.trace import channel_groups
from jaxticket.structure.channel_scores import channel_scores
from jaxticket.training.state import Weights

_PARAMS = "params/"


class Slimmed(NamedTuple):
    """What channel pruning leaves.

    Attributes:
        mask: path -> bool array.
        kept: how many weights it keeps.
        exhausted: path -> words, of the layers that are down to the channels they must keep. Such a layer may be where
            the network breaks, and it is the floor that decided on it, not the scores.
    """

    mask: Mask
    kept: int
    exhausted: dict[Path, str]


def slim_mask(
    setting: Setting,
    weights: Weights,
    mask: Mask,
    scores: str | Mapping[Path, Any],
    kept: int,
    *,
    floor: float = 0.0,
) -> Slimmed:
    """`mask` less the channels of lowest score, as few of them as leave at most `kept` weights.

    Channels of all layers are ranked together. One goes with the weights that make it and those that read it; those of
    which the mask keeps nothing are gone already, whatever their score. Layers whose channels meet others, such as the
    outputs of residual blocks, are never trimmed, and each layer keeps its best channel, or the best share `floor` of
    them, so that more than `kept` weights can be left.

    `scores` are `bn_scale` or `magnitude`, means over a channel, or path -> float [channels]; `floor` is rounded up,
    and 0 is one channel.

    Raises:
        MaskError: `bn_scale` where a layer has no normalisation.
    """
    apply, variables, x = setting.as_function(weights)
    groups = _groups(apply, variables, x, mask)
    if isinstance(scores, str):
        worth = channel_scores(variables, groups, scores)
    else:
        worth = [_of_layer(group, scores) for group in groups]
    order, least = [], []
    for number, (group, values) in enumerate(zip(groups, worth, strict=True)):
        alive = _alive(group, mask)
        ranked = [int(channel) for channel in np.argsort(values, kind="stable") if alive[channel]]
        spared = max(1, math.ceil(floor * len(alive)))
        least.append(spared)
        order += [(float(values[channel]), number, channel) for channel in ranked[: max(0, len(ranked) - spared)]]
    order.sort()

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
    return Slimmed(found, masks.count(found)[0], _exhausted(groups, found, least))


def check_scales(setting: Setting, how: PruneOptions) -> None:
    """Refuses to rank scales, before anything is trained, where there are none.

    Raises:
        ConfigError: the criterion is `bn_scale`, and no channel can go or a layer has no normalisation.
    """
    if not how.ranks_scales or how.ratio_of == "channels":  # which trims residual blocks too
        return
    mask = setting.prunable(how.prunable)
    groups = _groups(*setting.as_function(setting.shapes), mask)
    plain = [_producer(group) for group in groups if not any(part.path.endswith("/scale") for part in group.slices)]
    if plain or not groups:
        reason = f"{plain[0]} has no normalisation" if plain else "no channel can go"
        raise ConfigError(
            f"config.prune.criterion={how.criterion!r}: {reason} in {setting.options.model.name}; set batch_norm in "
            "config.model.options where the network has it, leave layers out by config.prune.rules, or use 'magnitude'"
        )


def _groups(apply: Callable[..., Any], variables: Any, x: Any, mask: Collection[Path]) -> list[ChannelGroup]:
    """The groups of channels that one prunable kernel makes."""
    return [group for group in channel_groups(apply, variables, x).prunable if _producer(group) in mask]


def _producer(group: ChannelGroup) -> Path:
    """The one kernel that makes a group's channels, empty if there are several."""
    kernels = [part.path.removeprefix(_PARAMS) for part in group.slices if part.role == "output"]
    return kernels[0] if len(kernels) == 1 else ""


def _alive(group: ChannelGroup, mask: Mask) -> np.ndarray:
    """Bool per channel: whether the mask keeps anything of the kernel slice that makes it."""
    (part,) = [part for part in group.slices if part.role == "output"]
    kept = np.moveaxis(np.asarray(mask[part.path.removeprefix(_PARAMS)]), part.axis, 0)
    return np.asarray([kept[positions].any() for positions in part.index])


def _exhausted(groups: Collection[ChannelGroup], mask: Mask, least: Collection[int]) -> dict[Path, str]:
    words = {}
    for group, spared in zip(groups, least, strict=True):
        alive = _alive(group, mask)
        left = int(alive.sum())
        if left <= spared and left < len(alive):
            words[_producer(group)] = f"down to {left} of {len(alive)} channels, as few as a layer may keep"
    return words


def _of_layer(group: ChannelGroup, scores: Mapping[Path, Any]) -> np.ndarray:
    (part,) = [part for part in group.slices if part.role == "output"]
    return np.asarray(scores[part.path.removeprefix(_PARAMS)])[part.index].mean(axis=1)
