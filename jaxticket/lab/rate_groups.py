"""Groups of parameters, each ranked separately and pruned at a rate of its own; and how far such rates can lead."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxticket.core import paths
from jaxticket.core.errors import ConfigError
from jaxticket.core.rules import check_used
from jaxticket.core.types import Path
from jaxticket.lab.rates import Rates

# What a rule may say instead of a path.
ROLES = ("conv", "dense", "head", "scale", "bias")


@dataclasses.dataclass(frozen=True)
class RateGroup:
    """Leaves that are ranked together.

    Attributes:
        rule: the expression that put them there.
        rate: the share of their surviving weights that a round removes.
        sizes: path -> number of weights.
    """

    rule: str
    rate: float
    sizes: Mapping[Path, int]


def is_head(path: Path) -> bool:
    """Whether a leaf belongs to the classifier, which is known by its name."""
    return "head" in path.split("/")


def role_of(path: Path, leaf: Any) -> str:
    """What a leaf is: `head` (kernel of the classifier), `conv`, `dense`, `scale`, `bias`; the last of its path else.

    Args:
        path: such as `stage1_block0/conv1/kernel`.
        leaf: anything with a number of axes, `ndim`.
    """
    name = path.split("/")[-1]
    if name != "kernel":
        return name
    if is_head(path):
        return "head"
    return "conv" if leaf.ndim > 2 else "dense"


def rate_groups(params: Any, rates: Rates, where: str) -> list[RateGroup]:
    """The groups of leaves that are pruned, one for each rule with a rate above 0.

    The first rule counts whose expression matches a leaf's role or its whole path. A leaf that none matches stays.

    `where` is the key of `rates`, ordered (regular expression, rate) pairs, for messages.

    Raises:
        ConfigError: nothing is left to prune, or a rule has no effect.
    """
    found: list[dict[Path, int]] = [{} for _ in rates]
    leaves = paths.leaves(params)

    def matches(rule: str, path: Path) -> bool:
        return bool(re.fullmatch(rule, role_of(path, leaves[path])) or re.fullmatch(rule, path))

    roles = ", ".join(role for role in ROLES if any(role_of(path, leaf) == role for path, leaf in leaves.items()))
    check_used(rates, leaves, where, matches=matches, also=f", or roles: {roles}")
    for path, leaf in leaves.items():
        number = next((number for number, (rule, _) in enumerate(rates) if matches(rule, path)), None)
        if number is not None:
            found[number][path] = leaf.size
    groups = [RateGroup(rule, rate, sizes) for (rule, rate), sizes in zip(rates, found, strict=True) if rate and sizes]
    if not groups:
        raise ConfigError(f"config.{where}={rates}: nothing is prunable; the network has {roles}, or name its paths")
    return groups


def prunable(groups: Sequence[RateGroup]) -> int:
    """The number of weights in all groups."""
    return sum(sum(group.sizes.values()) for group in groups)


def counted_weights(params: Any, groups: Sequence[RateGroup]) -> int:
    """The number of weights that `sparsity_total` is a share of: kernels, normalisation scales and what is prunable."""
    chosen = {path for group in groups for path in group.sizes}
    return sum(
        leaf.size
        for path, leaf in paths.leaves(params).items()
        if leaf.ndim >= 2 or path.split("/")[-1] == "scale" or path in chosen
    )


def removed_by_round(groups: Sequence[RateGroup], scope: str) -> Iterator[int]:
    """How many weights are gone after round 1, 2, ..., until a round removes nothing.

    With several masks that are intersected these are the fewest that can be gone: those of masks that always agree.
    """
    alive = [
        (group.rate, count)
        for group in groups
        for count in ([sum(group.sizes.values())] if scope == "global" else group.sizes.values())
    ]
    total = sum(count for _, count in alive)
    while any(round(rate * count) for rate, count in alive):
        alive = [(rate, count - round(rate * count)) for rate, count in alive]
        yield total - sum(count for _, count in alive)


def rounds_to(groups: Sequence[RateGroup], scope: str, target: float, weights: int) -> int | None:
    """After how many rounds, at most, the pruned share of `weights` is at least `target`; None: never for sure."""
    for level, removed in enumerate(removed_by_round(groups, scope), 1):
        if removed / weights >= target:
            return level
    return None
