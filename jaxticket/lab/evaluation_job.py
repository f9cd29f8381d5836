"""Evaluations of stored weights under a mask as jobs, done side by side where trainings are."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxticket.core.masks import apply_mask
from jaxticket.lab.side_by_side import Job
from jaxticket.lab.stages.references import MaskRef, Stage, WeightsRef
from jaxticket.parallel import Layout
from jaxticket.training.scores import named
from jaxticket.training.state import Weights


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluationJob(Job):
    """The scores of a network on the validation and the test split, to be found out.

    Attributes:
        weights: its parameters and running statistics, which are used as they are.
        mask: what is kept; the rest is 0.
    """

    weights: WeightsRef
    mask: MaskRef

    @property
    def alike(self) -> tuple[Any, ...]:
        """In what networks that are evaluated together are equal."""
        return "evaluate", self.compiled

    def do(self, jobs: "Sequence[EvaluationJob]", layout: Layout) -> list[Stage]:
        """Evaluates the networks; the content of a stage are the scores by the names that rows give them."""
        self.lab.interrupts.check()
        trainer = self.lab.setting.joint_trainer([job.lab.setting for job in jobs], self.train).on(layout)
        for job in jobs:
            self.lab.stages.workplace(job.stage)
        networks = layout.stack([job.masked() for job in jobs])
        found: list[dict[str, Any]] = [{} for _ in jobs]
        for split in ("val", "test"):
            for scores, one in zip(trainer.evaluate_each(networks, split), found, strict=True):
                one |= named(split, scores)
        return self.lab.stages.finish([(job.stage, [], content) for job, content in zip(jobs, found, strict=True)])

    def masked(self) -> Weights:
        """The weights under the mask."""
        weights = self.weights.load()
        return weights._replace(params=apply_mask(weights.params, self.mask.load()))
