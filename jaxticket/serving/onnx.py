"""Models as ONNX, by jax2onnx, checked by ONNX Runtime before the file is written."""

import contextlib
import functools
import importlib
import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn

from jaxticket import storage
from jaxticket.core.errors import ConfigError, TicketError, one_line
from jaxticket.core.types import Inputs
from jaxticket.kernels.convert.verify import relative_difference
from jaxticket.serving.servable import Servable, as_function
from jaxticket.serving.stablehlo import abstract_inputs
from jaxticket.tracing.jaxpr import bind, interpret, result_shapes

# How far outputs of ONNX Runtime may differ, relative to the largest: rounding in float32 through a deep network.
_TOLERANCE = 1e-3


def export_onnx(model: Servable, *inputs: Inputs, file: storage.PathLike, batch: str | None = None) -> float:
    """Writes a model as an ONNX file, with its weights inside.

    The model is traced to operations of JAX before jax2onnx sees it. Needs `pip install 'jaxticket[onnx]'`.

    Args:
        model: as for `jt.export`.
        *inputs: as for `jt.export`, arrays or trees of them; ONNX has their leaves as `input_0`, `input_1`, ...
        file: where to write; the folder is made where it is missing.
        batch: name of the first axis of all inputs, which may then be of any size; None for the size that they have.

    Returns:
        By how much the outputs of ONNX Runtime on random inputs differ from those of JAX, relative to the largest.

    Raises:
        ConfigError: the packages are missing, or the model has an operation that jax2onnx cannot convert.
        TicketError: ONNX Runtime computes something else; then nothing is written.

    Example:
        >>> jt.export_onnx((lambda w, x: x @ w, jnp.eye(3)), jnp.ones((1, 3)), file="model.onnx")  # doctest: +SKIP
        0.0
    """
    apply, variables = as_function(model)
    kinds = abstract_inputs(inputs, batch)
    leaves, structure = jax.tree.flatten(kinds)
    runtime, converter = _package("onnxruntime"), _package("jax2onnx")

    def function(*leaves: Any) -> list[Any]:
        return jax.tree.leaves(apply(variables, *structure.unflatten(leaves)))

    try:
        traced = jax.make_jaxpr(function)(*leaves)
        with _quiet():
            proto = converter.to_onnx(
                lambda *leaves: interpret(traced, leaves, _rule),
                inputs=leaves,
                model_name="model",
                input_names=[f"input_{number}" for number in range(len(leaves))],
                output_names=[f"output_{number}" for number in range(len(traced.out_avals))],
            )
            data = proto.SerializeToString()
            session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    except Exception as error:  # of jax2onnx, ONNX and the runtime, of many kinds
        raise ConfigError(
            f"the model cannot be converted to ONNX ({type(error).__name__}: {one_line(error)[:300]}); "
            "jt.export writes StableHLO, which has all operations"
        ) from error
    difference = 0.0
    for more in (0, 1) if batch else (0,):
        examples = [_example(leaf, number, more) for number, leaf in enumerate(jax.tree.leaves(inputs))]
        expected = jax.jit(function)(*examples)
        names = (one.name for one in session.get_inputs())
        found = session.run(None, {name: np.asarray(one) for name, one in zip(names, examples, strict=True)})
        difference = max(difference, relative_difference(expected, found))
    if not difference <= _TOLERANCE:
        raise TicketError(
            f"{file}: ONNX Runtime's outputs differ by {difference:.1e} of the largest, more than {_TOLERANCE:.0e}; "
            "nothing was written; use jt.export"
        )
    storage.write_bytes(file, data)
    return difference


def _package(name: str) -> Any:
    try:
        with _quiet():
            return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"ONNX needs {name} ({one_line(error)}); pip install 'jaxticket[onnx]'") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks that jax2onnx logs about operations that no one has used."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def _rule(equation: JaxprEqn, operands: Sequence[Any]) -> Sequence[Any]:
    """An operation as it is, but for two that jax2onnx has in a form that ONNX Runtime or itself refuses.

    The largest of each window is there a pooling of all axes, batch and channels too, of which the runtime pools at
    most three; padding needs sizes that are known. Both are made of simpler operations.
    """
    if equation.primitive.name == "reduce_window_max" and max(equation.params["base_dilation"]) == 1:
        return [_window_max(operands[0], equation)]
    if equation.primitive.name == "pad" and min(map(min, equation.params["padding_config"])) == 0:
        x, value = operands
        config = equation.params["padding_config"]
        if not any(between for _, _, between in config):
            return [_padded(x, value, [(low, high) for low, high, _ in config])]
    return bind(equation, operands)


def _window_max(x: jax.Array, equation: JaxprEqn) -> jax.Array:
    """A maximum of strided slices, one for each position of the window."""
    how, (sizes,) = equation.params, result_shapes(equation)
    lowest = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    x = _padded(x, jnp.asarray(lowest, x.dtype), how["padding"])
    parts = []
    for position in itertools.product(*map(range, how["window_dimensions"])):
        first = [offset * far for offset, far in zip(position, how["window_dilation"], strict=True)]
        steps = zip(first, sizes, how["window_strides"], strict=True)
        last = [start + (size - 1) * stride + 1 for start, size, stride in steps]
        parts.append(lax.slice(x, first, last, how["window_strides"]))
    return functools.reduce(lax.max, parts)


def _padded(x: jax.Array, value: Any, sides: Sequence[tuple[int, int]]) -> jax.Array:
    """`x` with `value` before and behind each axis."""
    for axis, (low, high) in enumerate(sides):
        if low or high:
            fill = [jnp.broadcast_to(value, (*x.shape[:axis], n, *x.shape[axis + 1 :])) for n in (low, high)]
            x = jnp.concatenate([part for part in (fill[0], x, fill[1]) if part.shape[axis]], axis)
    return x


def _example(leaf: Any, seed: int, more: int) -> jax.Array:
    """A random array like a leaf, with `more` on its first axis; of integers zeros."""
    shape = jnp.shape(leaf)
    shape = (shape[0] + more, *shape[1:]) if shape else shape
    dtype = jnp.result_type(leaf)
    if not jnp.issubdtype(dtype, jnp.floating):
        return jnp.zeros(shape, dtype)
    return jax.random.normal(jax.random.key(seed), shape, dtype)
