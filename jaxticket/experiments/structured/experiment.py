"""Structurally sparse lottery tickets (Chen et al., "Coarsening the Granularity", ICML 2022)."""

import dataclasses
from typing import Any

from jaxticket.analysis import Pair
from jaxticket.core.schedules import geometric
from jaxticket.experiments.structured.analysis import extreme_tickets
from jaxticket.experiments.structured.options import StructuredOptions
from jaxticket.experiments.structured.structured_masks import refilled, regrouped, slimmed, structure_of
from jaxticket.lab.lab import Lab
from jaxticket.lab.rewound_ticket import rewound_ticket
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.lab.structure_costs import mask_heatmaps, structure_costs
from jaxticket.lab.trained import Trained


def structured(lab: Lab, options: StructuredOptions) -> None:
    """Finds unstructured tickets, makes their masks structured, rewinds and trains again, once for every seed."""
    lab.for_each_seed(lambda seed: _Replicate(lab, options, seed).run())
    compared = lab.recorder.compare(*_pairs(options))
    lab.recorder.conclude("structured", lambda rows: extreme_tickets(rows, options.source, compared))


def _pairs(options: StructuredOptions) -> list[Pair]:
    """Every method with its random tickets, refilling with channel pruning to as many weights, and all with dense."""
    slim = [f"slim_{criterion}" for criterion in options.channel_criterion]
    tickets = [options.source, *options.methods, *(["imp_regroup"] if options.group_aware else []), *slim]
    return [
        *(Pair(method, f"{method}_random") for method in options.methods),
        *(Pair("refill", name) for name in slim),
        *(Pair(ticket, "dense", control_level=0) for ticket in tickets),
    ]


class _Replicate:
    """All networks of one seed."""

    def __init__(self, lab: Lab, options: StructuredOptions, seed: int) -> None:
        self.lab, self.options, self.seed = lab, options, seed
        self.facts: dict[str, dict[str, Any]] = {}
        self.rewind_step = options.rewind_epochs * lab.setting.duration.steps_per_epoch

    def run(self) -> None:
        """Trains everything."""
        lab, options, seed = self.lab, self.options, self.seed
        init, other = lab.init(seed), lab.init(seed, stream="reinit")
        full = lab.full_mask(options.prune)
        dense = lab.train(init, full, seed=seed, label=f"dense-0-{seed}", snapshot_step=self.rewind_step)
        self._record("dense", 0, dense, full, init, None)
        rewound = dense.snapshot if self.rewind_step else init

        trained, mask, start = dense, full, rewound
        for level in range(1, options.levels + 1):
            if options.source == "ticket":
                start, mask = rewound_ticket(lab, options.ticket)
                pruned = start
            else:
                if not options.is_trained(level) and options.source != "imp":
                    continue  # masks of one network or of none do not lead to the next
                mask, pruned = self._source_mask(level, init, dense, full, trained, mask)
            trained = self._network(options.source, level, start, mask, pruned)
            if not options.is_trained(level):
                continue
            for method in options.methods:
                structured_mask = self._structured_mask(method, trained, mask)
                self._network(method, level, start, structured_mask, trained.weights)
                if options.random_tickets:
                    self._network(f"{method}_random", level, other, structured_mask, other)
            for criterion in options.channel_criterion:
                slim = slimmed(
                    lab, dense.weights, full, mask, criterion, options.refill, seed=seed, floor=options.channel_floor
                )
                self._network(f"slim_{criterion}", level, rewound, slim, dense.weights)
        if options.group_aware:
            self._group_aware(rewound, dense, full)

    def _source_mask(
        self, level: int, init: WeightsRef, dense: Trained, full: MaskRef, trained: Trained, mask: MaskRef
    ) -> tuple[MaskRef, WeightsRef]:
        """The unstructured mask of a level and what was pruned; `trained` and `mask` are those of the level before."""
        lab, options, how = self.lab, self.options, self.options.prune
        if options.source == "imp":
            return lab.prune(trained.weights, mask, how, seed=self.seed), trained.weights
        sparsity = float(geometric(how.rate)(level))
        if options.scores_initial_weights:
            how = dataclasses.replace(how, criterion=options.source)
        weights = init if options.scores_initial_weights else dense.weights
        return lab.prune(weights, full, how, seed=self.seed, sparsity=sparsity), weights

    def _structured_mask(self, method: str, trained: Trained, mask: MaskRef) -> MaskRef:
        how = self.options.refill
        if method == "regroup":
            return regrouped(self.lab, mask, self.options.regroup, seed=self.seed)
        rate = how.rate if method == "refill_plus" else 0.0
        return refilled(self.lab, mask, trained.weights, how, seed=self.seed, rate=rate)

    def _group_aware(self, rewound: WeightsRef, trained: Trained, mask: MaskRef) -> None:
        """Rounds that regroup every mask before it is trained, so that the next one prunes blocks (Algorithm 4)."""
        for level in range(1, self.options.levels + 1):
            scattered = self.lab.prune(trained.weights, mask, self.options.prune, seed=self.seed)
            before = mask
            mask = regrouped(self.lab, scattered, self.options.regroup_of_rounds, seed=self.seed)
            if self.lab.stages.execute and mask.statistics["kept"] >= before.statistics["kept"]:
                self.lab.progress.note(
                    f"imp_regroup-{level}-{self.seed}: regrouping gives back all that the round removed; "
                    "config.group_aware_rule='budget' does not"
                )
            trained = self._network("imp_regroup", level, rewound, mask, trained.weights)

    def _network(self, branch: str, level: int, start: WeightsRef, mask: MaskRef, pruned: WeightsRef) -> Trained:
        label = f"{branch}-{level}-{self.seed}"
        is_rewound = self.options.retrain == "remaining" and not branch.endswith("_random")
        start_step = self.rewind_step if is_rewound else 0
        trained = self.lab.train(start, mask, seed=self.seed, label=label, start_step=start_step)
        self._record(branch, level, trained, mask, start, pruned)
        return trained

    def _record(
        self, branch: str, level: int, trained: Trained, mask: MaskRef, start: WeightsRef, pruned: WeightsRef | None
    ) -> None:
        control = branch.endswith("_random")
        structure = structure_of(mask)
        if mask.key not in self.facts:  # a control costs what the network costs whose mask it has
            has_channels = mask.stage.kind in ("refill", "slim")
            self.facts[mask.key] = structure_costs(self.lab, start, mask, channels=has_channels)
            if structure:
                self.facts[mask.key]["structured_share"] = structure["structured_share"]
        facts = self.facts[mask.key]
        about = {"ticket": not control, "facts": facts}
        self.lab.record(branch, level, self.seed, trained, mask, start=start, pruned=pruned, **about)
        if control:
            return
        case = {"branch": branch, "level": level, "seed": self.seed}
        if structure:
            self.lab.recorder.note("structure", {**case, **structure})
        is_last = level == self.options.levels and self.seed == self.options.all_seeds[0]
        if is_last and not branch.startswith("slim_"):
            for layer in mask_heatmaps(self.lab, start, mask):
                self.lab.recorder.note("heatmap", {**case, **layer})
