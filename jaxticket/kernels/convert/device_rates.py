"""What layers cost on a device: measured once, kept as JSON, used to decide what runs sparse."""

import dataclasses
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.errors import ConfigError
from jaxticket.kernels.backends.backend import BACKENDS
from jaxticket.kernels.backends.cost_model import Rates, SparseWork, Work, as_rates, dense_work, fit_rates
from jaxticket.kernels.backends.dispatch import available_backend, unsupported_reason
from jaxticket.kernels.convert.layers import run_dense, run_sparse
from jaxticket.kernels.formats.block_sparse import BlockSparse
from jaxticket.kernels.formats.conv_geometry import ConvGeometry
from jaxticket.kernels.formats.sparse_weight import SparseWeight
from jaxticket.kernels.layer_shape import LayerShape
from jaxticket.storage import PathLike, read_json, write_json

FOLDER_VARIABLE = "JAXTICKET_TIMINGS"
"""Environment variable that names the folder in which `tune` has written."""

_FORMAT = {"format": "jaxticket-timings", "version": 1}
_SAME = ConvGeometry((1, 1), (1, 1), ((1, 1), (1, 1)))
# Matmuls (rows, inputs, outputs) and convolutions (images, side, channels) whose costs span those in use.
_MATMULS = ((256, 512, 512), (1024, 1024, 1024), (2048, 256, 1024), (4096, 128, 128))
_CONVOLUTIONS = ((8, 32, 16), (8, 32, 64), (16, 16, 32), (16, 16, 128), (16, 8, 256))
_BLOCKS = ((16, 128), (64, 64))
_DENSITIES = (0.1, 0.3, 0.7)


@dataclasses.dataclass(frozen=True)
class Timings:
    """Rates of one device.

    Attributes:
        device: what it is.
        rates: name of a dtype -> rates. A layer in another dtype has no prediction, and stays dense.
        points: what was measured: the layer, the density and the seconds, for whoever wants to look.
        backend: whose rates they are; None is whatever `block_matmul` takes by default.
    """

    device: str
    rates: Mapping[str, Rates]
    points: Sequence[Mapping[str, Any]] = ()
    backend: str | None = None

    @property
    def sparse_work(self) -> SparseWork:
        """What the sparse rates are multiplied by."""
        return BACKENDS.get(self.backend or "xla").sparse_work


def known_timings(backend: str | None = None) -> Timings:
    """The timings of this device: those in the folder that `JAXTICKET_TIMINGS` names, or those shipped.

    The latter know CPUs and float32 alone; on another device nothing is predicted until `tune` has measured it.

    Args:
        backend: whose; None is whatever `block_matmul` takes by default.

    Raises:
        ConfigError: the folder's file for this device is not one that `tune` has written.

    Example:
        >>> from jaxticket import kernels
        >>> sorted(kernels.known_timings("xla").rates)
        ['float32']
    """
    folder, device = os.environ.get(FOLDER_VARIABLE), device_name()
    if folder and _file(folder, device, backend).exists():
        return load_timings(folder, backend)
    shipped = BACKENDS.get(backend or "xla").rates
    return Timings(device, shipped.get(jax.default_backend(), {}), backend=backend)


def load_timings(folder: PathLike, backend: str | None = None) -> Timings:
    """The timings of this device that `tune` has written into a folder.

    Args:
        folder: as for `tune`, like `backend`.
        backend: likewise.

    Raises:
        ConfigError: the file is not one that `tune` has written.
        TicketError: there is no file, or it is not JSON.
    """
    path = _file(folder, device_name(), backend)
    content = read_json(path)
    try:
        if {key: content[key] for key in _FORMAT} != _FORMAT:
            raise ValueError
        rates = {dtype: as_rates(found) for dtype, found in content["rates"].items()}
        return Timings(content["device"], rates, content["points"], backend)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} holds no timings of this version; delete it and call tune again") from error


