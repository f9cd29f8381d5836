"""Seeds side by side: what several seeds want trained at the same time runs at once, where that pays.

An experiment is a plain function of one seed, and what it trains next may depend on what that seed has trained. To run
the trainings of several seeds in one program, each function has to stop inside `Lab.train` until the others have come
to theirs, and only a thread can stop at any depth of calls. Generators could too, but every function between an
experiment and `Lab.train` would have to be one, a user's as well. So each seed has a thread; of all threads exactly one
runs at any time, in a fixed order, by a baton that they pass. Nothing needs a lock, and a run is repeated exactly.
"""

import abc
import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import jax

from jaxticket.core import paths
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import digest
from jaxticket.core.types import Params
from jaxticket.lab.derived import Bench
from jaxticket.lab.setting import Setting
from jaxticket.lab.stages.references import Stage
from jaxticket.parallel import Layout, OnePerDevice, Vmapped, processes
from jaxticket.training.options import TrainOptions

# Where vmap pays on a CPU (benchmarks/replicates.py). The states of larger networks no longer fit into the caches
# together, and with smaller batches so little is multiplied that more of it at once does not help.
_CPU_PARAMETERS = 100_000
_CPU_BATCH_SIZE = 64

_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True, eq=False)
class Request(abc.ABC):
    """A stage that is wanted of one network, and may be done together with those of others.

    Attributes:
        bench: with the network, and where the stage belongs.
        stage: not done yet.
        train: how the network is trained, so that its compiled functions can be shared.
    """

    bench: Bench
    stage: Stage
    train: TrainOptions

    @property
    def setting(self) -> Setting:
        """The network, the data and the training."""
        return self.bench.setting

    @property
    @abc.abstractmethod
    def compile_key(self) -> tuple[Any, ...]:
        """Requests with equal keys share a compiled program and are done together."""

    @property
    def dynamic_length(self) -> bool:
        """Whether the number of its steps is known only when it has been trained."""
        return False

    @abc.abstractmethod
    def run(self, requests: Sequence[Any], layout: Layout) -> list[Stage]:
        """Does this request and all others of `requests`, whose keys are equal; their finished stages."""

    @property
    def program(self) -> Any:
        """What the compiled functions depend on: of data in memory only the length of an epoch and its preparation."""
        trainer = self.setting.trainer_of(self.train)
        if trainer.streams:
            return id(trainer)
        network = (digest(self.setting.network_key(), 12), self.setting.options.aids.in_network)
        return network, self.train, trainer.batches


