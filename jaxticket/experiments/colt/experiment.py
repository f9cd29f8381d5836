"""Cyclic overlapping lottery tickets, next to iterative magnitude pruning on equal terms (arXiv 2212.12770).

All parts of the classes train the same masked initial weights, each prunes its own result, and only what all of them
keep is kept. Then everything is rewound.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxticket.core.errors import ConfigError
from jaxticket.experiments.colt.analysis import PAIRS, compare_with_lth, ticket_rows
from jaxticket.experiments.colt.options import ColtOptions
from jaxticket.lab.lab import Lab
from jaxticket.lab.mask_intersection import (
    Groups,
    full_mask_stage,
    intersected,
    pruned_by_groups,
    pruned_like,
    with_whole_head,
)
from jaxticket.lab.random_masks import random_twin
from jaxticket.lab.rate_groups import counted_weights, prunable, rate_groups, removed_by_round, rounds_to
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.lab.trained import Trained


@dataclasses.dataclass(frozen=True)
class Round:
    """A round of a series: what was trained under which mask.

    Attributes:
        level: 0 is the dense network.
        mask: common to all parts.
        start: the weights all parts started from.
        trained: the networks, one for each part.
        pruned: the weights that were pruned to the mask, of each part; None of level 0.
        agreement: what the parts agreed on in making the mask; empty for a single part, for the first round and in a
            plan.
    """

    level: int
    mask: MaskRef
    start: WeightsRef
    trained: list[Trained]
    pruned: list[WeightsRef] | None
    agreement: Mapping[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """What a row says of the agreement."""
        return {name: value for name, value in self.agreement.items() if name != "layers"}


def colt(lab: Lab, options: ColtOptions) -> None:
    """Finds the tickets of all seeds, trains each on the whole data set, and does the same by LTH at two rates."""
    parts = [
        lab.variant(data=dataclasses.replace(options.data, part=options.part(index)))
        for index in range(options.partitions)
    ]
    groups = _groups(parts[0], options, "rates")
    lth_groups = _groups(lab, options, "lth_rates") if options.lth else groups
    matched_groups = rate_groups(lab.setting.shapes.params, options.rates, "rates")

    def one_seed(seed: int) -> None:
        init, full = lab.init(seed), full_mask_stage(lab, groups)
        if options.evaluate or options.lth:
            lab.train_row("dense", 0, seed, init, full)
        reached: list[MaskRef] = []
        for found in _rounds(parts, groups, options, seed, "colt"):
            _record_parts(parts, found, options, seed)
            if found.level:
                reached.append(found.mask)
                lab.recorder.note("colt_rounds", {"seed": seed, "level": found.level, **found.agreement})
            if found.level and options.evaluate:
                mask = with_whole_head(lab, found.mask) if options.partitions > 1 else found.mask
                # Parts have a classifier for their own classes, so that no weights of this network were pruned.
                pruned = found.pruned[0] if found.pruned and options.partitions == 1 else init
                lab.train_row("colt", found.level, seed, init, mask, pruned=pruned, facts=found.facts)
                if options.random_masks:
                    _random(lab, found.level, init, mask, seed)
        for found in _rounds([lab], lth_groups, options, seed, "lth") if options.lth else ():
            if found.pruned:
                (trained,), (pruned,) = found.trained, found.pruned
                lab.record("lth", found.level, seed, trained, found.mask, start=found.start, pruned=pruned)
        if options.matches:
            _matched(lab, matched_groups, options, seed, reached)

    lab.for_each_seed(one_seed)
    lab.recorder.conclude("colt", compare_with_lth)
    lab.recorder.compare(*PAIRS, of=ticket_rows)


def _rounds(parts: Sequence[Lab], groups: Groups, options: ColtOptions, seed: int, name: str) -> Iterator[Round]:
    """Round after round until the target is reached, nothing moves any more, or there were enough."""
    first = parts[0]
    start, mask = first.init(seed), full_mask_stage(first, groups)
    pruned: list[WeightsRef] | None = None
    agreement: Mapping[str, Any] = {}
    most = _most_rounds(first, groups, options)
    for level in range(most + 1):
        runs = [
            functools.partial(part.train, start, mask, seed=seed, label=_label(name, level, seed, part))
            for part in parts
        ]
        trained = first.train_batch(runs)
        yield Round(level, mask, start, trained, pruned, agreement)
        if level == most or _is_reached(mask, options):
            return
        weights = [one.weights for one in trained]
        own = [pruned_by_groups(first, one, mask, groups, options.scope) for one in weights]
        smaller = intersected(first, mask, own, groups)
        if first.stages.execute and smaller.statistics["kept"] == mask.statistics["kept"]:
            return
        mask, pruned, agreement = smaller, weights, smaller.stage.content.get("agreement", {})


def _matched(lab: Lab, groups: Groups, options: ColtOptions, seed: int, reached: Sequence[MaskRef]) -> None:
    """LTH with as many weights after every round as COLT has, so that both have pruned equally fast."""
    init, mask = lab.init(seed), full_mask_stage(lab, groups)
    trained = lab.train(init, mask, seed=seed, label=f"dense-0-{seed}")
    for level, like in enumerate(reached, start=1):
        pruned = trained.weights
        mask = pruned_like(lab, pruned, mask, like, groups, options.scope)
        trained = lab.train_row("lth_matched", level, seed, init, mask, pruned=pruned, ticket=False)


def _random(lab: Lab, level: int, init: WeightsRef, mask: MaskRef, seed: int) -> None:
    """A ticket's initial weights under a mask with its densities, at random positions."""
    twin = random_twin(lab, mask, seed)
    lab.train_row("random", level, seed, init, twin, pruned=init, ticket=False)


