"""The lab: what an experiment can do, every expensive act of it a stage that is done once and found again."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jaxticket import models
from jaxticket.core import masks
from jaxticket.core.keys import seed_key
from jaxticket.core.options import chosen, digest
from jaxticket.core.schedules import geometric
from jaxticket.core.scope_counts import empty_layers
from jaxticket.core.types import Mask
from jaxticket.lab.aid_options import AidOptions
from jaxticket.lab.channel_tickets import all_channels, draw_channels
from jaxticket.lab.derived import Bench, Derived
from jaxticket.lab.given import given_init
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.pruning import prune_by_criterion
from jaxticket.lab.reach import Reach
from jaxticket.lab.recorded_run import RecordedRun
from jaxticket.lab.recorder import Recorder
from jaxticket.lab.requests import EvaluateRequest, TrainRequest
from jaxticket.lab.rescaling import scaled_start
from jaxticket.lab.seeds import in_lockstep, replication_of, submit
from jaxticket.lab.setting import Setting
from jaxticket.lab.stage_keys import evaluation_key, pruning_key, training_key
from jaxticket.lab.stages.find_or_run import Stages
from jaxticket.lab.stages.references import MaskRef, Stage, WeightsRef
from jaxticket.lab.stages.rerun import Rerun
from jaxticket.lab.trained import WEIGHTS, Trained
from jaxticket.lab.training_cost import NO_COST, cost_of
from jaxticket.training.aids import split_off
from jaxticket.training.interrupts import Interrupts
from jaxticket.training.mask_updates import GradualPruning, MaskUpdate
from jaxticket.training.monitors import Monitor
from jaxticket.training.options import TrainOptions
from jaxticket.training.progress import Progress, Quiet
from jaxticket.training.run_spec import RunSpec
from jaxticket.training.state import Keys, Weights

_Result = TypeVar("_Result")


class Lab(Bench):
    """What an experiment can do with one data set, one network and one way of training; each result is a stage.

    Args:
        options: the experiment's options; `setting` is the network, the data and the training that follow from them.
        folder: where `stages` are kept; experiments that share it share their stages.
        recorder: takes the rows and findings; None in a plan.
        execute: False makes a plan: keys are computed and looked up, `reach` counts what is left, nothing is run.
        progress: shows what happens.
        interrupts: asked whether to stop.
        rerun: which finished stages are done again.

    Attributes:
        variants: the labs that `variant` has built of this one.
    """

    def __init__(
        self,
        options: ExperimentOptions,
        folder: Path,
        *,
        recorder: Recorder | None = None,
        execute: bool = True,
        progress: Progress | None = None,
        interrupts: Interrupts | None = None,
        rerun: Rerun | None = None,
    ) -> None:
        self.progress = progress or Quiet()
        self.interrupts = interrupts or Interrupts()
        note, check = self.progress.note, self.interrupts.check
        self.stages = Stages(folder, execute=execute, note=note, check=check, rerun=rerun)
        self.recorder = recorder or Recorder(self.progress)
        self._use(Setting(options, planning=not execute))

    def _use(self, setting: Setting) -> None:
        self.setting, self.options = setting, setting.options
        self.reach = Reach(setting)
        self._given_init: WeightsRef | None = None
        self.variants: dict[str, Lab] = {}

    def for_each_seed(self, function: Callable[[int], None]) -> None:
        """Calls `function` with every seed: one after the other, or in lockstep where seeds are trained side by side.

        In lockstep `train` returns when all seeds have come to one, or to their end. Results are equal to float
        tolerance.
        """
        calls = [functools.partial(function, seed) for seed in self.options.all_seeds]
        if self._side_by_side(calls):
            with self.recorder.sorted_by(self.options.all_seeds):
                in_lockstep(calls)
        else:
            for call in calls:
                call()

    def train_batch(self, runs: Sequence[Callable[[], _Result]]) -> list[_Result]:
        """The results of calls of `train`, or of `evaluate`, of this lab or of variants: side by side where that pays.

        Which way is as for seeds; within `for_each_seed` the runs of all seeds are trained together.
        """
        return in_lockstep(runs) if self._side_by_side(runs) else [run() for run in runs]

    def _side_by_side(self, runs: Sequence[Any]) -> bool:
        return self.stages.execute and len(runs) > 1 and replication_of(self.setting) != "serial"

    def init(self, seed: int, stream: str = "init") -> WeightsRef:
        """Initial weights, those of `config.init` where it names some; another `stream` of the same seed is a draw.

        Raises:
            ConfigError: `config.init` names nothing that has weights.
            TicketError: a file of it is damaged.
            MaskError: it belongs to another network.
        """
        if stream == "init" and self.options.init:
            self._given_init = self._given_init or given_init(self)
            return self._given_init

        def compute() -> Derived:
            model, shape = self.setting.model, self.setting.image_shape
            return Derived(Weights(*models.init_variables(model, seed_key(seed, stream), shape)))

        config = {**self.setting.network_key(), "seed": seed, "stream": stream}
        return WeightsRef(self.derive("init", compute, config=config, label=f"{stream}-{seed}"), "weights")

    def reinit(self, seed: int, level: int) -> WeightsRef:
        """Other initial weights, a fresh draw for each level, for the control of its ticket."""
        return self.init(seed, stream=f"reinit {level}")

    def full_mask(self, prunable: PruneOptions | tuple[tuple[str, bool], ...] = ()) -> MaskRef:
        """The mask that keeps everything that options, or rules, let be pruned; without rules the default ones do.

        Options whose `ratio_of` is `channels` can remove all that a channel ticket can.
        """
        rules = prunable.prunable if isinstance(prunable, PruneOptions) else prunable
        if isinstance(prunable, PruneOptions) and prunable.ratio_of == "channels":
            return all_channels(self, "config.prune.ratio_of='channels'", "config.prune.ratio_of='weights'")

        def compute() -> Derived:
            return Derived(mask=masks.full_mask(self.setting.shapes.params, rules or masks.DEFAULT_RULES))

        config = {**self.setting.network_key(), "rules": [list(rule) for rule in rules]}
        mask = MaskRef(self.derive("mask", compute, config=config, label="full mask"))
        if not self.stages.execute:
            self.reach.begin(mask.key, rules)
        return mask

    def train(
        self,
        start: WeightsRef,
        mask: MaskRef,
        *,
        seed: int,
        label: str,
        start_step: int = 0,
        snapshot_step: int = 0,
        save_epochs: tuple[int, ...] = (),
        mask_update: MaskUpdate | None = None,
        monitor: Monitor | None = None,
        train: TrainOptions | None = None,
        noise: str = "",
    ) -> Trained:
        """A network trained from `start` under `mask`, evaluated on all splits; where no step is left, evaluated alone.

        Within `for_each_seed` it may be trained side by side with those of the other seeds. Of the aids of the options
        those that act in the network follow the step, and learned scales are for runs from step 0 on.

        Args:
            start: the starting weights; pruned ones are set to zero.
            mask: what is kept.
            seed: of the order of the data and the augmentation.
            label: what the run is called; not part of its key.
            start_step: where the schedule and the data order begin.
            snapshot_step: keep the weights after this step too; 0 keeps none.
            save_epochs: keep the weights after these epochs too, and the best ones until then, besides those of
                `train.save_epochs`.
            mask_update: how the mask changes on the way; the last one is the stage's mask.
            monitor: what looks at the network on the way, may have weights kept, and may end the training.
            train: how, where that is not `config.train`.
            noise: names another draw of the order and the augmentation of the same seed.
        """
        aids = self.options.aids
        train = aids.training(train or self.options.train)
        duration = self.setting.duration_of(train)
        if start_step == duration.total_steps:
            return Trained.without_training(self._evaluation(start, mask, train, label=label), start)
        save_epochs = tuple(sorted({*save_epochs, *train.save_epochs}))
        train = train.computed.without_metrics  # epochs of saves are in the key once, whoever asked for them
        self.setting.aid_of(train)  # refused in a plan too
        if isinstance(mask_update, GradualPruning) and not self.stages.execute:
            self.reach.prune(mask.key, PruneOptions(scope=mask_update.scope), sparsity=mask_update.final)
        given = start
        if aids.rescale_init and not start_step:
            start = scaled_start(self, start, mask, train, seed=seed)
        steps = duration.total_steps - start_step
        run: dict[str, Any] = {"start_step": start_step, "snapshot_step": snapshot_step, "save_epochs": save_epochs}
        run |= {"mask_update": mask_update, "monitor": monitor}
        config = training_key(self.setting, train, seed, noise, run)
        inputs = {"start": start.key, "mask": mask.key}
        kept = 2 + bool(snapshot_step) + 2 * len(save_epochs)  # the last and the best are
        cost = NO_COST if self.stages.execute else cost_of(self.setting, train, steps, kept)
        stage = self.stages.find("train", 2, config, inputs, label=label, work=f"{steps:,} steps", cost=cost)
        if self.stages.execute and not stage.content:
            keys = Keys(order=seed_key(seed, f"order{noise}"), augment=seed_key(seed, f"augment{noise}"))
            spec = RunSpec(start.load(), mask.load(), keys, label=label, **run)
            (stage,) = submit([TrainRequest(self, stage, train, spec)])
        return Trained(stage, WEIGHTS[train.select_checkpoint], None if start is given else start)

    def evaluate(
        self, weights: WeightsRef, mask: MaskRef, *, label: str = "evaluation", train: TrainOptions | None = None
    ) -> Mapping[str, Any]:
        """The scores of stored weights under a mask; nothing is trained, and running statistics are as they are stored.

        Within `for_each_seed` the seeds are evaluated side by side where they are trained so. `label` is not part of
        the key; of `train`, where it is not `config.train`, only batch size, dtype, loss and score count.

        Returns:
            `loss`, `accuracy`, `accuracy_top5` and `accuracy_balanced` of both splits, such as `val_loss`, None where
            a split is empty; empty in a plan.
        """
        return self._evaluation(weights, mask, (train or self.options.train).without_metrics, label=label).content

    def _evaluation(self, weights: WeightsRef, mask: MaskRef, train: TrainOptions, *, label: str) -> Stage:
        aids = self.options.aids
        train = aids.training(train).computed
        train = train if train.trains else train.evaluated  # nothing is compiled for that
        config = evaluation_key(self.setting, train)
        inputs = {"weights": weights.key, "mask": mask.key}
        stage = self.stages.find("evaluate", 1, config, inputs, label=label)
        if self.stages.execute and not stage.content:
            lab = self
            if aids.stays and aids.ghost_skips and split_off(weights.load())[1] is None:
                lab = self.variant(aids=AidOptions())  # they were not trained with ghost skips, and have none
            (stage,) = submit([EvaluateRequest(lab, stage, train, weights, mask)])
        return stage

    def prune(
        self,
        weights: WeightsRef,
        mask: MaskRef,
        how: PruneOptions,
        *,
        seed: int,
        sparsity: float | None = None,
        level: int = 1,
    ) -> MaskRef:
        """`mask` less what `how` ranks lowest by `weights`: its rate of the survivors, or down to a sparsity.

        With `ratio_of='channels'` both are shares of all channels, and `level`, the round, multiplies the rate; those
        that are removed have scales of zero, and are removed again.
        """
        if how.ratio_of == "channels":
            ratio = float(geometric(how.rate)(level)) if sparsity is None else sparsity
            return draw_channels(self, weights, self.full_mask(how), ratio, min_channels=1, before=mask)
        inputs = {"weights": weights, "mask": mask}
        if "initial" in how.row.needs:
            inputs["initial"] = self.init(seed)
        # The mask's own key makes every round a fresh draw.
        stream = f"prune {mask.key}" if "key" in how.row.needs else "score"

        def compute(weights: Weights, mask: Mask, initial: Weights | None = None) -> Derived:
            key, note = seed_key(seed, stream), self.stages.note
            new = prune_by_criterion(self.setting, weights, mask, how, key, initial, sparsity=sparsity, note=note)
            if empty := empty_layers(new):
                note(f"nothing is left of {', '.join(empty)}; see config.prune.max_layer_sparsity")
            return Derived(mask=new)

        config = pruning_key(self.setting, how, seed=seed, sparsity=sparsity)
        label = f"{how.criterion}, seed {seed}"
        new = MaskRef(self.derive("prune", compute, inputs, config=config, label=label))
        if not self.stages.execute:
            self.reach.prune(mask.key, how, sparsity=sparsity, new=new.key)
        return new

    def variant(self, **parts: Any) -> "Lab":
        """A lab whose options differ in some parts, such as `model=`, with the same stages, record and progress.

        The same options give the same lab, so that its compiled steps are shared.
        """
        options = dataclasses.replace(self.options, **parts)
        key = digest(chosen(options), 12)
        if key not in self.variants:
            lab = self.variants[key] = copy.copy(self)
            lab._use(Setting(options, planning=not self.stages.execute))
            if options.data == self.options.data:
                lab.setting.share_data(self.setting)
        return self.variants[key]

    def train_row(
        self,
        branch: str,
        level: int,
        seed: int,
        start: WeightsRef,
        mask: MaskRef,
        *,
        label: str = "",
        pruned: WeightsRef | None = None,
        case: Mapping[str, Any] | None = None,
        ticket: bool = True,
        facts: Mapping[str, Any] | None = None,
        **how: Any,
    ) -> Trained:
        """A network that is trained, by `train`, and becomes a row, by `record`, with the mask that it ends with.

        `label` is `<branch>-<level>-<seed>` where none is given; `how` are further arguments of `train`.
        """
        label = label or f"{branch}-{level}-{seed}"
        trained = self.train(start, mask, seed=seed, label=label, **how)
        about: dict[str, Any] = {"train": how.get("train"), "case": case, "ticket": ticket, "facts": facts}
        final = trained.mask if how.get("mask_update") else mask
        self.record(branch, level, seed, trained, final, start=start, pruned=pruned, **about)
        return trained

    def record(
        self,
        branch: str,
        level: int,
        seed: int,
        trained: Trained,
        mask: MaskRef,
        *,
        start: WeightsRef,
        pruned: WeightsRef | None = None,
        train: TrainOptions | None = None,
        case: Mapping[str, Any] | None = None,
        ticket: bool = True,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Makes a trained network a row of the summary and, where it is sparse, a ticket to take away.

        Args are those of `RecordedRun`, but for these:
            pruned: the weights that pruning made the mask of, or else `start`: the row has their accuracies under the
                mask, before any training. None for a network that was not pruned before it was trained.
            train: how it was trained, where that is not by `config.train`.
            facts: what else the row says of the network, JSON-ready.
        """
        train, scores, measured = train or self.options.train, {}, {}
        if pruned is not None:
            scores = self.evaluate(pruned, mask, label=f"{branch}-{level}-{seed} pruned", train=train)
        of = self.setting, branch, level, seed, trained, mask, trained.start or start
        if train.metrics:
            measured = self._evaluation(trained.reported(train), mask, train, label=f"{branch}-{level}-{seed}").content
        self.recorder.add(RecordedRun(*of, scores, case or {}, facts or {}, ticket, measured))
