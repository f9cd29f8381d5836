"""Pruning at rates by group, and the intersection of what several networks keep, as stages of a lab."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxticket.analysis.pruning_overlap import expected_kept, pruning_overlap
from jaxticket.core import masks, paths
from jaxticket.core.criteria.magnitude import magnitude
from jaxticket.core.prune import prune
from jaxticket.core.types import Mask
from jaxticket.lab.derived import Derived
from jaxticket.lab.lab import Lab
from jaxticket.lab.rate_groups import RateGroup, is_head
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.training.state import Weights

Groups = Sequence[RateGroup]


def full_mask_stage(lab: Lab, groups: Groups) -> MaskRef:
    """The mask that keeps everything in `groups`."""
    chosen = sorted(path for group in groups for path in group.sizes)
    return lab.full_mask((*((re.escape(path), True) for path in chosen), (".*", False)))


def prune_groups(mask: Mask, params: Any, groups: Groups, scope: str) -> Mask:
    """`mask` less the weights of least magnitude, in each group its rate of those still kept.

    With the scope `global` the leaves of a group are ranked together, with `layer` each by itself. The paths of `mask`
    are exactly those of `groups`.
    """
    new: Mask = {}
    for group in groups:
        own = {path: mask[path] for path in group.sizes}
        new |= prune(own, magnitude(params, own), rate=group.rate, scope=scope)
    return new


def pruned_by_groups(lab: Lab, trained: WeightsRef, mask: MaskRef, groups: Groups, scope: str) -> MaskRef:
    """`prune_groups` as a stage."""

    def compute(weights: Weights, mask: Mask) -> Derived:
        return Derived(mask=prune_groups(mask, weights.params, groups, scope))

    config = {"groups": [[group.rate, sorted(group.sizes)] for group in groups], "scope": scope}
    label, inputs = f"magnitude, {scope}", {"weights": trained, "mask": mask}
    return MaskRef(lab.derive("prune_groups", compute, inputs, config=config, label=label))


def prune_like(mask: Mask, params: Any, like: Mask, groups: Groups, scope: str) -> Mask:
    """`mask` less the weights of least magnitude, until each group keeps the share that it keeps in another mask.

    As `prune_groups`, whose rates are not used; a classifier of `like` may have another number of classes.
    """
    new: Mask = {}
    for group in groups:
        for paths_of in [list(group.sizes)] if scope == "global" else [[path] for path in group.sizes]:
            own = {path: mask[path] for path in paths_of}
            sparsity = masks.sparsity({path: like[path] for path in paths_of})
            new |= prune(own, magnitude(params, own), sparsity=sparsity)
    return new


def pruned_like(lab: Lab, trained: WeightsRef, mask: MaskRef, like: MaskRef, groups: Groups, scope: str) -> MaskRef:
    """`prune_like` as a stage."""

    def compute(weights: Weights, mask: Mask, like: Mask) -> Derived:
        return Derived(mask=prune_like(mask, weights.params, like, groups, scope))

    config = {"groups": [sorted(group.sizes) for group in groups], "scope": scope}
    label, inputs = f"magnitude, {scope}, matched", {"weights": trained, "mask": mask, "like": like}
    return MaskRef(lab.derive("prune_like", compute, inputs, config=config, label=label))


def intersected(lab: Lab, mask: MaskRef, pruned: Sequence[MaskRef], groups: Groups) -> MaskRef:
    """What all of `pruned`, each made from `mask`, keep; its stage's content says how far they agree.

    Whose mask is whose does not matter. The only one is taken as it is.
    """
    if len(pruned) == 1:
        return pruned[0]

    def compute(mask: Mask, **after: Mask) -> Derived:
        found = agreement(mask, list(after.values()), groups)
        return Derived(mask=masks.intersect(*after.values()), content={"agreement": found})

    rates = {path: group.rate for group in groups for path in group.sizes}
    inputs = {"mask": mask, **{str(i): one for i, one in enumerate(sorted(pruned, key=lambda one: one.key))}}
    label = f"of {len(pruned)} masks"
    return MaskRef(lab.derive("intersect", compute, inputs, config={"rates": rates}, label=label))


def agreement(before: Mask, after: Sequence[Mask], groups: Groups) -> dict[str, Any]:
    """What the parts of a round agree on, JSON-ready.

    Returns:
        `overlap`, the q of `PruningOverlap`; `overlap_by_chance`, that of random choices; `kept_measured`, the share
        of the weights alive before that is left, and `kept_expected`, which follows from q and the rates for two parts
        (None for more); `layers`, path -> its q.
    """
    found = pruning_overlap(before, after)
    alive = {path: int(np.sum(kept)) for path, kept in before.items()}
    chosen = [(group.rate, group.rate * alive[path]) for group in groups for path in group.sizes]
    number, total = math.fsum(count for _, count in chosen), sum(alive.values())
    follows = len(after) == 2 and found.overlap is not None
    return {
        "overlap": found.overlap,
        "overlap_by_chance": math.fsum(rate * count for rate, count in chosen) / number if number else None,
        "kept_expected": expected_kept(number / total, found.overlap or 0.0) if follows else None,
        "kept_measured": found.kept,
        "layers": found.layers,
    }


def with_whole_head(lab: Lab, mask: MaskRef) -> MaskRef:
    """`mask`, of a network with another number of classes, for the network of `lab`, whose classifier is kept whole."""

    def compute(mask: Mask) -> Derived:
        return Derived(mask=whole_head(mask, lab.setting.shapes.params))

    key = lab.setting.network_key()
    return MaskRef(lab.derive("whole_head", compute, {"mask": mask}, config=key, label="new classifier"))


def whole_head(mask: Mapping[str, Any], params: Any) -> Mask:
    """`mask` with all of the classifier of `params` kept; what was not prunable still is not."""
    head = {path: leaf.shape for path, leaf in paths.leaves(params).items() if is_head(path)}
    return {path: np.ones(head[path], bool) if path in head else kept for path, kept in mask.items()}
