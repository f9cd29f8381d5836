"""The lab: what an experiment can do, every expensive act of it a stage that is done once and found again."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jax

from jaxticket import analysis, models, storage
from jaxticket.core import masks
from jaxticket.core.errors import ConfigError
from jaxticket.core.keys import named_key
from jaxticket.core.options import chosen, digest
from jaxticket.core.scopes import empty_layers
from jaxticket.lab.aid_options import AidOptions
from jaxticket.lab.as_function import whole_network
from jaxticket.lab.evaluation_job import EvaluationJob
from jaxticket.lab.given import WHAT, given_weights, named_errors, read_given
from jaxticket.lab.lockstep import ask, in_lockstep
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.prune_options import DATA_CRITERIA, PruneOptions
from jaxticket.lab.reach import Reach
from jaxticket.lab.rescaling import scaled_start
from jaxticket.lab.scoring import pruned
from jaxticket.lab.setting import Setting
from jaxticket.lab.side_by_side import choose_replication, do_questions, pass_on
from jaxticket.lab.stages.memo import Cache
from jaxticket.lab.stages.own_sources import own_sources
from jaxticket.lab.stages.references import MaskRef, Stage, WeightsRef, write_weights
from jaxticket.lab.stages.rerun import Rerun
from jaxticket.lab.trained import WEIGHTS, Trained
from jaxticket.lab.training_cost import NO_COST, PASSES, TrainingCost
from jaxticket.lab.training_job import TrainingJob
from jaxticket.structure.macs import macs
from jaxticket.ticket import load_ticket
from jaxticket.training.aids import split_off
from jaxticket.training.interrupts import Interrupts
from jaxticket.training.mask_updates import GradualPruning, MaskUpdate
from jaxticket.training.monitors import Monitor
from jaxticket.training.options import TrainOptions
from jaxticket.training.progress import Progress, Quiet
from jaxticket.training.state import Weights

if TYPE_CHECKING:
    from jaxticket.lab.recorder import Record

_Result = TypeVar("_Result")


class Lab(Setting):
    """The stages of an experiment over one data set, one network and one way of training.

    Args:
        options: the experiment's options.
        folder: where stages are kept; experiments that share it share their stages.
        record: takes the rows; None in a plan.
        execute: False makes a plan: keys are computed and looked up, nothing is run.
        progress: told what happens.
        interrupts: asked whether to stop.
        rerun: which finished stages are done again.

    Attributes:
        reach: what is left after each pruning of a plan.
    """

    def __init__(
        self,
        options: ExperimentOptions,
        folder: Path,
        *,
        record: "Record | None" = None,
        execute: bool = True,
        progress: Progress | None = None,
        interrupts: Interrupts | None = None,
        rerun: Rerun | None = None,
    ) -> None:
        super().__init__(options, planning=not execute)
        self.progress = progress or Quiet()
        self.interrupts = interrupts or Interrupts()
        note, check = self.progress.note, self.interrupts.check
        self.cache = Cache(folder, execute=execute, note=note, check=check, rerun=rerun)
        self._record = record
        self.reach = Reach(self)
        self._variants: dict[str, Lab] = {}

    @functools.cached_property
    def replication(self) -> str:
        """How the seeds are trained here: `serial`, `vmap` or `devices`."""
        return choose_replication(self.options.seed_parallelism, self.shapes.params, self.options.train.batch_size)

    def for_each_seed(self, function: Callable[[int], None]) -> None:
        """Calls `function` with every seed: one after the other, or in lockstep where seeds are trained side by side.

        In lockstep `train` returns when all seeds have come to one, or to their end. Stages are the same either way,
        and equal to float tolerance.
        """
        calls = [functools.partial(function, seed) for seed in self.options.all_seeds]
        if self.cache.execute and len(calls) > 1 and self.replication != "serial":
            with self._record.sorted_by(self.options.all_seeds) if self._record else contextlib.nullcontext():
                in_lockstep(calls, answer=do_questions)
        else:
            for call in calls:
                call()

    def train_batch(self, runs: Sequence[Callable[[], _Result]]) -> list[_Result]:
        """The results of calls of `train`, or of `evaluate`, of this lab or of variants: side by side where that pays.

        Which way is as for seeds; within `for_each_seed` the runs of all seeds are trained together.
        """
        found: dict[int, _Result] = {}

        def run(number: int) -> None:
            found[number] = runs[number]()

        calls = [functools.partial(run, number) for number in range(len(runs))]
        if self.cache.execute and len(calls) > 1 and self.replication != "serial":
            in_lockstep(calls, answer=pass_on)
        else:
            for call in calls:
                call()
        return [found[number] for number in range(len(runs))]

    def init(self, seed: int, stream: str = "init") -> WeightsRef:
        """Initial weights, those of `config.init` where it names some; another `stream` of the same seed is a draw.

        Raises:
            ConfigError: `config.init` names nothing that has weights.
            TicketError: a file of it is damaged.
            MaskError: it belongs to another network.
        """
        if stream == "init" and self.options.init:
            return self._given_init

        def run(folder: Path) -> tuple[list[str], dict[str, Any]]:
            self.interrupts.check()
            variables = models.init_variables(self.model, _key(seed, stream), self.image_shape)
            write_weights(folder / "weights.safetensors", Weights(*variables))
            return ["weights.safetensors"], {}

        config = {**self.network_key(), "seed": seed, "stream": stream}
        stage = self.cache.stage("init", 1, config, {}, run, label=f"{stream}-{seed}")
        return WeightsRef(stage, "weights")

    @functools.cached_property
    def _given_init(self) -> WeightsRef:
        path = self.options.init
        given = read_given(self, path, key="init")
        if given.weights is None:
            raise ConfigError(f"config.init={path!r}: has a mask and no weights; must be {WHAT}")
        if not given.whole:
            self.remark(f"config.init={path!r}: the weights that its mask removed are not in it; they are 0")
        return given_weights(self, given.weights, label="given weights")

    def reinit(self, seed: int, level: int) -> WeightsRef:
        """Other initial weights for the control of a level's ticket: a fresh draw for each level."""
        return self.init(seed, stream=f"reinit {level}")

    def full_mask(self, rules: tuple[tuple[str, bool], ...] = ()) -> MaskRef:
        """The mask that keeps everything prunable by `rules` (empty: the default ones)."""

        def run(folder: Path) -> tuple[list[str], dict[str, Any]]:
            return self.store_mask(folder, masks.full_mask(self.shapes.params, rules or masks.DEFAULT_RULES))

        config = {**self.network_key(), "rules": [list(rule) for rule in rules]}
        mask = MaskRef(self.cache.stage("mask", 1, config, {}, run, label="full mask"))
        if not self.cache.execute:
            self.reach.begin(mask.key, rules)
        return mask

    def ticket(self, folder: Path, *, key: str = "ticket") -> tuple[WeightsRef, MaskRef]:
        """The weights and the mask of a saved ticket; `key` is that of the configuration that named the folder.

        Raises:
            TicketError: the folder holds no whole ticket.
            MaskError: the ticket belongs to another network.
        """
        with named_errors(self, str(folder), key=key):
            ticket = load_ticket(folder)
        self.check_same_network(ticket.params, folder, key=key)

        def run(stage_folder: Path) -> tuple[list[str], dict[str, Any]]:
            write_weights(stage_folder / "weights.safetensors", Weights(ticket.params, ticket.model_state))
            files, content = self.store_mask(stage_folder, ticket.mask)
            return ["weights.safetensors", *files], content

        checksum = storage.checksum(folder / "ticket.safetensors")
        stage = self.cache.stage("ticket", 1, {"checksum": checksum}, {}, run, label=folder.name)
        return WeightsRef(stage, "weights"), MaskRef(stage)

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

        Within `for_each_seed` it may be trained side by side with those of the other seeds. The aids of the options
        help it; those that act in the network follow the step, and learned scales are for runs from step 0 on.

        Args:
            start: the starting weights; pruned ones are set to zero.
            mask: what is kept.
            seed: of the order of the data and the augmentation.
            label: what the run is called; not part of its key.
            start_step: where the schedule and the data order begin.
            snapshot_step: keep the weights after this step too; 0 keeps none.
            save_epochs: keep the weights after these epochs too, and the best ones until then, beside those of
                `train.save_epochs`.
            mask_update: how the mask changes on the way; the last one is the stage's mask.
            monitor: what looks at the network on the way, may have weights kept, and may end the training.
            train: how, where that is not `config.train`.
            noise: names another draw of the order and the augmentation of the same seed.
        """
        aids = self.options.aids
        train = aids.training(train or self.options.train)
        duration = self.duration_of(train)
        if start_step == duration.total_steps:
            return Trained.without_training(self._evaluation(start, mask, train, label=label), start)
        save_epochs = tuple(sorted({*save_epochs, *train.save_epochs}))
        train = train.computed  # epochs of saves are in the key once, whoever asked for them
        self.aid_of(train)  # refused in a plan too
        if isinstance(mask_update, GradualPruning) and not self.cache.execute:
            how = PruneOptions(scope=mask_update.scope)
            self.reach.prune(mask.key, how, sparsity=mask_update.final)
        given = start
        if aids.rescale_init and not start_step:
            start = scaled_start(self, start, mask, train, seed=seed)
        steps = duration.total_steps - start_step
        work = f"{steps:,} steps"
        config = {
            **self.network_key(),
            "data": self.data_key(),
            "train": chosen(train),
            "seed": seed,
            "start_step": start_step,
            "snapshot_step": snapshot_step,
        }
        if noise:
            config["noise"] = noise
        if mask_update:
            config["mask_update"] = _named(mask_update)
        if save_epochs:
            config["save_epochs"] = list(save_epochs)
        if aids.key():
            config["aids"] = aids.key()
        if monitor:
            config["monitor"] = _named(monitor)
        inputs = {"start": start.key, "mask": mask.key}
        kept = 2 + bool(snapshot_step) + 2 * len(save_epochs)  # the last and the best are
        cost = NO_COST if self.cache.execute else self._cost(train, steps, kept)
        stage = self.cache.find("train", 2, config, inputs, label=label, work=work, cost=cost)
        if self.cache.execute and not stage.content:
            job = TrainingJob(
                self,
                stage,
                train,
                start,
                mask,
                seed=seed,
                noise=noise,
                start_step=start_step,
                snapshot_step=snapshot_step,
                save_epochs=save_epochs,
                mask_update=mask_update,
                monitor=monitor,
            )
            (stage,) = ask([job], alone=do_questions)
        return Trained(stage, WEIGHTS[train.select_checkpoint], None if start is given else start)

    def evaluate(
        self, weights: WeightsRef, mask: MaskRef, *, label: str = "evaluation", train: TrainOptions | None = None
    ) -> Mapping[str, Any]:
        """The scores of stored weights under a mask; nothing is trained, and running statistics are as they are stored.

        Within `for_each_seed` the seeds are evaluated side by side where they are trained so.

        Args:
            weights: of the network; where the aids of the options stay, with theirs if it has them.
            mask: what is kept.
            label: what the evaluation is called; not part of its key.
            train: how it is trained, where that is not by `config.train`: what was compiled for that is used, and only
                its batch size and dtype count.

        Returns:
            `loss`, `accuracy`, `accuracy_top5` and `accuracy_balanced` of both splits, such as `val_loss`, None where
            a split is empty; empty in a plan.
        """
        return self._evaluation(weights, mask, train or self.options.train, label=label).content

    def _evaluation(self, weights: WeightsRef, mask: MaskRef, train: TrainOptions, *, label: str) -> Stage:
        aids = self.options.aids
        train = aids.training(train).computed
        if not train.trains:  # nothing is compiled for that
            train = TrainOptions(batch_size=train.batch_size, compute_dtype=train.compute_dtype)
        config = {
            **self.network_key(),
            "data": self.data_key(),
            "batch_size": train.batch_size,
            "compute_dtype": train.compute_dtype,
        }
        if aids.stays:
            config["aids"] = aids.key()
        inputs = {"weights": weights.key, "mask": mask.key}
        stage = self.cache.find("evaluate", 1, config, inputs, label=label)
        if self.cache.execute and not stage.content:
            lab = self
            if aids.stays and aids.ghost_skips and split_off(weights.load())[1] is None:
                lab = self.variant(aids=AidOptions())  # they were not trained with ghost skips, and have none
            (stage,) = ask([EvaluationJob(lab, stage, train, weights, mask)], alone=do_questions)
        return stage

    def prune(
        self, weights: WeightsRef, mask: MaskRef, how: PruneOptions, *, seed: int, sparsity: float | None = None
    ) -> MaskRef:
        """`mask` less what `how` ranks lowest by `weights`: its rate of the survivors, or down to a sparsity."""

        def run(folder: Path) -> tuple[list[str], dict[str, Any]]:
            self.interrupts.check()
            # The mask's own key makes every round a fresh draw.
            stream = f"prune {mask.key}" if how.criterion == "random" else "score"
            new = pruned(
                self, weights.load(), mask.load(), how, _key(seed, stream), sparsity=sparsity, note=self.progress.note
            )
            self._warn_of_empty_layers(new)
            return self.store_mask(folder, new)

        # The rules made the mask; they do not act a second time.
        config: dict[str, Any] = {"prune": chosen(dataclasses.replace(how, rules=()))}
        if how.criterion in ("random", *DATA_CRITERIA):
            config["seed"] = seed
        if how.criterion in DATA_CRITERIA:
            config["data"] = self.data_key()
        if sparsity is not None:
            config["sparsity"] = sparsity
        inputs = {"weights": weights.key, "mask": mask.key}
        new = MaskRef(self.cache.stage("prune", 1, config, inputs, run, label=f"{how.criterion}, seed {seed}"))
        if not self.cache.execute:
            self.reach.prune(mask.key, how, sparsity=sparsity, new=new.key)
        return new

    def measure(
        self,
        kind: str,
        compute: Callable[..., dict[str, Any]],
        *,
        config: Mapping[str, Any] | None = None,
        **inputs: WeightsRef | MaskRef,
    ) -> Mapping[str, Any]:
        """What `compute` finds in stored weights and masks, JSON-ready; empty in a plan.

        Args:
            kind: what is measured.
            compute: takes what the inputs hold, by their names.
            config: what else the result depends on.
            inputs: weights and masks.
        """

        def run(folder: Path) -> tuple[list[str], dict[str, Any]]:
            self.interrupts.check()
            return [], compute(**{name: stored.load() for name, stored in inputs.items()})

        keys = {name: stored.key for name, stored in inputs.items()}
        source = own_sources(compute)
        config = {**(config or {}), **({"source": source} if source else {})}
        return self.cache.stage(kind, 1, config, keys, run, label=kind).content

    @property
    def variants(self) -> tuple["Lab", ...]:
        """The labs that `variant` has made of this one."""
        return tuple(self._variants.values())

    def variant(self, **parts: Any) -> "Lab":
        """A lab whose options differ in some parts, such as `model=`, with the same stages, record and progress.

        The same options give the same lab, so that its compiled steps are shared.
        """
        options = dataclasses.replace(self.options, **parts)
        key = digest(chosen(options), 12)
        if key not in self._variants:
            lab = Lab(
                options,
                self.cache.folder,
                record=self._record,
                execute=self.cache.execute,
                progress=self.progress,
                interrupts=self.interrupts,
            )
            lab.cache = self.cache
            if options.data == self.options.data:
                lab.share_data(self)
            self._variants[key] = lab
        return self._variants[key]

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

        Args:
            branch: how its mask and its weights came about.
            level: the round, or the how-manieth sparsity.
            seed: the replicate.
            trained: the network.
            mask: what was kept.
            start: the weights that were given to training.
            pruned: the weights that pruning made the mask of, or else `start`: the row has their accuracies under the
                mask, before any training. None for a network that was not pruned before it was trained.
            train: how it was trained, where that is not by `config.train`.
            case: what else tells it from other rows of its branch, such as `{"lr": 0.1}`; part of the row and of the
                ticket's label.
            ticket: False for networks nobody would take away, such as controls.
            facts: what else the row says of the network, JSON-ready.
        """
        scores: Mapping[str, Any] = {}
        if pruned is not None:
            scores = self.evaluate(pruned, mask, label=f"{branch}-{level}-{seed} pruned", train=train)
        if self._record is not None:
            self._record.add(
                self,
                branch,
                level,
                seed,
                trained,
                mask,
                trained.start or start,
                pruned=scores,
                case=case or {},
                ticket=ticket,
                facts=facts or {},
            )

    def note(self, section: str, entry: Any) -> None:
        """Adds an entry to a list of the summary, such as `correlation`."""
        if self._record is not None:
            self._record.note(section, entry)

    def remark(self, text: str) -> None:
        """Says what changes how rows must be read, and keeps it with them: `summary["notes"]`."""
        self.progress.note(text)
        if self._record is not None:
            self._record.remark(text)

    def conclude(self, section: str, conclusion: Callable[[list[dict[str, Any]]], _Result]) -> _Result | None:
        """Adds to the summary what follows from all its rows, and returns it; does nothing in a plan."""
        return None if self._record is None else self._record.conclude(section, conclusion)

    def compare(
        self,
        *pairs: analysis.Pair,
        of: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = list,
        confidence: float = 0.95,
    ) -> list[dict[str, Any]]:
        """Adds to the summary, as `comparisons`, how the treatments differ from their controls; nothing in a plan.

        All comparisons of an experiment are one family and are corrected for each other (see
        `jaxticket.analysis.compare`), so an experiment calls this once, with all its pairs.

        Args:
            pairs: what is compared with what; those that were not trained are left out.
            of: makes from the rows of the summary those that are compared.
            confidence: of each interval, and of all decisions together.

        Returns:
            What was added, for conclusions that rest on it; empty in a plan.
        """
        found = self.conclude(
            "comparisons",
            lambda rows: [dataclasses.asdict(one) for one in analysis.compare(of(rows), pairs, confidence=confidence)],
        )
        return found or []

    def save_array(self, name: str, array: Any) -> None:
        """Stores an array in the experiment's own folder, as `<name>.npy`; does nothing in a plan."""
        if self._record is not None:
            self._record.save_array(name, array)

    def _cost(self, train: TrainOptions, steps: int, kept: int) -> TrainingCost:
        """Of a training with `kept` files of weights."""
        arrays = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.shapes))
        # A mask has a byte for each weight; a ticket is a mask and weights.
        disk = (kept + 1) * arrays + 2 * self.parameters
        return TrainingCost(1, steps, PASSES * self.macs * train.batch_size * steps, disk)

    @functools.cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one image in the dense network; nothing is computed."""
        if isinstance(self._lender, Lab) and self._lender.options.model == self.options.model:
            return self._lender.macs
        return macs(*whole_network(self, self.shapes))

    def _warn_of_empty_layers(self, mask: dict[str, Any]) -> None:
        empty = empty_layers(mask)
        if empty:
            self.progress.note(f"nothing is left of {', '.join(empty)}; see config.prune.max_layer_sparsity")

    def store_mask(self, folder: Path, mask: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
        """Writes a mask into a stage's folder; the names of the files, and the mask in numbers."""
        storage.save_arrays(folder / "mask.safetensors", jax.device_get(mask))
        return ["mask.safetensors"], {"mask": mask_statistics(self.shapes.params, mask)}


def mask_statistics(params: Any, mask: dict[str, Any]) -> dict[str, Any]:
    """A mask in numbers, JSON-ready."""
    kept, total = masks.count(mask)
    return {
        "kept": kept,
        "total": total,
        "sparsity": masks.sparsity(mask),
        "sparsity_total": masks.sparsity_total(params, mask),
        "layer_sparsity": masks.layer_sparsity(mask),
    }


def _named(part: Any) -> dict[str, Any]:
    """A dataclass in a key: its name, its fields and, where it is not the package's, its sources."""
    source = own_sources(type(part))
    return {type(part).__name__: dataclasses.asdict(part), **({"source": source} if source else {})}


def _key(seed: int, stream: str) -> jax.Array:
    """The key of one of a seed's independent random streams."""
    return named_key(jax.random.key(seed), stream)
