"""Work on several networks at once, where that pays: in one vmapped program, or each on a device of its own."""

import abc
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax

from jaxticket.core import paths
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import digest
from jaxticket.lab.lockstep import ask
from jaxticket.lab.stages.references import Stage
from jaxticket.parallel import Layout, OnePerDevice, Vmapped, processes
from jaxticket.training.options import TrainOptions
from jaxticket.training.trainer import Trainer

if TYPE_CHECKING:
    from jaxticket.lab.lab import Lab

# Where vmap pays on a CPU (benchmarks/replicates.py). The states of larger networks no longer fit into the caches
# together, and with smaller batches so little is multiplied that more of it at once does not help.
_CPU_PARAMETERS = 100_000
_CPU_BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Job(abc.ABC):
    """Work on one network that is to become a stage, and may be done beside that on others.

    Attributes:
        lab: for which.
        stage: for which, not done yet.
        train: how the network is trained, so that its compiled work can be shared.
    """

    lab: "Lab"
    stage: Stage
    train: TrainOptions

    @property
    def trainer(self) -> Trainer:
        """The compiled work."""
        return self.lab.setting.trainer_of(self.train)

    @property
    @abc.abstractmethod
    def alike(self) -> tuple[Any, ...]:
        """In what jobs that are done together are equal."""

    @property
    def may_end_early(self) -> bool:
        """Whether how long it takes is known only when it has been done."""
        return False

    @abc.abstractmethod
    def do(self, jobs: Sequence[Any], layout: Layout) -> list[Stage]:
        """Does this job and all others of `jobs`, which are alike; their finished stages."""

    @property
    def compiled(self) -> Any:
        """What the compiled work depends on.

        Of data in memory that is only how long an epoch is, and what the images go through.
        """
        trainer = self.trainer
        if trainer.streams:
            return id(trainer)
        network = (digest(self.lab.setting.network_key(), 12), self.lab.options.aids.in_network)
        return network, self.train, trainer.batches


def choose_replication(choice: str, params: Any, batch_size: int) -> str:
    """How replicates are trained on this machine: `serial`, `vmap` or `devices`.

    The answer depends on nothing that is measured at run time, so that a run is repeated exactly.

    Args:
        choice: one of those, or `auto`.
        params: the network's parameters, arrays or abstract ones.
        batch_size: images per step.

    Raises:
        ConfigError: `devices` where there is only one, or `vmap`, which takes one, in a run of several processes.
    """
    if processes.is_multiprocess():
        if choice == "vmap":
            raise ConfigError(
                "config.seed_parallelism='vmap': takes a single process; use 'auto', 'devices' or 'serial'"
            )
        return "serial" if choice == "serial" else "devices"
    devices = jax.local_devices()
    if choice == "devices" and len(devices) == 1:
        raise ConfigError("config.seed_parallelism='devices': found 1 device; use 'auto', 'vmap' or 'serial'")
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


def do_jobs(jobs: Sequence[Job]) -> list[Stage]:
    """Does what is alike together, and stores every result as the stage it would be alone.

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
        with group[0].lab.stages.claim([job.stage for job in group]) as by_others:
            done |= by_others
            left = [job for job in group if job.stage.id not in by_others]
            for members, layout in _divided(left):
                done |= {stage.id: stage for stage in members[0].do(members, layout)}
    return [done[job.stage.id] for job in jobs]


def do_questions(questions: Sequence[Sequence[Job]]) -> list[list[Stage]]:
    """`do_jobs` for all the jobs in lists of them, as lists of stages."""
    stages = iter(do_jobs([job for question in questions for job in question]))
    return [[next(stages) for _ in question] for question in questions]


def pass_on(questions: Sequence[Sequence[Job]]) -> list[list[Stage]]:
    """`do_questions`, together with the questions of others where this is itself called in lockstep."""
    stages = iter(ask([job for question in questions for job in question], alone=do_questions))
    return [[next(stages) for _ in question] for question in questions]


def _divided(group: list[Job]) -> Iterator[tuple[list[Job], Layout]]:
    """Those jobs of a group that are done at the same time, and how."""
    if len(group) < 2:
        if group:
            yield group, _single_layout(group[0])
        return
    lab = group[0].lab
    way, most = lab.replication, len(group)
    if way != "serial" and group[0].trainer.streams:
        if lab.options.seed_parallelism != "auto":
            raise ConfigError(
                f"config.seed_parallelism={way!r}: needs data in memory, and {lab.setting.spec.name} is streamed; "
                "use 'auto'"
            )
        way = "serial"
    devices = jax.devices()
    if way == "serial" or group[0].may_end_early:
        most = 1
    elif way == "devices":
        most = len(devices)
    for first in range(0, len(group), most):
        members = group[first : first + most]
        if processes.is_multiprocess() and len(members) < len(devices):  # else one has no part
            yield from (([job], _single_layout(job)) for job in members)
        elif len(members) == 1:
            yield members, _single_layout(members[0])
        else:
            yield members, Vmapped() if way == "vmap" else OnePerDevice.of(devices[: len(members)])


def _single_layout(job: Job) -> Layout:
    return job.lab.setting.layout_of(job.train)