def _label(name: str, level: int, seed: int, part: Lab) -> str:
    of = part.options.data.part
    return f"{name}-{level}-{seed}" if of == "full" else f"{name}-{level}-{seed} part {of}"


def _is_reached(mask: MaskRef, options: ColtOptions) -> bool:
    if not options.target or not mask.stage.content:  # a plan does not know
        return False
    return mask.statistics["sparsity" if options.target_counts == "prunable" else "sparsity_total"] >= options.target


def _record_parts(parts: Sequence[Lab], found: Round, options: ColtOptions, seed: int) -> None:
    pruned = found.pruned or [None] * len(parts)
    label = f"colt_part-{found.level}-{seed} pruned"
    parts[0].train_batch(  # like their training; the rows then find the scores
        [
            functools.partial(part.evaluate, weights, found.mask, label=label)
            for part, weights in zip(parts, pruned, strict=True)
            if weights is not None
        ]
    )
    for number, (part, trained, weights) in enumerate(zip(parts, found.trained, pruned, strict=True), 1):
        part.record(
            "colt_part",
            found.level,
            seed,
            trained,
            found.mask,
            start=found.start,
            pruned=weights,
            case={"part": number},
            ticket=number == 1 and not options.evaluate,
            facts=found.facts,
        )


def _groups(lab: Lab, options: ColtOptions, key: str) -> Groups:
    """The groups of a series; refuses a target that it need not come to."""
    groups = rate_groups(lab.setting.shapes.params, getattr(options, key), key)
    weights = _weights(lab, groups, options)
    if options.target and rounds_to(groups, options.scope, options.target, weights) is None:
        surely = max(removed_by_round(groups, options.scope), default=0) / weights
        raise ConfigError(
            f"config.target={options.target}: pruning by {key} surely reaches {surely:.4f} of {options.target_counts} "
            f"sparsity in {options.model.name} with {lab.options.data.num_classes} classes, and can never exceed "
            f"{prunable(groups) / weights:.4f}; lower the target, or add groups to {key}"
        )
    return groups


def _weights(lab: Lab, groups: Groups, options: ColtOptions) -> int:
    """The number of weights that the target is a share of."""
    return (
        prunable(groups) if options.target_counts == "prunable" else counted_weights(lab.setting.shapes.params, groups)
    )


def _most_rounds(lab: Lab, groups: Groups, options: ColtOptions) -> int:
    """After how many rounds a series has ended at the latest."""
    needed = rounds_to(groups, options.scope, options.target or 2.0, _weights(lab, groups, options))
    return min(options.rounds, needed or sum(1 for _ in removed_by_round(groups, options.scope)))