def tune(
    folder: PathLike | None = None,
    *,
    dtypes: Sequence[str] = ("float32",),
    rounds: int = 5,
    backend: str | None = None,
) -> Timings:
    """Measures what dense and sparse layers cost on this device; about a minute for each dtype.

    Args:
        folder: where to write them, for `load_timings`, or for every later process through the environment variable
            `JAXTICKET_TIMINGS`. None writes nothing.
        dtypes: names of the dtypes to measure.
        rounds: timed calls of each.
        backend: by which sparse layers run; None is the best one.

    Returns:
        The timings, for `sparsify(..., timings=...)`.

    Raises:
        ConfigError: a dtype that is not a float, or a backend that is not available.
    """
    for dtype in dtypes:
        if dtype not in ("float32", "bfloat16", "float16", "float64"):
            raise ConfigError(f"dtypes={dtype!r}: must be names of floats, such as 'float32' or 'bfloat16'")
    found = BACKENDS.get("xla") if backend is None else available_backend(backend)
    rates, points = {}, []
    for dtype in dtypes:
        works: dict[str, list[tuple[Work, float]]] = {"dense": [], "conv": [], "sparse": []}
        for layer in _layers(dtype):
            weights = [_random_weight(layer, block, density) for block in _BLOCKS for density in _DENSITIES]
            weights = [w for w in weights if not unsupported_reason(found, w, dtype, layer.images)]
            seconds = measure_layer(layer, weights, rounds, backend)
            works["conv" if layer.has_window else "dense"].append((dense_work(layer), seconds[0]))
            works["sparse"] += [(found.sparse_work(layer, w), s) for w, s in zip(weights, seconds[1:], strict=True)]
            points += [
                {"x": layer.x, "kernel": layer.kernel, "dtype": dtype, "density": density, "seconds": best}
                for density, best in zip([None, *(w.density for w in weights)], seconds, strict=True)
            ]
        if not works["sparse"]:
            raise ConfigError(f"backend={backend!r}: it can run none of the layers that are measured in {dtype}")
        rates[dtype] = Rates(**{name: fit_rates(*zip(*pairs, strict=True)) for name, pairs in works.items()})
    timings = Timings(device_name(), rates, points, backend)
    if folder is not None:
        path = _file(folder, timings.device, backend)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**_FORMAT, **dataclasses.asdict(timings)})
    return timings


def measure_layer(
    layer: LayerShape, weights: Sequence[SparseWeight], rounds: int, backend: str | None = None
) -> list[float]:
    """Least seconds of a layer with a dense kernel, then with each sparse weight; all take turns.

    Args:
        layer: the layer and its input, which is drawn at random.
        weights: sparse weights of the kernel's shape.
        rounds: timed calls of each.
        backend: by which sparse weights run.
    """
    random = np.random.default_rng(0)
    x, kernel = (jnp.asarray(random.standard_normal(shape), layer.dtype) for shape in (layer.x, layer.kernel))
    dense = jax.jit(lambda x, w: run_dense(layer, x, w))
    sparse = jax.jit(lambda x, w: run_sparse(layer, x, w, backend=backend))
    contenders = [lambda: dense(x, kernel), *((lambda w=w: sparse(x, w)) for w in weights)]
    return least_seconds(contenders, rounds)


def least_seconds(contenders: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    """The least seconds of functions that take turns, every other round backwards; their first calls are not timed.

    Whatever else a machine does only adds to the time of a call, so that the least is the nearest to its cost.
    """
    found: list[list[float]] = [[] for _ in contenders]
    for contender in contenders:
        jax.block_until_ready(contender())
    order = list(zip(contenders, found, strict=True))
    for number in range(rounds):
        for contender, seconds in order[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            jax.block_until_ready(contender())
            seconds.append(time.perf_counter() - start)
    return [min(seconds) for seconds in found]


def device_name() -> str:
    """The device that computes; a CPU with the number of cores that this process may use."""
    kind = jax.devices()[0].device_kind
    if jax.default_backend() != "cpu":
        return kind
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{kind} with {cores} cores"


def _file(folder: PathLike, device: str, backend: str | None) -> Path:
    name = device if backend is None else f"{device} {backend}"
    return Path(folder).expanduser() / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}.json"


def _layers(dtype: str) -> list[LayerShape]:
    matmuls = [LayerShape((rows, inputs), (inputs, outputs), dtype) for rows, inputs, outputs in _MATMULS]
    return matmuls + [
        LayerShape((images, side, side, channels), (3, 3, channels, channels), dtype, _SAME)
        for images, side, channels in _CONVOLUTIONS
    ]


def _random_weight(layer: LayerShape, block: tuple[int, int], density: float) -> BlockSparse:
    """A weight of which a share of the blocks is kept, at random."""
    random = np.random.default_rng(1)
    weight = random.standard_normal(layer.kernel).astype(np.float32).reshape(-1, layer.kernel[-1])
    rows, cols = block
    grid = np.zeros((-(-weight.shape[0] // rows), -(-weight.shape[1] // cols)), bool)
    grid.flat[random.permutation(grid.size)[: max(1, round(density * grid.size))]] = True
    mask = np.kron(grid, np.ones(block, bool)).astype(bool)[: weight.shape[0], : weight.shape[1]]
    packed = BlockSparse.from_dense(weight.reshape(layer.kernel), mask.reshape(layer.kernel), block)
    return jax.tree.map(lambda values: values.astype(layer.dtype), packed)
