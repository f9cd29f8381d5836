"""Training runs of several seeds at once, where that pays: in one vmapped program, or each on a device of its own."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax

from jaxticket import storage
from jaxticket.core import paths
from jaxticket.core.errors import ConfigError
from jaxticket.core.keys import named_key
from jaxticket.core.options import digest
from jaxticket.experiments.lockstep import ask
from jaxticket.experiments.stages import CHECKPOINTS, MaskRef, Stage, WeightsRef, write_weights
from jaxticket.parallel import Layout, OnePerDevice, Vmapped, processes
from jaxticket.training.fits import Fit, Start
from jaxticket.training.loop import fit_side_by_side
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.options import TrainOptions
from jaxticket.training.scores import Scores, named
from jaxticket.training.state import Keys, Weights
from jaxticket.training.trainer import Trainer
from jaxticket.training.watches import Watch

if TYPE_CHECKING:
    from jaxticket.experiments.lab import Lab

# Where vmap pays on a CPU (benchmarks/replicates.py). The states of larger networks no longer fit into the caches
# together, and with smaller batches so little is multiplied that more of it at once does not help.
_CPU_PARAMETERS = 100_000
_CPU_BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """A training run to be done; the arguments of `Lab.train`, and the lab and the stage it is for."""

    lab: "Lab"
    stage: Stage
    start: WeightsRef
    mask: MaskRef
    seed: int
    noise: str
    start_step: int
    snapshot_step: int
    save_epochs: tuple[int, ...]
    mask_update: MaskUpdate | None
    watch: Watch | None
    train: TrainOptions

    @property
    def trainer(self) -> Trainer:
        """The compiled step."""
        return self.lab.trainer_of(self.train)

    @property
    def alike(self) -> tuple[Any, ...]:
        """In what runs that train together are equal.

        Of data in memory that is only what the compiled step depends on: how long an epoch is, and what the images go
        through.
        """
        trainer = self.trainer
        network = (digest(self.lab.network_key(), 12), self.lab.options.aids.in_network)
        compiled = id(trainer) if trainer.streams else (network, self.train, trainer.batches)
        return compiled, self.start_step, self.snapshot_step, self.save_epochs, self.mask_update, self.watch

    @property
    def may_end_early(self) -> bool:
        """Whether the number of its steps is known only when it has been trained."""
        return bool(self.train.patience) or (self.watch is not None and self.watch.may_stop)


def way_of(choice: str, params: Any, batch_size: int) -> str:
    """How replicates are trained on this machine: `serial`, `vmap` or `devices`.

    The answer depends on nothing that is measured at run time, so that a run is repeated exactly.

    Args:
        choice: one of those, or `auto`.
        params: the network's parameters, arrays or abstract ones.
        batch_size: images per step.

    Raises:
        ConfigError: `devices` where there is only one, or `vmap`, which takes one, in a run of several processes.
    """
    if processes.several():
        if choice == "vmap":
            raise ConfigError("config.replicates='vmap': takes a single process; use 'auto', 'devices' or 'serial'")
        return "serial" if choice == "serial" else "devices"
    devices = jax.local_devices()
    if choice == "devices" and len(devices) == 1:
        raise ConfigError("config.replicates='devices': found 1 device; use 'auto', 'vmap' or 'serial'")
    if choice != "auto":
        return choice
    on_cpu = devices[0].platform == "cpu"
    if len(devices) > 1 and not on_cpu:
        return "devices"
    leaves = paths.leaves(params).values()
    # A convolution with a kernel of its own for every replicate is a grouped one, which is slow.
    if any(leaf.ndim > 2 for leaf in leaves):
        return "serial"
    pays = sum(leaf.size for leaf in leaves) <= _CPU_PARAMETERS and batch_size >= _CPU_BATCH_SIZE
    return "serial" if on_cpu and not pays else "vmap"


def train_jobs(jobs: Sequence[Job]) -> list[Stage]:
    """Trains what is alike together, and stores every run as the stage it would be alone.

    Returns:
        The finished stages, in the order of `jobs`.

    Raises:
        ConfigError: runs on streamed data were to be trained together.
        TrainingError: a loss is no longer finite.
        InterruptedRun: a stop was asked for; calling again goes on.
    """
    wanted = {job.stage.id: job for job in jobs}
    groups: dict[Any, list[Job]] = {}
    for job in wanted.values():
        groups.setdefault(job.alike, []).append(job)
    done: dict[str, Stage] = {}
    for group in groups.values():
        with group[0].lab.cache.claim([job.stage for job in group]) as by_others:
            done |= by_others
            left = [job for job in group if job.stage.id not in by_others]
            for members, layout in _divided(left):
                done |= {stage.id: stage for stage in _train(members, layout)}
    return [done[job.stage.id] for job in jobs]


def train_questions(questions: Sequence[Sequence[Job]]) -> list[list[Stage]]:
    """`train_jobs` for all the jobs in lists of them, as lists of stages."""
    stages = iter(train_jobs([job for question in questions for job in question]))
    return [[next(stages) for _ in question] for question in questions]


def pass_on(questions: Sequence[Sequence[Job]]) -> list[list[Stage]]:
    """`train_questions`, together with the questions of others where this is itself called in lockstep."""
    stages = iter(ask([job for question in questions for job in question], alone=train_questions))
    return [[next(stages) for _ in question] for question in questions]


def _divided(group: list[Job]) -> Iterator[tuple[list[Job], Layout]]:
    """Those jobs of a group that are trained at the same time, and how."""
    if len(group) < 2:
        if group:
            yield group, _single_layout(group[0])
        return
    lab = group[0].lab
    way, most = lab.way, len(group)
    if way != "serial" and group[0].trainer.streams:
        if lab.options.replicates != "auto":
            raise ConfigError(
                f"config.replicates={way!r}: needs data in memory, and {lab.spec.name} is streamed; use 'auto'"
            )
        way = "serial"
    devices = jax.devices()
    if way == "serial" or group[0].may_end_early:
        most = 1
    elif way == "devices":
        most = len(devices)
    for first in range(0, len(group), most):
        members = group[first : first + most]
        if processes.several() and len(members) < len(devices):  # a process without a replicate would have no part
            yield from (([job], _single_layout(job)) for job in members)
        elif len(members) == 1:
            yield members, _single_layout(members[0])
        else:
            yield members, Vmapped() if way == "vmap" else OnePerDevice.of(devices[: len(members)])


def _single_layout(job: Job) -> Layout:
    return job.lab.layout_of(job.train)


def _train(jobs: list[Job], layout: Layout) -> list[Stage]:
    """Jobs that are alike, as one."""
    one, lab = jobs[0], jobs[0].lab
    trainer = lab.joint_trainer([job.lab for job in jobs], one.train)
    lab.interrupts.check()
    together = "" if len(jobs) == 1 else "-" + digest([job.stage.id for job in jobs], 8)
    fits = fit_side_by_side(
        trainer,
        [_start(job) for job in jobs],
        layout,
        start_step=one.start_step,
        snapshot_steps=(one.snapshot_step,) if one.snapshot_step else (),
        save_epochs=one.save_epochs,
        mask_update=one.mask_update,
        watch=one.watch,
        folder=one.stage.folder / f"{CHECKPOINTS}{together}",
        progress=lab.progress,
        interrupts=lab.interrupts,
    )
    on_test = _test_scores(trainer, fits, layout)
    stored = [_store(job, fit, scores) for job, fit, scores in zip(jobs, fits, on_test, strict=True)]
    return lab.cache.finish([(job.stage, *result) for job, result in zip(jobs, stored, strict=True)])


def _start(job: Job) -> Start:
    key, folder = jax.random.key(job.seed), job.lab.cache.workplace(job.stage)

    def save(epoch: int, weights: Weights, best: Weights) -> None:
        write_weights(folder / f"exact{epoch}.safetensors", weights)
        write_weights(folder / f"best{epoch}.safetensors", best)

    return Start(
        job.start.load(),
        job.mask.load(),
        Keys(order=named_key(key, f"order{job.noise}"), augment=named_key(key, f"augment{job.noise}")),
        on_snapshot=lambda _, weights: write_weights(folder / "snapshot.safetensors", weights),
        on_save=save,
        on_keep=lambda name, weights: write_weights(folder / f"kept_{name}.safetensors", weights),
        label=job.stage.label,
    )


def _test_scores(trainer: Trainer, fits: list[Fit], layout: Layout) -> list[dict[str, Scores | None]]:
    """For every network the test scores of its `last` and `best` weights."""
    last = trainer.evaluate_each(layout.join([fit.last for fit in fits]), "test", len(fits), layout)
    best = last
    if any(fit.best_epoch != fit.history[-1]["epoch"] for fit in fits):
        best = trainer.evaluate_each(layout.join([fit.best for fit in fits]), "test", len(fits), layout)
    return [{"last": one, "best": other} for one, other in zip(last, best, strict=True)]


def _store(job: Job, fit: Fit, on_test: dict[str, Scores | None]) -> tuple[list[str], dict[str, Any]]:
    """Writes the files of a stage; returns their names and its content."""
    folder = job.lab.cache.workplace(job.stage)
    files = ["last.safetensors", "best.safetensors"]
    if job.snapshot_step:
        files.append("snapshot.safetensors")
    content: dict[str, Any] = {
        "history": fit.history,
        "epochs": len(fit.history),
        "best_epoch": fit.best_epoch,
        "seconds": round(fit.seconds, 3),
    }
    lines = {line["epoch"]: line for line in fit.history}
    ends = (("last", fit.history[-1]["epoch"], fit.last), ("best", fit.best_epoch, fit.best))
    for name, epoch, weights in ends:
        write_weights(folder / f"{name}.safetensors", weights)
        scores = on_test[name]
        found = {key: value for key, value in lines[epoch].items() if key.startswith("val_")} | named("test", scores)
        content |= {f"{name}_{key}": value for key, value in found.items()}
    if job.save_epochs:
        per_epoch, first = job.trainer.duration.steps_per_epoch, fit.history[0]["epoch"]
        whole = {line["epoch"] for line in fit.history if line["step"] == line["epoch"] * per_epoch}
        saved = content["saved_epochs"] = [epoch for epoch in job.save_epochs if epoch in whole]
        files += [f"{name}{epoch}.safetensors" for epoch in saved for name in ("exact", "best")]
        missed = [str(epoch) for epoch in job.save_epochs if epoch >= first and epoch not in whole]
        if missed:
            ended = fit.history[-1]["epoch"]
            job.lab.progress.note(f"{job.stage.label} ended in epoch {ended}; nothing is saved of {', '.join(missed)}")
    if fit.watched and job.watch:
        record, looks = fit.watched
        arrays, content["watch"] = job.watch.result(jax.device_get(record), looks)
        storage.save_arrays(folder / "watch.safetensors", arrays)
        files += ["watch.safetensors", *sorted(path.name for path in folder.glob("kept_*.safetensors"))]
    if job.mask_update:
        stored, statistics = job.lab.store_mask(folder, fit.mask)
        return [*files, *stored], content | statistics
    return files, content
