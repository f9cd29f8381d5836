"""Does the ticket really win? The sanity checks of lottery tickets (Ma et al. 2021)."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

from jaxticket import analysis
from jaxticket.analysis import Pair
from jaxticket.core.schedules import geometric
from jaxticket.core.types import Mask
from jaxticket.experiments.sanity.analysis import decide
from jaxticket.experiments.sanity.barriers import barrier_between
from jaxticket.experiments.sanity.options import TICKETS, SanityOptions
from jaxticket.experiments.sanity.small_dense import small_dense
from jaxticket.lab.lab import Lab
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.lab.trained import Trained
from jaxticket.training.state import Weights

# (omp or imp, level) -> the mask.
_Masks = dict[tuple[str, int], MaskRef]


def sanity(lab: Lab, options: SanityOptions) -> None:
    """Trains every setting at every learning rate, sparsity and seed, measures, and decides.

    What settings have in common is trained once: a dense network and a chain of rounds for each seed and rate.
    """
    for lr in options.lrs:
        replicates = {seed: _Replicate(lab, options, lr, seed) for seed in options.all_seeds}
        lab.for_each_seed(lambda seed, replicates=replicates: replicates[seed].run())
        _overlaps(lab, lr, {seed: replicate.masks for seed, replicate in replicates.items()})
    lab.recorder.conclude("verdict", lambda rows: decide(rows, options))
    lab.recorder.compare(*_pairs(options), confidence=options.verdict.confidence)


def _pairs(options: SanityOptions) -> list[Pair]:
    """Every ticket with its controls, and with the dense network, at each learning rate."""
    pairs = []
    for ticket in TICKETS:
        if ticket in options.settings:
            kind = ticket.partition("_")[2]
            pairs += [Pair(ticket, f"rr_{kind}", case=("lr",)), Pair(ticket, "sdt", case=("lr",))]
            pairs.append(Pair(ticket, "dense", control_level=0, case=("lr",)))
    return pairs


class _Replicate:
    """All networks of one seed at one learning rate."""

    def __init__(self, lab: Lab, options: SanityOptions, lr: float, seed: int) -> None:
        self.lab, self.options, self.lr, self.seed = lab, options, lr, seed
        self.train = dataclasses.replace(options.train, lr=lr)
        self.masks: _Masks = {}
        self.pruned: dict[tuple[str, int], WeightsRef] = {}  # what each mask was made of

    def run(self) -> None:
        """Trains and measures."""
        lab, options, seed = self.lab, self.options, self.seed
        rewind_step = options.rewind_epochs * lab.setting.duration_of(self.train).steps_per_epoch
        init, other = lab.init(seed), lab.init(seed, stream="reinit")
        full = lab.full_mask(options.prune)
        dense = self._network("dense", 0, init, full, None, snapshot_step=rewind_step)
        tickets = self._tickets(init, full, dense)
        starts = {"rr": (other, 0), "wr": (dense.snapshot, rewind_step), "retrain": (dense.weights, 0)}
        for (kind, level), mask in self.masks.items():
            for setting in options.settings:
                start, _, of = setting.partition("_")
                if start in starts and (of or "omp") == kind:
                    weights, first_step = starts[start]
                    pruned = weights if start == "rr" else self.pruned[kind, level]
                    self._network(setting, level, weights, mask, pruned, start_step=first_step)
        for level in options.levels if "sdt" in options.settings else ():
            self._small_dense(level)
        self._correlations(init, other, dense, full)
        if "dense" in options.instability:
            self._instability("dense", 0, init, full, dense)
        for (branch, level), (trained, mask) in tickets.items():
            if branch in options.instability:
                self._instability(branch, level, init, mask, trained)

    def _tickets(
        self, init: WeightsRef, full: MaskRef, dense: Trained
    ) -> dict[tuple[str, int], tuple[Trained, MaskRef]]:
        """Finds the masks, and trains the tickets that are asked for or lead to the next round."""
        options, levels, tickets = self.options, self.options.levels, {}
        sparsity = geometric(options.prune.rate)
        mask, trained = full, dense
        for level in range(1, levels[-1] + 1) if "imp" in options.kinds else ():
            pruned, mask = trained.weights, self._prune(trained, mask, sparsity(level))
            if level in levels:
                self.masks["imp", level], self.pruned["imp", level] = mask, pruned
            if "lt_imp" in options.settings or level < levels[-1]:
                trained = self._network("lt_imp", level, init, mask, pruned, ticket=level in levels)
                if level in levels:
                    tickets["lt_imp", level] = (trained, mask)
        for level in levels if "omp" in options.kinds else ():
            self.masks["omp", level] = mask = self._prune(dense, full, sparsity(level))
            self.pruned["omp", level] = dense.weights
            if "lt_omp" in options.settings:
                tickets["lt_omp", level] = (self._network("lt_omp", level, init, mask, dense.weights), mask)
        return tickets

    def _prune(self, trained: Trained, mask: MaskRef, sparsity: Any) -> MaskRef:
        return self.lab.prune(trained.weights, mask, self.options.prune, seed=self.seed, sparsity=float(sparsity))

    def _network(
        self,
        branch: str,
        level: int,
        start: WeightsRef,
        mask: MaskRef,
        pruned: WeightsRef | None,
        *,
        ticket: bool = True,
        **how: Any,
    ) -> Trained:
        how |= {"label": f"{branch}-{level}-{self.seed} lr {self.lr:g}", "train": self.train, "case": {"lr": self.lr}}
        wanted = ticket and branch.startswith(("lt_", "wr_"))
        return self.lab.train_row(branch, level, self.seed, start, mask, pruned=pruned, ticket=wanted, **how)

    def _small_dense(self, level: int) -> None:
        sizes = self.lab.setting.prunable(self.options.prune.prunable)
        removed = round(float(geometric(self.options.prune.rate)(level)) * sum(sizes.values()))
        model, parameters = small_dense(self.lab.setting, self.lab.setting.parameters - removed)
        lab = self.lab.variant(model=model, init="")  # whose shapes are not those of given weights
        start, mask = lab.init(self.seed), lab.full_mask(self.options.prune)
        label, case = f"sdt-{level}-{self.seed} lr {self.lr:g}", {"lr": self.lr, "parameters": parameters}
        lab.train_row("sdt", level, self.seed, start, mask, label=label, train=self.train, case=case)

    def _correlations(self, init: WeightsRef, other: WeightsRef, dense: Trained, full: MaskRef) -> None:
        """The indicator between initial and final weights of the dense network, of all and of the survivors."""
        for (kind, level), mask in {("dense", 0): full, **self.masks}.items():
            for name, first in (("init", init), ("reinit", other)):
                if (kind, name) != ("dense", "reinit"):
                    found = self.lab.measure(
                        "correlation",
                        _correlation(self.options.correlation),
                        config={"p": self.options.correlation},
                        a=first,
                        b=dense.weights,
                        mask=mask,
                    )
                    self._note("correlation", {"level": level, "mask": kind, "start": name, **found})

    def _instability(self, branch: str, level: int, start: WeightsRef, mask: MaskRef, trained: Trained) -> None:
        """How high the hill is between `trained` and its twin that saw the data in another order."""
        label = f"{branch}-{level}-{self.seed} lr {self.lr:g}, other order"
        twin = self.lab.train(start, mask, seed=self.seed, label=label, train=self.train, noise=" of the twin")
        found = barrier_between(self.lab, trained, twin, train=self.train)
        self._note("instability", {"branch": branch, "level": level, **found})

    def _note(self, section: str, entry: dict[str, Any]) -> None:
        self.lab.recorder.note(section, {"lr": self.lr, "seed": self.seed, **entry})


def _correlation(p: float) -> Any:
    def compute(a: Weights, b: Weights, mask: Mask) -> dict[str, Any]:
        layers = analysis.layer_correlation(a.params, b.params, mask, p)
        return {"correlation": analysis.correlation(a.params, b.params, mask, p) if layers else None, "layers": layers}

    return compute


def _overlaps(lab: Lab, lr: float, found: Mapping[int, _Masks]) -> None:
    """What masks of two seeds share, and what a seed's one-shot and iterative masks do."""
    pairs = [
        ({"between": "seeds", "kind": kind, "level": level, "seeds": [one, two]}, mask, found[two][kind, level])
        for one, two in itertools.combinations(found, 2)
        for (kind, level), mask in found[one].items()
    ]
    pairs += [
        ({"between": "kinds", "kind": "imp-omp", "level": level, "seeds": [seed]}, mask, masks["omp", level])
        for seed, masks in found.items()
        for (kind, level), mask in masks.items()
        if kind == "imp" and ("omp", level) in masks
    ]
    for entry, a, b in pairs:
        lab.recorder.note("overlap", {"lr": lr, **entry, **lab.measure("overlap", _overlap, a=a, b=b)})


def _overlap(a: Mask, b: Mask) -> dict[str, Any]:
    both = analysis.overlap(a, b)
    return {"jaccard": both.jaccard, "chance": both.chance}
