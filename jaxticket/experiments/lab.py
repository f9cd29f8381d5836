"""The lab: what an experiment can do, every expensive act of it a stage that is done once and found again."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from jaxticket import models, storage
from jaxticket.core import masks
from jaxticket.core.keys import named_key
from jaxticket.core.options import chosen
from jaxticket.core.scopes import empty_layers
from jaxticket.experiments.options import ExperimentOptions
from jaxticket.experiments.prune_options import DATA_CRITERIA, PruneOptions
from jaxticket.experiments.scoring import pruned
from jaxticket.experiments.setting import Setting
from jaxticket.experiments.stages import Cache, MaskRef, Stage, WeightsRef, write_weights
from jaxticket.ticket import load_ticket
from jaxticket.training.interrupts import Interrupts
from jaxticket.training.loop import discard_checkpoints, fit
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.options import TrainOptions
from jaxticket.training.progress import Progress, Quiet
from jaxticket.training.state import Keys, Weights

if TYPE_CHECKING:
    from jaxticket.experiments.record import Record


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished training run.

    Attributes:
        stage: its stage; the content has `history`, `epochs`, `seconds` and, for `last` and `best`, the accuracies.
        select: which weights count, `last` or `best`.
    """

    stage: Stage
    select: str

    @property
    def weights(self) -> WeightsRef:
        """The weights that are reported and pruned."""
        return WeightsRef(self.stage, self.select)

    @property
    def snapshot(self) -> WeightsRef:
        """The weights after the step that was asked for."""
        return WeightsRef(self.stage, "snapshot")

    @property
    def mask(self) -> MaskRef:
        """The mask at the end of a run that changed it."""
        return MaskRef(self.stage)


