"""Which channels of a network to take away for a budget of parameters, multiply-accumulates or seconds."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxticket.core import paths
from jaxticket.core.checks import check_function, check_number, check_whole
from jaxticket.core.errors import MaskError
from jaxticket.core.types import Inputs, Mask, Params, Path
from jaxticket.structure.channel_groups.channels import ChannelGroup
from jaxticket.structure.channel_groups.trace import channel_groups
from jaxticket.structure.channel_scores import ChannelScores, channel_scores
from jaxticket.structure.shrink.channel_costs import ChannelCosts
from jaxticket.structure.shrink.report import is_parameter
from jaxticket.structure.shrink.slicing import check_concrete

_MEASUREMENTS = 6


@dataclasses.dataclass(frozen=True, eq=False)
class PrunedChannels:
    """Channels chosen for a budget.

    Attributes:
        mask: path -> bool array, for `jt.shrink`: False in the kernel slices that produce a chosen channel and in its
            biases and scales, so that the channel is exactly zero. Paths are those of the tree that was given.
        channels: path of the first kernel that produces a group -> (channels before, channels after).
        parameters: how many there are before and after; running statistics do not count.
        macs: multiply-accumulates for the given inputs, before and after.
        seconds: median time of a call before and after, where that was the budget.
    """

    mask: Mask
    channels: dict[Path, tuple[int, int]]
    parameters: tuple[int, int]
    macs: tuple[int, int]
    seconds: tuple[float, float] | None = None

    def __str__(self) -> str:
        """What is left."""
        found = [("parameters", self.parameters), ("multiply-accumulates", self.macs)]
        lines = [f"{before:,} -> {after:,} {what} ({after / before:.1%})" for what, (before, after) in found]
        if self.seconds:
            lines.append(f"{self.seconds[0]:.3g} s -> {self.seconds[1]:.3g} s")
        lines += [f"  {path}: {before} -> {after} channels" for path, (before, after) in self.channels.items()]
        return "\n".join(lines)


def prune_channels(
    fn: Callable[..., Any],
    params: Params,
    *inputs: Inputs,
    scores: ChannelScores = "magnitude",
    ratio: float | None = None,
    parameters: float | None = None,
    macs: float | None = None,
    seconds: float | None = None,
    min_channels: int = 1,
) -> PrunedChannels:
    """Takes the lowest-scored channels away until a network fits a budget.

    All channels that can be removed (see `jt.channel_groups`) are compared with each other; the lowest is removed
    first, among equal ones the first in the order of groups. As few are removed as the budget needs. Exactly one budget
    is given: floats up to 1.0 are a share of the whole network, whole numbers a number.

    Args:
        fn: a function that JAX can trace, as for `jt.shrink`.
        params: pytree of concrete arrays; for a network with running statistics the whole tree of variables.
        *inputs: pytrees of arrays or `jax.ShapeDtypeStruct`s. Multiply-accumulates and seconds are those of these
            inputs: give a batch of 1 for the cost of one example.
        scores: what a channel is worth, higher = keep. 'magnitude', the mean absolute value of the kernel slices that
            produce it; 'l1' or 'l2', the norm of these; 'bn_scale', the mean absolute scale; scores of weights by
            path, such as those of `jt.snip`, or a function (params, mask) -> such scores, of which the mean is taken.
        ratio: the share of all channels that can go, which is to go; in [0, 1].
        parameters: at most so many parameters are left.
        macs: at most so many multiply-accumulates are left.
        seconds: a jitted call takes at most so long, the median of a few on this machine; found by bisection, with one
            compilation per step.
        min_channels: every group keeps at least as many.

    Returns:
        The mask for `jt.shrink`, and what is reached.

    Raises:
        MaskError: not exactly one budget, one out of range or out of reach; scores that do not cover a group.

    Example:
        >>> def net(params, x):
        ...     return jax.nn.relu(x @ params["hidden"]["kernel"]) @ params["head"]["kernel"]
        >>> params = {"hidden": {"kernel": jnp.ones((3, 4))}, "head": {"kernel": jnp.ones((4, 2))}}
        >>> pruned = jt.prune_channels(net, params, jnp.ones((1, 3)), ratio=0.5)
        >>> pruned.channels, pruned.macs
        ({'hidden/kernel': (4, 2)}, (20, 10))
        >>> jt.shrink(net, params, pruned.mask, jnp.ones((1, 3))).params["head"]["kernel"].shape
        (2, 2)
    """
    given = {"ratio": ratio, "parameters": parameters, "macs": macs, "seconds": seconds}
    chosen = [(name, budget) for name, budget in given.items() if budget is not None]
    if len(chosen) != 1:
        raise MaskError(
            f"{', '.join(f'{name}={budget!r}' for name, budget in chosen) or 'no budget'}: "
            "exactly one of ratio, parameters, macs and seconds must be given"
        )
    ((name, budget),) = chosen
    check_number(name, budget, 0, math.inf)
    check_whole("min_channels", min_channels, 1)
    check_function("fn", fn)
    check_concrete(params)
    groups = channel_groups(fn, params, *inputs).prunable
    order = _order(channel_scores(params, groups, scores), min_channels)
    cost = ChannelCosts(fn, params, inputs, groups, order)
    measured: dict[int, float] = {}
    if name == "ratio":
        number = _ratio_to_number(budget, sum(group.size for group in groups), len(order), min_channels)
    elif name == "seconds":
        number = _fastest(budget, cost, measured)
    else:
        number = _least(name, budget, cost.parameters if name == "parameters" else cost.macs, len(order), min_channels)
    gone = cost.gone(number)
    return PrunedChannels(
        mask=_mask(params, groups, gone),
        channels={
            next(part.path for part in group.slices if part.role == "output"): (group.size, group.size - len(channels))
            for group, channels in zip(groups, gone, strict=True)
        },
        parameters=(cost.parameters(0), cost.parameters(number)),
        macs=(cost.macs(0), cost.macs(number)),
        seconds=(measured[0], measured[number]) if measured else None,
    )


def _order(scores: Sequence[np.ndarray], min_channels: int) -> list[tuple[int, int]]:
    """(group, channel) of all channels that may go, the lowest score first; the best `min_channels` of a group stay."""
    ranked = []
    for group, values in enumerate(scores):
        lowest = np.argsort(values, kind="stable")[: max(len(values) - min_channels, 0)]
        ranked += [(float(values[channel]), group, int(channel)) for channel in lowest]
    return [(group, channel) for _, group, channel in sorted(ranked)]


def _ratio_to_number(ratio: float, size: int, most: int, min_channels: int) -> int:
    if not 0 <= ratio <= 1:
        raise MaskError(f"ratio={ratio!r}: must be a number from 0 to 1")
    number = round(ratio * size)
    if number > most:
        raise MaskError(
            f"ratio={ratio!r} takes {number} of {size} channels, with min_channels={min_channels} only {most} can go; "
            f"ask for {most / size:.4g} or less"
        )
    return number


def _least(name: str, budget: float, cost: Callable[[int], int], most: int, min_channels: int) -> int:
    """How many channels have to go, as few as possible."""
    whole, least = cost(0), cost(most)
    limit = budget * whole if isinstance(budget, float) else budget
    if not limit > 0 or limit < least or (isinstance(budget, float) and budget > 1):
        raise MaskError(
            f"{name}={budget!r}: with min_channels={min_channels} from {least:,} to {whole:,} can be left, a share of "
            f"{math.ceil(1e4 * least / whole) / 1e4:.4f} to 1.0; ask for a number in that range"
        )
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if cost(middle) <= limit else (middle + 1, high)
    return low


def _fastest(budget: float, cost: ChannelCosts, measured: dict[int, float]) -> int:
    """How many channels have to go for a call to take no longer than `budget`, by a few measurements."""
    low, high = 0, len(cost.order)
    for number in (low, high):
        measured[number] = cost.seconds(number)
    if not measured[high] <= budget:
        raise MaskError(
            f"seconds={budget!r}: a call takes {measured[high]:.3g} s with the fewest channels and "
            f"{measured[0]:.3g} s with all; ask for a time in that range"
        )
    if measured[low] <= budget:
        return low
    for _ in range(_MEASUREMENTS):
        middle = (low + high) // 2
        if middle == low:
            break
        measured[middle] = cost.seconds(middle)
        low, high = (low, middle) if measured[middle] <= budget else (middle, high)
    return high


def _mask(params: Params, groups: Sequence[ChannelGroup], gone: Sequence[Sequence[int]]) -> Mask:
    leaves = paths.leaves(params)
    in_collections = any(path.startswith("params/") for path in leaves)
    mask: dict[Path, np.ndarray] = {}
    for group, channels in zip(groups, gone, strict=True):
        for part in group.slices:
            if part.role != "input" and is_parameter(part.path, in_collections):
                kept = mask.setdefault(part.path, np.ones(np.shape(leaves[part.path]), bool))
                kept[(*(slice(None),) * part.axis, part.index[list(channels)].ravel())] = False
    return {path: jnp.asarray(kept) for path, kept in sorted(mask.items())}
