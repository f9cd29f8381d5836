"""Trainings and evaluations as requests, which are done for several networks at once where their keys are equal."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from jaxticket import storage
from jaxticket.core.masks import apply_mask
from jaxticket.core.options import digest
from jaxticket.lab.derived import mask_statistics, store_mask
from jaxticket.lab.seeds import Request
from jaxticket.lab.stages.references import CHECKPOINTS, MaskRef, Stage, WeightsRef, write_weights
from jaxticket.parallel import Layout
from jaxticket.training.loop import train_runs
from jaxticket.training.run_spec import RunResult, RunSpec
from jaxticket.training.scores import Scores, named
from jaxticket.training.state import Weights
from jaxticket.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, eq=False)
class TrainRequest(Request):
    """A training run that becomes a stage.

    Attributes:
        spec: of the run.
    """

    spec: RunSpec

    @property
    def compile_key(self) -> tuple[Any, ...]:
        """Of runs that train together."""
        return ("train", self.program, *self.spec.common)

    @property
    def dynamic_length(self) -> bool:
        """Whether patience or a monitor may end it early."""
        return bool(self.train.patience) or (self.spec.monitor is not None and self.spec.monitor.may_stop)

    def run(self, requests: "Sequence[TrainRequest]", layout: Layout) -> list[Stage]:
        """Trains the networks in lockstep."""
        trainer = self.setting.joint_trainer([request.setting for request in requests], self.train).on(layout)
        self.bench.interrupts.check()
        self.bench.stages.begin([request.stage for request in requests])
        several = "" if len(requests) == 1 else "-" + digest([request.stage.id for request in requests], 8)
        results = train_runs(
            trainer,
            [dataclasses.replace(request.spec, store=request.keep) for request in requests],
            folder=self.stage.folder / f"{CHECKPOINTS}{several}",
            progress=self.bench.progress,
            interrupts=self.bench.interrupts,
        )
        found = zip(requests, results, _test_scores(trainer, results), strict=True)
        done = [(one.stage, *one.store(trainer, result, scores)) for one, result, scores in found]
        return self.bench.stages.finish(done)

    def keep(self, name: str, weights: Weights) -> None:
        """Writes weights of the run into the stage's workplace."""
        write_weights(self.bench.stages.workplace(self.stage) / f"{name}.safetensors", weights)

    def store(
        self, trainer: Trainer, result: RunResult, on_test: dict[str, Scores | None]
    ) -> tuple[list[str], dict[str, Any]]:
        """Writes the files of the stage; returns their names and its content."""
        folder, spec, history = self.bench.stages.workplace(self.stage), self.spec, result.history
        files = ["last.safetensors", "best.safetensors"]
        if spec.snapshot_step:
            files.append("snapshot.safetensors")
        content: dict[str, Any] = {
            "history": history,
            "epochs": len(history),
            "best_epoch": result.best_epoch,
            "seconds": round(result.seconds, 3),
        }
        lines = {line["epoch"]: line for line in history}
        ends = (("last", history[-1]["epoch"], result.last), ("best", result.best_epoch, result.best))
        for name, epoch, weights in ends:
            self.keep(name, weights)
            on_val = {key: value for key, value in lines[epoch].items() if key.startswith("val_")}
            content |= {f"{name}_{key}": value for key, value in (on_val | named("test", on_test[name])).items()}
        if spec.save_epochs:
            per_epoch, ended = trainer.duration.steps_per_epoch, history[-1]["epoch"]
            whole = {line["epoch"] for line in history if line["step"] == line["epoch"] * per_epoch}
            saved = content["saved_epochs"] = [epoch for epoch in spec.save_epochs if epoch in whole]
            files += [f"{name}{epoch}.safetensors" for epoch in saved for name in ("exact", "best")]
            missed = [str(at) for at in spec.save_epochs if at >= history[0]["epoch"] and at not in whole]
            if missed:
                said = f"{spec.label} ended in epoch {ended}; nothing is saved of {', '.join(missed)}"
                self.bench.progress.note(said)
        if spec.monitor:
            state = jax.device_get(result.monitor_state)
            arrays, content["monitor"] = spec.monitor.result(state, result.measurements)
            storage.save_arrays(folder / "monitor.safetensors", arrays)
            files += ["monitor.safetensors", *sorted(path.name for path in folder.glob("kept_*.safetensors"))]
        if spec.mask_update:
            files += store_mask(folder, result.mask)
            content["mask"] = mask_statistics(self.setting.shapes.params, result.mask)
        return files, content


def _test_scores(trainer: Trainer, results: list[RunResult]) -> list[dict[str, Scores | None]]:
    """For every network the test scores of its `last` and `best` weights."""
    stack = trainer.layout.stack
    last = best = trainer.evaluate_each(stack([result.last for result in results]), "test")
    if any(result.best_epoch != result.history[-1]["epoch"] for result in results):
        best = trainer.evaluate_each(stack([result.best for result in results]), "test")
    return [{"last": one, "best": other} for one, other in zip(last, best, strict=True)]


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluateRequest(Request):
    """The scores of stored weights on the validation and the test split.

    Attributes:
        weights: parameters and running statistics, which are used as they are.
        mask: what is kept; the rest is 0.
    """

    weights: WeightsRef
    mask: MaskRef

    @property
    def compile_key(self) -> tuple[Any, ...]:
        """Of networks that are evaluated together."""
        return "evaluate", self.program

    def run(self, requests: "Sequence[EvaluateRequest]", layout: Layout) -> list[Stage]:
        """Evaluates the networks; the content of a stage are the scores by the names that rows give them."""
        self.bench.interrupts.check()
        trainer = self.setting.joint_trainer([request.setting for request in requests], self.train).on(layout)
        for request in requests:
            self.bench.stages.workplace(request.stage)
        networks = layout.stack([request.masked() for request in requests])
        found: list[dict[str, Any]] = [{} for _ in requests]
        for split in ("val", "test"):
            for scores, one in zip(trainer.evaluate_each(networks, split), found, strict=True):
                one |= named(split, scores)
        return self.bench.stages.finish([(one.stage, [], scores) for one, scores in zip(requests, found, strict=True)])

    def masked(self) -> Weights:
        """The weights under the mask."""
        weights = self.weights.load()
        return weights._replace(params=apply_mask(weights.params, self.mask.load()))