class Lab(Setting):
    """The stages of an experiment over one data set, one network and one way of training.

    Args:
        options: the experiment's options.
        folder: where stages are kept; experiments that share it share their stages.
        record: takes the rows; None in a plan.
        execute: False makes a plan: keys are computed and looked up, nothing is run.
        progress: told what happens.
        interrupts: asked whether to stop.
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
    ) -> None:
        super().__init__(options)
        self.progress = progress or Quiet()
        self.interrupts = interrupts or Interrupts()
        self.cache = Cache(folder, execute=execute, note=self.progress.note)
        self._record = record

    def init(self, seed: int, stream: str = "init") -> WeightsRef:
        """Initial weights; another `stream` of the same seed is another draw."""

        def run(folder: Path) -> tuple[list[str], dict[str, Any]]:
            self.interrupts.check()
            variables = models.init_variables(self.model, _key(seed, stream), self.image_shape)
            write_weights(folder / "weights.safetensors", Weights(*variables))
            return ["weights.safetensors"], {}

        config = {**self.network_key(), "seed": seed, "stream": stream}
        stage = self.cache.stage("init", 1, config, {}, run, label=f"{stream}-{seed}")
        return WeightsRef(stage, "weights")

    def full_mask(self, rules: tuple[tuple[str, bool], ...] = ()) -> MaskRef:
        """The mask that keeps everything prunable by `rules` (empty: the default ones)."""

        def run(folder: Path) -> tuple[list[str], dict[str, Any]]:
            return self._store_mask(folder, masks.full_mask(self.shapes.params, rules or masks.DEFAULT_RULES))

        config = {**self.network_key(), "rules": [list(rule) for rule in rules]}
        return MaskRef(self.cache.stage("mask", 1, config, {}, run, label="full mask"))

    def ticket(self, folder: Path) -> tuple[WeightsRef, MaskRef]:
        """The weights and the mask of a saved ticket.

        Raises:
            TicketError: the folder holds no whole ticket.
            MaskError: the ticket belongs to another network.
        """
        ticket = load_ticket(folder)
        self.check_same_network(ticket.params, folder)

        def run(stage_folder: Path) -> tuple[list[str], dict[str, Any]]:
            write_weights(stage_folder / "weights.safetensors", Weights(ticket.params, ticket.model_state))
            files, content = self._store_mask(stage_folder, ticket.mask)
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
        mask_update: MaskUpdate | None = None,
        train: TrainOptions | None = None,
    ) -> Trained:
        """A network trained from `start` under `mask`, evaluated on all splits.

        Args:
            start: the starting weights; pruned ones are set to zero.
            mask: what is kept.
            seed: of the order of the data and the augmentation.
            label: what the run is called; not part of its key.
            start_step: where the schedule and the data order begin.
            snapshot_step: keep the weights after this step too; 0 keeps none.
            mask_update: how the mask changes on the way; the last one is the stage's mask.
            train: how, where that is not `config.train`.
        """
        train = train or self.options.train
        work = f"{self.duration_of(train).total_steps - start_step:,} steps"

        def run(folder: Path) -> tuple[list[str], dict[str, Any]]:
            self.interrupts.check()
            files = ["last.safetensors", "best.safetensors"]
            if snapshot_step:
                files.append("snapshot.safetensors")
            trainer, checkpoints = self.trainer_of(train), folder / "checkpoints"
            result = fit(
                trainer,
                start.load(),
                mask.load(),
                Keys(order=_key(seed, "order"), augment=_key(seed, "augment")),
                start_step=start_step,
                snapshot_steps=(snapshot_step,) if snapshot_step else (),
                on_snapshot=lambda _, weights: write_weights(folder / "snapshot.safetensors", weights),
                mask_update=mask_update,
                folder=checkpoints,
                label=label,
                progress=self.progress,
                interrupts=self.interrupts,
            )
            content: dict[str, Any] = {
                "history": result.history,
                "epochs": len(result.history),
                "best_epoch": result.best_epoch,
                "seconds": round(result.seconds, 3),
            }
            last_epoch = result.history[-1]["epoch"]
            on_val = {line["epoch"]: line["val_accuracy"] for line in result.history}
            on_test: dict[int, float | None] = {}
            for name, epoch, weights in (("last", last_epoch, result.last), ("best", result.best_epoch, result.best)):
                write_weights(folder / f"{name}.safetensors", weights)
                if epoch not in on_test:  # the best weights often are the last ones
                    scores = trainer.evaluate(weights, "test")
                    on_test[epoch] = None if scores is None else scores.accuracy
                content |= {f"{name}_val_accuracy": on_val[epoch], f"{name}_test_accuracy": on_test[epoch]}
            if mask_update:
                stored, statistics = self._store_mask(folder, result.mask)
                files, content = [*files, *stored], content | statistics
            discard_checkpoints(checkpoints)
            return files, content

        config = {
            **self.network_key(),
            "data": chosen(self.options.data),
            "train": chosen(train),
            "seed": seed,
            "start_step": start_step,
            "snapshot_step": snapshot_step,
        }
        if mask_update:
            config["mask_update"] = {type(mask_update).__name__: dataclasses.asdict(mask_update)}
        inputs = {"start": start.key, "mask": mask.key}
        stage = self.cache.stage("train", 1, config, inputs, run, label=label, work=work)
        return Trained(stage, {"last": "last", "best_val": "best"}[train.select])

    def prune(
        self, weights: WeightsRef, mask: MaskRef, how: PruneOptions, *, seed: int, sparsity: float | None = None
    ) -> MaskRef:
        """`mask` less what `how` ranks lowest by `weights`: its rate of the survivors, or down to a sparsity."""

        def run(folder: Path) -> tuple[list[str], dict[str, Any]]:
            self.interrupts.check()
            # The mask's own key makes every round a fresh draw.
            stream = f"prune {mask.key}" if how.criterion == "random" else "score"
            new = pruned(self, weights.load(), mask.load(), how, _key(seed, stream), sparsity=sparsity)
            self._warn_of_empty_layers(new)
            return self._store_mask(folder, new)

        # The rules made the mask; they do not act a second time.
        config: dict[str, Any] = {"prune": chosen(dataclasses.replace(how, rules=()))}
        if how.criterion in ("random", *DATA_CRITERIA):
            config["seed"] = seed
        if how.criterion in DATA_CRITERIA:
            config["data"] = chosen(self.options.data)
        if sparsity is not None:
            config["sparsity"] = sparsity
        inputs = {"weights": weights.key, "mask": mask.key}
        return MaskRef(self.cache.stage("prune", 1, config, inputs, run, label=f"{how.criterion}, seed {seed}"))

    def record(self, branch: str, level: int, seed: int, trained: Trained, mask: MaskRef, *, start: WeightsRef) -> None:
        """Makes a trained network a row of the summary and, where it is sparse, a ticket to take away."""
        if self._record is not None:
            self._record.add(self, branch, level, seed, trained, mask, start)

    def _warn_of_empty_layers(self, mask: dict[str, Any]) -> None:
        empty = empty_layers(mask)
        if empty:
            self.progress.note(f"nothing is left of {', '.join(empty)}; see config.prune.max_layer_sparsity")

    def _store_mask(self, folder: Path, mask: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
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


def _key(seed: int, stream: str) -> jax.Array:
    """The key of one of a seed's independent random streams."""
    return named_key(jax.random.key(seed), stream)
