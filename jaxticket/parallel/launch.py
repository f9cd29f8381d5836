"""How the processes of a run find each other, by what their launcher put into the environment."""

import importlib.util
import os
from collections.abc import Mapping
from typing import Any

import jax

from jaxticket.core.errors import ConfigError, one_line
from jaxticket.parallel import peers

# A process that has not been heard of for so long is taken for dead, and all others end.
_HEARTBEAT_SECONDS = 30

SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")


def start(environment: Mapping[str, str] = os.environ) -> None:
    """Joins the other processes of this run, where the environment says that there are any; see `find_arguments`.

    To be called before JAX is asked for devices.

    Raises:
        ConfigError: the environment contradicts itself, or the others cannot be reached.
    """
    if jax.distributed.is_initialized():
        return
    arguments = find_arguments(environment)
    if arguments is None:
        return
    try:
        jax.distributed.initialize(**arguments, heartbeat_timeout_seconds=_HEARTBEAT_SECONDS)
    except (RuntimeError, ValueError, OSError) as error:
        where = (
            arguments.get("coordinator_address") or environment.get("JAX_COORDINATOR_ADDRESS") or "the first process"
        )
        raise ConfigError(
            f"the processes of this run do not find each other at {where} ({one_line(error)}); check that all of them "
            "were started, and JAX_COORDINATOR_ADDRESS"
        ) from error
    if jax.process_count() > 1:
        peers.meet()


def find_arguments(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """The arguments of `jax.distributed.initialize` that an environment asks for; None: this process is alone.

    In this order: `JAX_COORDINATOR_ADDRESS` (HOST:PORT of process 0) with `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`; a
    Slurm step of several tasks; Open MPI (version 5 needs `JAX_COORDINATOR_ADDRESS` too); an indexed job of Kubernetes,
    where the package `kubernetes` is installed; a TPU virtual machine. A detected launcher's address can be replaced by
    `JAX_COORDINATOR_ADDRESS`, and the devices of a process chosen by `JAX_LOCAL_DEVICE_IDS`.

    Raises:
        ConfigError: something is missing or no number.
    """
    address = environment.get("JAX_COORDINATOR_ADDRESS")
    given = [name for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID") if name in environment]
    if len(given) == 2 and (address or environment["JAX_NUM_PROCESSES"] == "1"):
        return _explicit(environment, address, "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    if given:
        raise ConfigError(
            f"{given[0]}={environment[given[0]]}: JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID belong "
            "together; set all three"
        )
    if all(name in environment for name in SLURM):
        return {} if environment["SLURM_NTASKS"] != "1" else None
    if environment.get("OMPI_COMM_WORLD_SIZE", "1") != "1":
        if "OMPI_MCA_orte_hnp_uri" in environment:
            return {}
        if address:
            return _explicit(environment, address, "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK")
        raise ConfigError(
            f"OMPI_COMM_WORLD_SIZE={environment['OMPI_COMM_WORLD_SIZE']}: this version of Open MPI does not say where "
            "process 0 is; set JAX_COORDINATOR_ADDRESS=HOST:PORT"
        )
    indexed = "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment
    if indexed and importlib.util.find_spec("kubernetes"):
        return {}
    on_tpu = "TPU_ML_PLATFORM" in environment and "tpu" in environment.get("JAX_PLATFORMS", "tpu")  # set by import jax
    if on_tpu and ("TPU_WORKER_HOSTNAMES" in environment or "TPU_SKIP_MDS_QUERY" not in environment):
        return {}
    if address:
        raise ConfigError(
            f"JAX_COORDINATOR_ADDRESS={address}: no launcher was found; set JAX_NUM_PROCESSES and JAX_PROCESS_ID too"
        )
    return None


def _explicit(environment: Mapping[str, str], address: str | None, count: str, rank: str) -> dict[str, Any] | None:
    try:
        processes, number = int(environment[count]), int(environment[rank])
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{count} and {rank}: must be whole numbers ({one_line(error)})") from error
    if not 0 <= number < processes:
        raise ConfigError(f"{rank}={number}: must be from 0 to {processes - 1}, for {count}={processes}")
    if processes == 1:
        return None
    if ":" not in (address or ""):
        raise ConfigError(f"JAX_COORDINATOR_ADDRESS={address}: must be HOST:PORT of process 0")
    return {
        "coordinator_address": address,
        "num_processes": processes,
        "process_id": number,
        "cluster_detection_method": "deactivate",
    }
