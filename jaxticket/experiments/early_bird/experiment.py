"""Early-bird tickets (You et al. 2020): drawn when the mask of a training network has settled, and trained on."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxticket.analysis import Pair
from jaxticket.core.errors import ConfigError
from jaxticket.core.types import Mask
from jaxticket.experiments.early_bird.monitors import EmergenceMonitor, ScaleMonitor, WeightMonitor
from jaxticket.experiments.early_bird.options import EarlyBirdOptions, distance_by_chance
from jaxticket.lab.channel_tickets import all_channels, channel_costs, draw_channels, random_channels
from jaxticket.lab.lab import Lab
from jaxticket.lab.random_masks import random_twin
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.lab.structure_costs import structure_costs
from jaxticket.lab.trained import Trained

# Forward and backward together cost three forward passes, a multiply-accumulate two operations.
_FLOPS_PER_MAC = 3 * 2


def early_bird(lab: Lab, options: EarlyBirdOptions) -> None:
    """Trains until tickets emerge, draws them and trains them on, once for every seed.

    Raises:
        ConfigError: training is too short for what is asked.
    """
    _check_reachable(lab, options)
    replicates = {seed: _Replicate(lab, options, seed) for seed in options.all_seeds}
    lab.for_each_seed(lambda seed: replicates[seed].run())
    if not lab.stages.execute:
        return
    for number, replicate in enumerate(replicates.values()):
        for ratio, matrix in replicate.distances().items():
            lab.recorder.save_array(f"mask_distance_p{ratio}" + (f"_seed{replicate.seed}" if number else ""), matrix)
    first = replicates[options.all_seeds[0]]
    lab.recorder.conclude("emergence", lambda rows: first.emergence)
    lab.recorder.note("mask_distance", first.distance_rows())
    lab.recorder.compare(*_pairs(options))


def _pairs(options: EarlyBirdOptions) -> list[Pair]:
    """The early bird with random channels, every early ticket with the one pruned in the end, and all with dense."""
    early = [*(f"eb_{name}" for name in options.retrain), *(f"draw_{epoch}" for epoch in options.draw_epochs)]
    return [
        Pair(f"eb_{options.retrain[0]}", "random"),
        *(Pair(branch, "late") for branch in early),
        *(Pair(branch, "dense", control_level=0) for branch in [*early, "late"]),
    ]


def _removed_overlap(kind: str) -> Callable[..., dict[str, Any]]:
    """What an early mask removes that the final one removes too, next to what chance does; JSON-ready."""

    def compute(drawn: Mask, final: Mask) -> dict[str, Any]:
        paths = [path for path in final if kind == "unstructured" or path.endswith("/scale")]
        one, other = (np.concatenate([~np.asarray(mask[path]).ravel() for path in paths]) for mask in (drawn, final))
        apart, by_chance = float(np.mean(one != other)), _apart_by_chance(float(one.mean()), float(other.mean()))
        return {
            "overlap": float(np.mean(other[one])) if one.any() else None,
            "overlap_by_chance": float(other.mean()),
            "distance": apart,
            "distance_scaled": apart / by_chance if by_chance else None,
        }

    return compute


def _apart_by_chance(one: float, other: float) -> float:
    """The distance of random masks that remove these shares; 2p(1 - p) where both are p."""
    return one * (1 - other) + other * (1 - one)


def _check_reachable(lab: Lab, options: EarlyBirdOptions) -> None:
    """Refuses more measurements than training has time for."""
    per_epoch, total = lab.setting.duration.steps_per_epoch, lab.setting.duration.total_steps
    looks = total // (options.every_steps or per_epoch)
    least = options.window + (options.rule == "consecutive")
    if looks < least:
        raise ConfigError(
            f"config.window={options.window}: rule={options.rule!r} needs {least} looks, and training has {looks}; "
            "train longer, or look more often with every_steps"
        )


@dataclasses.dataclass(frozen=True)
class _Draw:
    """A moment at which tickets are drawn.

    Attributes:
        branch: of the rows.
        step: how many steps the dense network has been trained.
        weights: of then.
        at_end: whether its training was over, so that nothing of its schedule remains.
        emerged: of an early bird, whether its mask had settled.
    """

    branch: str
    step: int
    weights: WeightsRef
    at_end: bool
    emerged: bool | None = None


class _Replicate:
    """All networks of one seed."""

    def __init__(self, lab: Lab, options: EarlyBirdOptions, seed: int) -> None:
        self.lab, self.options, self.seed = lab, options, seed
        self.emergence: dict[str, float | None] = {}
        self.total = lab.setting.duration.total_steps
        self.per_epoch = lab.setting.duration.steps_per_epoch
        self.every = options.every_steps or self.per_epoch
        self._of_dense: dict[str, Any] = {}

    def run(self) -> None:
        """Trains everything."""
        lab, options, seed = self.lab, self.options, self.seed
        self.init = lab.init(seed)
        channels = options.kind == "channel"
        self.full = all_channels(lab) if channels else lab.full_mask(options.prune)
        stops = options.on_emerge == "stop"
        label = f"{'search' if stops else 'dense'}-0-{seed}"
        self.search = lab.train(
            self.init, self.full, seed=seed, label=label, monitor=self._monitor(), save_epochs=options.draw_epochs
        )
        dense = self.search
        if stops and (options.dense or options.late):
            dense = lab.train(self.init, self.full, seed=seed, label=f"dense-0-{seed}")
        self._of_dense = self._costs(self.init, self.full)
        if options.dense:
            self._record("dense", 0, dense, self.full, self.init, None, dense_steps=self._steps(dense), steps=0)
        for level, ratio in enumerate(options.ratios, start=1):
            self._ratio(level, ratio, dense)

    def distances(self) -> dict[str, Any]:
        """Ratio -> the distances of all masks, float32 [measurements, measurements]."""
        found = self.search.monitored()
        return {str(ratio): found[f"distance_p{ratio}"] for ratio in self.options.ratios}

    def distance_rows(self) -> dict[str, Any]:
        """The distances for the summary: of every measurement those to the earlier ones, None where not known."""
        rows = {
            ratio: [[round(float(d), 4) if d == d else None for d in line[:i]] for i, line in enumerate(matrix)]
            for ratio, matrix in self.distances().items()
        }
        how = {name: getattr(self.options, name) for name in ("kind", "rule", "window", "epsilon", "epsilon_scale")}
        how["by_chance"] = {str(ratio): distance_by_chance(ratio) for ratio in self.options.ratios}
        return {"seed": self.seed, **how, "epochs_per_look": self._epochs(self.every), "rows": rows}

    def _monitor(self) -> EmergenceMonitor:
        o = self.options
        how = {"rule": o.rule, "window": o.window, "epsilon": o.epsilons, "every_steps": o.every_steps}
        stops = o.on_emerge == "stop"
        if o.kind == "channel":
            return ScaleMonitor(o.ratios, **how, stops=stops)
        return WeightMonitor(o.ratios, **how, stops=stops, scope=o.prune.scope)

    def _ratio(self, level: int, ratio: float, dense: Trained) -> None:
        """The networks of one ratio: the early bird's, those drawn at given epochs, the one pruned after training."""
        lab, options = self.lab, self.options
        draw = self._early_draw(ratio)
        mask = self._mask(draw, level, ratio)
        for name in options.retrain:
            self._network(dataclasses.replace(draw, branch=f"eb_{name}"), level, ratio, mask, name)
        if options.random:
            twin = self._random_twin(draw, mask)
            self._network(dataclasses.replace(draw, branch="random"), level, ratio, twin, options.retrain[0])
        for epoch in options.draw_epochs:
            of = self.search.exact if options.draw_weights == "exact" else self.search.best_until
            step = epoch * self.per_epoch
            at = _Draw(f"draw_{epoch}", step, of(epoch), at_end=step == self.total)
            self._network(at, level, ratio, self._mask(at, level, ratio), "inherit")
        if options.late:
            at = _Draw("late", self._steps(dense), dense.weights, at_end=True)
            final = self._mask(at, level, ratio)
            self._network(at, level, ratio, final, "inherit")
            found = lab.measure("removed_overlap", _removed_overlap(options.kind), drawn=mask, final=final)
            lab.recorder.note("final_mask", {"seed": self.seed, "ratio": ratio, **found})

    def _early_draw(self, ratio: float) -> _Draw:
        """Where the ticket of a ratio emerged; the end of training where it did not."""
        found = self.search.stage.content
        look = found.get("monitor", {}).get("emergence", {}).get(str(ratio))
        end = self._steps(self.search)
        step = end if look is None else look * self.every
        epoch = None if look is None else self._epochs(step)
        self.emergence[str(ratio)] = epoch
        at_end = look is None or step == self.total
        if found and look is None:
            self.lab.progress.note(f"seed {self.seed}: no ticket of {ratio:.0%} emerges; it is drawn at the end")
        elif found and at_end:
            self.lab.progress.note(
                f"seed {self.seed}: the ticket of {ratio:.0%} emerges with the last look and is drawn at the end of "
                "training, so nothing was early"
            )
        drawn = {"epoch": epoch, "drawn": self._epochs(step), "at_end": at_end}
        self.lab.recorder.note("early_bird", {"seed": self.seed, "ratio": ratio, **drawn})
        weights = WeightsRef(self.search.stage, "last") if look is None else self.search.kept(f"p{ratio}")
        return _Draw("eb", step, weights, at_end=at_end, emerged=look is not None)

    def _mask(self, draw: _Draw, level: int, ratio: float) -> MaskRef:
        lab, options = self.lab, self.options
        if options.kind == "unstructured":
            return lab.prune(draw.weights, self.full, options.prune, seed=self.seed, sparsity=ratio)
        mask = draw_channels(lab, draw.weights, self.full, ratio, min_channels=options.min_channels)
        case = {"branch": draw.branch, "level": level, "seed": self.seed, "ratio": ratio}
        lab.recorder.note("channels", {**case, "layers": mask.stage.content.get("channels", [])})
        return mask

    def _random_twin(self, draw: _Draw, mask: MaskRef) -> MaskRef:
        if self.options.kind == "unstructured":
            return random_twin(self.lab, mask, self.seed)
        return random_channels(self.lab, draw.weights, self.full, mask, seed=self.seed)

    def _network(self, draw: _Draw, level: int, ratio: float, mask: MaskRef, mode: str) -> None:
        """Trains and records one ticket."""
        lab, start, pruned, start_step = self.lab, draw.weights, draw.weights, 0
        if mode == "inherit":
            start_step = draw.step if self.options.schedule == "remaining" and not draw.at_end else 0
        else:
            start = self.init if mode == "rewind" else lab.reinit(self.seed, level)
            pruned = pruned if mode == "rewind" else start
        label = f"{draw.branch}-{level}-{self.seed}"
        trained = lab.train(start, mask, seed=self.seed, label=label, start_step=start_step)
        facts = {"ratio": ratio, "draw_epoch": self._epochs(draw.step)}
        if draw.emerged is not None:
            facts["emerged"] = draw.emerged
        facts |= self._costs(draw.weights, mask)
        steps = self._steps(trained) - start_step
        self._record(draw.branch, level, trained, mask, start, pruned, dense_steps=draw.step, steps=steps, **facts)

    def _record(
        self,
        branch: str,
        level: int,
        trained: Trained,
        mask: MaskRef,
        start: WeightsRef,
        pruned: WeightsRef | None,
        *,
        dense_steps: int,
        steps: int,
        **facts: Any,
    ) -> None:
        """Records a row, with the operations of all training that led to it: dense at first, then under its mask."""
        if self.lab.stages.execute:
            dense = self._of_dense["macs_dense"]
            facts = {"macs": dense, "macs_dense": dense, **facts}
            per_step = _FLOPS_PER_MAC * self.options.train.batch_size
            facts["training_flops"] = per_step * (dense * dense_steps + facts["macs"] * steps)
            facts["training_flops_share"] = facts["training_flops"] / (per_step * dense * self.total)
        self.lab.record(
            branch, level, self.seed, trained, mask, start=start, pruned=pruned, ticket=branch != "random", facts=facts
        )

    def _steps(self, trained: Trained) -> int:
        """How many steps a training run had come to when it ended; all in a plan."""
        content = trained.stage.content
        return content["history"][-1]["step"] if content else self.total

    def _costs(self, weights: WeightsRef, mask: MaskRef) -> dict[str, Any]:
        if self.options.kind == "channel":
            return channel_costs(self.lab, weights, mask)
        return structure_costs(self.lab, weights, mask, channels=False)

    def _epochs(self, steps: int) -> float:
        """Steps in epochs, whole where they are."""
        return steps // self.per_epoch if steps % self.per_epoch == 0 else round(steps / self.per_epoch, 3)
