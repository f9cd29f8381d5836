"""Channel selection: layers read only the channels that are not zero, where the channels themselves must stay.

In a network with the activation first, a normalisation on the residual stream can be zero in a channel that other
layers still need. Only the layer behind that normalisation can do without it: it reads a selection of its input, by a
fixed list of indices (Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", ICCV 2017).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core import paths
from jaxticket.core.masks import apply_mask
from jaxticket.core.types import Mask, Path
from jaxticket.structure.channel_groups.trace import channel_groups
from jaxticket.structure.macs import macs
from jaxticket.structure.shrink.channel_marks import Marks
from jaxticket.structure.shrink.constant_propagation import Partial, evaluate, known, unknown
from jaxticket.structure.shrink.program import Operation, Program, program_of
from jaxticket.structure.shrink.report import parameter_count
from jaxticket.structure.shrink.shrink import shrink
from jaxticket.tracing.linen import ModuleCall, listen

_PARAMS = "params/"


@dataclasses.dataclass(frozen=True, eq=False)
class Slimmed:
    """A network without its dead channels, some of them left out only where they are read.

    Attributes:
        params: the smaller parameters, a tree of the same structure.
        apply: (params, *inputs) -> what `fn` returns; keyword arguments are passed on.
        masked: the full-size parameters that compute the same.
        selected: path of a kernel -> which channels of the layer's input it reads, where those are not all.
        parameters: how many there are before and after; running statistics do not count.
        macs: multiply-accumulates for the given inputs, before and after.
    """

    params: Any
    apply: Callable[..., Any]
    masked: Any
    selected: Mapping[Path, np.ndarray]
    parameters: tuple[int, int]
    macs: tuple[int, int]


def slim(fn: Callable[..., Any], params: Any, mask: Mask, *inputs: Any) -> Slimmed:
    """Cuts channels out of a Linen network by a mask of normalisation scales, with selections where it takes those.

    What `jt.shrink` can remove is removed. What then still enters a convolution or a dense layer as an exact zero is
    not read: the layer's kernel loses those inputs, and the rest is taken from its input by index. A layer reads at
    least one channel.

    Args:
        fn: a function of (variables, *inputs) that calls `Module.apply`.
        params: the whole tree of variables, concrete.
        mask: as for `jt.shrink`; a masked scale masks the bias beside it too.
        *inputs: pytrees of arrays or `jax.ShapeDtypeStruct`s; only their shapes count.

    Raises:
        MaskError: as `jt.shrink`.
    """
    shrunk = shrink(fn, params, mask, *inputs)
    selected = {
        path: np.flatnonzero(~dead) if not dead.all() else np.zeros(1, int)
        for path, dead in dead_inputs(shrunk.apply, shrunk.params, *inputs).items()
        if dead.any()
    }
    leaves = paths.leaves(shrunk.params)
    small = paths.replace(shrunk.params, {path: jnp.take(leaves[path], i, axis=-2) for path, i in selected.items()})
    apply = _selecting(shrunk.apply, selected)
    after = macs(apply, small, *inputs)
    return Slimmed(
        small,
        apply,
        shrunk.masked,
        selected,
        (shrunk.report.parameters[0], parameter_count(small)),
        (shrunk.report.macs[0], after),
    )


def dead_inputs(fn: Callable[..., Any], params: Any, *inputs: Any) -> dict[Path, np.ndarray]:
    """Which input channels of every kernel are exactly zero for any input, because of zero scales and biases.

    Args:
        fn: a function that JAX can trace: (params, *inputs) -> any pytree of arrays.
        params: pytree of concrete arrays.
        *inputs: pytrees of arrays or `jax.ShapeDtypeStruct`s.

    Returns:
        Path of a kernel of a product, or of a convolution without groups -> bool [inputs], True = zero; inputs are the
        kernel's last axis but one.
    """
    program = program_of(fn, params, inputs)
    given = paths.leaves(params)
    values: dict[int, Partial] = {}
    kernels = {number: path for path, number in program.leaves.items()}
    for path, number in program.leaves.items():
        values[number] = _zeros(given[path]) if _is_vector(path) else _unknown(program, number)
    for number, constant in program.constants.items():
        plain = isinstance(constant, np.ndarray | np.generic | int | float) or hasattr(constant, "__array__")
        values[number] = known(np.asarray(constant)) if plain else _unknown(program, number)
    marks, found = Marks(), {}
    for operation in program.operations:
        for number in operation.operands:
            values.setdefault(number, _unknown(program, number))
        if operation.name in ("dot_general", "conv_general_dilated"):
            path = kernels.get(operation.operands[1])
            dead = _dead_terms(operation, values[operation.operands[0]]) if path is not None else None
            if path is not None and dead is not None:
                found[path] = dead & found.get(path, np.True_)
            values[operation.results[0]] = _unknown(program, operation.results[0])
            continue
        if operation.name == "convert_element_type" and operation.operands[0] in kernels:
            kernels[operation.results[0]] = kernels[operation.operands[0]]
        types = [program.types[number] for number in operation.results]
        operands = [values[number] for number in operation.operands]
        values.update(zip(operation.results, evaluate(operation, operands, types, marks), strict=True))
    return found


def dead_kernels(fn: Callable[..., Any], params: Any, mask: Mask, *inputs: Any) -> Mask:
    """The kernel weights that count no longer under a mask of scales and biases.

    They read a channel that is exactly zero, or make one that only such weights read.

    Args:
        fn: as for `jt.channel_groups`.
        params: pytree of concrete arrays, for a network with running statistics the whole tree of variables.
        mask: path -> bool array, of scales and biases, with the paths of `params`.
        *inputs: as for `jt.channel_groups`.

    Returns:
        Path of a kernel -> bool array, True = counts; only kernels that lose something.
    """
    leaves = paths.leaves(params)
    dead = dead_inputs(fn, apply_mask(params, mask), *inputs)
    kept: dict[Path, np.ndarray] = {}

    def remove(path: Path, axis: int, positions: np.ndarray) -> None:
        array = kept.setdefault(path, np.ones(np.shape(leaves[path]), bool))
        array[(*(slice(None),) * axis, positions)] = False

    for path, positions in dead.items():
        if positions.any():
            remove(path, len(np.shape(leaves[path])) - 2, np.flatnonzero(positions))
    for group in channel_groups(fn, params, *inputs).prunable:
        readers = [part for part in group.slices if part.role == "input"]
        if not readers or any(part.path not in dead for part in readers):
            continue
        gone = np.logical_and.reduce([dead[part.path][part.index].all(axis=1) for part in readers])
        for part in group.slices:
            if part.role == "output" and gone.any():
                remove(part.path, part.axis, part.index[gone].ravel())
    return {path: jnp.asarray(array) for path, array in sorted(kept.items())}


def _selecting(apply: Callable[..., Any], selected: Mapping[Path, np.ndarray]) -> Callable[..., Any]:
    """`apply` with the inputs of some layers taken by index."""
    by_module = {path.removeprefix(_PARAMS): index for path, index in selected.items()}

    def select(call: ModuleCall) -> Any:
        index = by_module.get(call.path("kernel")) if call.is_layer else None
        return call.proceed() if index is None else call.run(jnp.take(call.inputs, index, axis=-1))

    @functools.wraps(apply)
    def run(*args: Any, **kwargs: Any) -> Any:
        with listen(select):
            return apply(*args, **kwargs)

    return run


def _is_vector(path: Path) -> bool:
    return path.rpartition("/")[2] in ("scale", "bias")


def _zeros(leaf: Any) -> Partial:
    """A leaf of which nothing is known but its exact zeros."""
    array = np.asarray(jax.device_get(leaf))
    return Partial(np.zeros_like(array), array != 0)


def _unknown(program: Program, number: int) -> Partial:
    return unknown(program.types[number].shape, program.types[number].dtype)


def _dead_terms(operation: Operation, x: Partial) -> np.ndarray | None:
    """Which channels of the input are zero everywhere; None where the layer reads them in groups or otherwise."""
    if operation.name == "conv_general_dilated":
        if operation.params["feature_group_count"] > 1 or operation.params["batch_group_count"] > 1:
            return None
        axis = operation.params["dimension_numbers"].lhs_spec[1]
    else:
        (summed, of_kernel), (batch, _) = operation.params["dimension_numbers"]
        if len(summed) != 1 or of_kernel != (0,) or batch:
            return None
        axis = summed[0]
    others = tuple(i for i in range(x.value.ndim) if i != axis)
    return (~x.unknown & (x.value == 0)).all(axis=others)
