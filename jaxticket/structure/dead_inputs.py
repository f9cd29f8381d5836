"""Channels that a layer reads although they are exactly zero, and weights that count for nothing because of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core import paths
from jaxticket.core.masks import apply_mask
from jaxticket.core.types import Inputs, Mask, Params, Path
from jaxticket.structure.channel_groups.trace import channel_groups
from jaxticket.structure.shrink.channel_marks import ChannelMarks
from jaxticket.structure.shrink.constant_propagation import propagate
from jaxticket.structure.shrink.partial import Partial, constant, unknown
from jaxticket.structure.shrink.program import Operation, Program, program_of


def dead_inputs(fn: Callable[..., Any], params: Params, *inputs: Inputs) -> dict[Path, np.ndarray]:
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
    for number, array in program.constants.items():
        values[number] = constant(array, program.types[number])
    marks, found = ChannelMarks(), {}
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
        values.update(zip(operation.results, propagate(operation, operands, types, marks), strict=True))
    return found


def dead_kernels(fn: Callable[..., Any], params: Params, mask: Mask, *inputs: Inputs) -> Mask:
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
