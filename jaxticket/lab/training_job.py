"""Training runs as jobs: those that are alike are trained in lockstep, and each becomes the stage it would be alone."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from jaxticket import storage
from jaxticket.core.keys import named_key
from jaxticket.core.options import digest
from jaxticket.lab.derived import mask_statistics, store_mask
from jaxticket.lab.side_by_side import Job
from jaxticket.lab.stages.references import CHECKPOINTS, MaskRef, Stage, WeightsRef, write_weights
from jaxticket.parallel import Layout
from jaxticket.training.loop import train_runs
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.monitors import Monitor
from jaxticket.training.run_spec import RunResult, RunSpec
from jaxticket.training.scores import Scores, named
from jaxticket.training.state import Keys
from jaxticket.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingJob(Job):
    """A training run to be done; the arguments of `Lab.train`, and the lab and the stage it is for."""

    start: WeightsRef
    mask: MaskRef
    seed: int
    noise: str
    start_step: int
    snapshot_step: int
    save_epochs: tuple[int, ...]
    mask_update: MaskUpdate | None
    monitor: Monitor | None

    @property
    def alike(self) -> tuple[Any, ...]:
        """In what runs that train together are equal."""
        own = (self.start_step, self.snapshot_step, self.save_epochs, self.mask_update, self.monitor)
        return ("train", self.compiled, *own)

    @property
    def may_end_early(self) -> bool:
        """Whether the number of its steps is known only when it has been trained."""
        return bool(self.train.patience) or (self.monitor is not None and self.monitor.may_stop)

    def do(self, jobs: "Sequence[TrainingJob]", layout: Layout) -> list[Stage]:
        """Trains the networks in lockstep."""
        return _train(jobs, layout)


def _train(jobs: Sequence[TrainingJob], layout: Layout) -> list[Stage]:
    one, lab = jobs[0], jobs[0].lab
    trainer = lab.setting.joint_trainer([job.lab.setting for job in jobs], one.train).on(layout)
    lab.interrupts.check()
    lab.stages.begin([job.stage for job in jobs])
    together = "" if len(jobs) == 1 else "-" + digest([job.stage.id for job in jobs], 8)
    results = train_runs(
        trainer,
        [_spec(job) for job in jobs],
        folder=one.stage.folder / f"{CHECKPOINTS}{together}",
        progress=lab.progress,
        interrupts=lab.interrupts,
    )
    on_test = _test_scores(trainer, results)
    stored = [_store(job, result, scores) for job, result, scores in zip(jobs, results, on_test, strict=True)]
    return lab.stages.finish([(job.stage, *result) for job, result in zip(jobs, stored, strict=True)])


def _spec(job: TrainingJob) -> RunSpec:
    key, folder = jax.random.key(job.seed), job.lab.stages.workplace(job.stage)
    return RunSpec(
        job.start.load(),
        job.mask.load(),
        Keys(order=named_key(key, f"order{job.noise}"), augment=named_key(key, f"augment{job.noise}")),
        label=job.stage.label,
        start_step=job.start_step,
        snapshot_step=job.snapshot_step,
        save_epochs=job.save_epochs,
        mask_update=job.mask_update,
        monitor=job.monitor,
        store=lambda name, weights: write_weights(folder / f"{name}.safetensors", weights),
    )


def _test_scores(trainer: Trainer, results: list[RunResult]) -> list[dict[str, Scores | None]]:
    """For every network the test scores of its `last` and `best` weights."""
    stack = trainer.layout.stack
    last = trainer.evaluate_each(stack([result.last for result in results]), "test")
    best = last
    if any(result.best_epoch != result.history[-1]["epoch"] for result in results):
        best = trainer.evaluate_each(stack([result.best for result in results]), "test")
    return [{"last": one, "best": other} for one, other in zip(last, best, strict=True)]


def _store(job: TrainingJob, result: RunResult, on_test: dict[str, Scores | None]) -> tuple[list[str], dict[str, Any]]:
    """Writes the files of a stage; returns their names and its content."""
    folder = job.lab.stages.workplace(job.stage)
    files = ["last.safetensors", "best.safetensors"]
    if job.snapshot_step:
        files.append("snapshot.safetensors")
    content: dict[str, Any] = {
        "history": result.history,
        "epochs": len(result.history),
        "best_epoch": result.best_epoch,
        "seconds": round(result.seconds, 3),
    }
    lines = {line["epoch"]: line for line in result.history}
    ends = (("last", result.history[-1]["epoch"], result.last), ("best", result.best_epoch, result.best))
    for name, epoch, weights in ends:
        write_weights(folder / f"{name}.safetensors", weights)
        scores = on_test[name]
        found = {key: value for key, value in lines[epoch].items() if key.startswith("val_")} | named("test", scores)
        content |= {f"{name}_{key}": value for key, value in found.items()}
    if job.save_epochs:
        per_epoch, first = job.trainer.duration.steps_per_epoch, result.history[0]["epoch"]
        whole = {line["epoch"] for line in result.history if line["step"] == line["epoch"] * per_epoch}
        saved = content["saved_epochs"] = [epoch for epoch in job.save_epochs if epoch in whole]
        files += [f"{name}{epoch}.safetensors" for epoch in saved for name in ("exact", "best")]
        missed = [str(epoch) for epoch in job.save_epochs if epoch >= first and epoch not in whole]
        if missed:
            ended = result.history[-1]["epoch"]
            job.lab.progress.note(f"{job.stage.label} ended in epoch {ended}; nothing is saved of {', '.join(missed)}")
    if job.monitor:
        arrays, content["monitor"] = job.monitor.result(jax.device_get(result.monitor_state), result.measurements)
        storage.save_arrays(folder / "monitor.safetensors", arrays)
        files += ["monitor.safetensors", *sorted(path.name for path in folder.glob("kept_*.safetensors"))]
    if job.mask_update:
        files += store_mask(folder, result.mask)
        content["mask"] = mask_statistics(job.lab.setting.shapes.params, result.mask)
    return files, content