def choose_replication(choice: str, params: Params, batch_size: int) -> str:
    """How replicates are trained on this machine: `serial`, `vmap` or `devices`.

    The answer depends on nothing that is measured at run time, so that a run is repeated exactly.

    `choice` is one of those, or `auto`; `params` may be abstract, and `batch_size` is the images per step.

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


def replication_of(setting: Setting) -> str:
    """How the seeds of a setting are trained: `serial`, `vmap` or `devices`."""
    options = setting.options
    return choose_replication(options.seed_parallelism, setting.shapes.params, options.train.batch_size)


def run_requests(requests: Sequence[Request]) -> list[Stage]:
    """Does requests with equal keys together, and stores every result as the stage it would be alone.

    Returns:
        The finished stages, in the order of `requests`.

    Raises:
        ConfigError: runs on streamed data were to be trained together.
        TrainingError: a loss is no longer finite.
        InterruptedRun: a stop was asked for; calling again continues.
    """
    groups: dict[Any, list[Request]] = {}
    for request in {request.stage.id: request for request in requests}.values():
        groups.setdefault(request.compile_key, []).append(request)
    done: dict[str, Stage] = {}
    for group in groups.values():
        with group[0].bench.stages.claim([request.stage for request in group]) as by_others:
            done |= by_others
            left = [request for request in group if request.stage.id not in by_others]
            for members, layout in divide(left):
                done |= {stage.id: stage for stage in members[0].run(members, layout)}
    return [done[request.stage.id] for request in requests]


def divide(group: list[Request]) -> Iterator[tuple[list[Request], Layout]]:
    """Those requests of a group that are done at the same time, and the layout of their networks.

    Raises:
        ConfigError: runs on streamed data were to be trained together.
    """
    if not group:
        return
    first, devices, most = group[0], jax.devices(), len(group)
    setting = first.setting
    replication = replication_of(setting) if most > 1 else "serial"
    if replication != "serial" and setting.trainer_of(first.train).streams:
        if setting.options.seed_parallelism != "auto":
            raise ConfigError(
                f"config.seed_parallelism={replication!r}: needs data in memory, and {setting.spec.name} is streamed; "
                "use 'auto'"
            )
        replication = "serial"
    if replication == "serial" or first.dynamic_length:
        most = 1
    elif replication == "devices":
        most = len(devices)
    for start in range(0, len(group), most):
        members = group[start : start + most]
        # A process without a replicate would have no part in the others' program.
        too_few = processes.is_multiprocess() and len(members) < len(devices)
        if len(members) == 1 or too_few:
            yield from (([request], setting.layout_of(first.train)) for request in members)
        else:
            yield members, Vmapped() if replication == "vmap" else OnePerDevice.of(devices[: len(members)])


class _Abandoned(BaseException):
    """Ends a function that waits for results which will not come."""


class _SeedThread(threading.Thread, Generic[_Result]):
    """A function, and the baton it needs to run."""

    def __init__(self, function: Callable[[], _Result]) -> None:
        super().__init__(daemon=True)
        self.requests: Sequence[Any] = ()
        self.results: list[_Result] = []
        self.error: BaseException | None = None
        self.done = False
        self._function = function
        self._stages: list[Any] = []
        self._abandoned = False
        self._may_run, self._has_stopped = threading.Semaphore(0), threading.Semaphore(0)

    def run(self) -> None:
        """The thread's life."""
        self._may_run.acquire()
        try:
            if not self._abandoned:
                self.results.append(self._function())
        except _Abandoned:
            pass
        except BaseException as error:  # raised again where the functions were started
            self.error = error
        self.done = True
        self._has_stopped.release()

    def submit(self, requests: Sequence[Any]) -> list[Any]:
        """Within the thread: waits for the stages of requests."""
        self.requests = requests
        self._has_stopped.release()
        self._may_run.acquire()
        if self._abandoned:
            raise _Abandoned
        return self._stages

    def resume(self, stages: list[Any]) -> None:
        """From outside: lets the function run until it submits requests or is done."""
        self._stages = stages
        self._may_run.release()
        self._has_stopped.acquire()

    def abandon(self) -> None:
        """From outside: ends the thread at the requests it waits for, or at its next ones."""
        self._abandoned = True
        self._may_run.release()
        self.join()


def submit(requests: Sequence[Any]) -> list[Any]:
    """The stages of requests: within `in_lockstep` done with those of the other functions, elsewhere at once."""
    thread = threading.current_thread()
    return thread.submit(requests) if isinstance(thread, _SeedThread) else run_requests(requests)


def in_lockstep(
    functions: Sequence[Callable[[], _Result]], run: Callable[[list[Any]], list[Any]] = submit
) -> list[_Result]:
    """Runs functions until each waits for requests, does all these requests at once, and goes on so to their end.

    It may be called within one of the functions: their requests are then done with those of the outer functions.

    Args:
        functions: without arguments; each may call `submit` at any depth.
        run: takes the requests of all functions that are not done, in their order, and returns their stages; it runs in
            the thread of the caller.

    Returns:
        The results of the functions.

    Raises:
        BaseException: the first error of a function or of `run`; no other function continues after it.
    """
    threads = [_SeedThread(function) for function in functions]
    for thread in threads:
        thread.start()
    try:
        waiting, stages = threads, iter(())
        while waiting:
            for thread in waiting:
                thread.resume([next(stages) for _ in thread.requests])
                if thread.error is not None:
                    raise thread.error
            waiting = [thread for thread in waiting if not thread.done]
            if waiting:
                stages = iter(run([request for thread in waiting for request in thread.requests]))
    finally:
        for thread in threads:
            thread.abandon()
    return [result for thread in threads for result in thread.results]
