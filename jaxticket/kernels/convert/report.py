"""What became of each layer of a model that was converted to run sparse, and why."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from jaxticket.core.types import Path
from jaxticket.structure.shrink.report import ShrinkReport


@dataclasses.dataclass(frozen=True)
class SparseLayerReport:
    """One masked leaf.

    Attributes:
        path: of the leaf.
        form: 'blocks 16x128', 'groups', or 'dense'.
        reason: why.
        density: the share of weights that are not zero, after shrinking.
        bytes: of the kernel, before and after.
        predicted: seconds of its calls, dense and in the sparse form that was best; None where nothing is known.
        measured: the same, measured; None where it was not.
    """

    path: Path
    form: str
    reason: str
    density: float
    bytes: tuple[int, int]
    predicted: tuple[float, float] | None = None
    measured: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class SparsifyReport:
    """What became of a model; `print` it.

    Attributes:
        layers: every leaf of the mask, sorted by path.
        shrunk: what was cut out first, or why nothing was.
        bytes: of all variables, before and after.
        difference: largest difference of an output on the sample, relative to the largest output.
        measured: seconds of the model on the sample, masked dense and sparse; None where it was not measured.
        reordered: blocks that hold anything, of all masked leaves before and after channels were put in order; None
            where they were not.
    """

    layers: tuple[SparseLayerReport, ...] = ()
    shrunk: ShrinkReport | str = "not asked to shrink"
    bytes: tuple[int, int] = (0, 0)
    difference: float = math.nan
    measured: tuple[float, float] | None = None
    reordered: tuple[int, int] | None = None

    def __str__(self) -> str:
        """A line for the whole, one for shrinking and one for the order of channels, one for every layer."""
        sparse = sum(layer.form != "dense" for layer in self.layers)
        lines = [
            f"{sparse} of {len(self.layers)} layers sparse, {self.bytes[0]:,} -> {self.bytes[1]:,} bytes, "
            f"outputs differ by {self.difference:.1e}{_speed('measured', self.measured)}",
            f"  {str(self.shrunk).partition(chr(10))[0]}",
        ]
        if self.reordered:
            lines.append(f"  channels in order: {self.reordered[0]:,} -> {self.reordered[1]:,} blocks")
        for layer in self.layers:
            speeds = _speed("predicted", layer.predicted) + _speed("measured", layer.measured)
            lines.append(f"  {layer.path}: {layer.form}, density {layer.density:.3f}{speeds}: {layer.reason}")
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True, eq=False)
class Sparsified:
    """A model that runs sparse.

    Attributes:
        variables: as given, smaller, with `BlockSparse` or `DenseGroups` in place of some kernels; for an NNX model an
            `nnx.State`.
        apply: (variables, x) -> what the model returns. A pure function, for `jit` and `grad`. That of a Linen model
            passes further arguments on.
        report: what became of each layer.
        folded: path of a sparse kernel -> path of the batch normalisation that is folded into it.
        backend: by which sparse layers run; None is the best one.

    Example:
        >>> from flax import nnx
        >>> model, x = nnx.Linear(16, 16, rngs=nnx.Rngs(0)), jnp.ones((2, 16))
        >>> mask = {"kernel": jnp.zeros((16, 16), bool).at[:8].set(True)}
        >>> sparse = jt.sparsify(model, None, mask, x, block=(8, 16), min_speedup=0)
        >>> jax.jit(sparse.apply)(sparse.variables, x).shape
        (2, 16)
        >>> sparse.report.bytes  # a kernel of 1024 bytes, of which half is stored, and a bias
        (1088, 576)
    """

    variables: Any
    apply: Callable[..., Any]
    report: SparsifyReport
    folded: Mapping[Path, Path] = dataclasses.field(default_factory=dict)
    backend: str | None = None


def _speed(name: str, seconds: tuple[float, float] | None) -> str:
    return "" if seconds is None else f", {name} {1e3 * seconds[0]:.2f} -> {1e3 * seconds[1]:.2f} ms"
