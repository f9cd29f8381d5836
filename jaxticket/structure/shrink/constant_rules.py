"""What operations do with single elements and with their arrangement, in NumPy where it can be."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxticket.structure.shrink.contractions import padded
from jaxticket.structure.shrink.program import Operation
from jaxticket.tracing.jaxpr import bind


def _of_numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda params, *arrays: function(*arrays)


NUMPY: dict[str, Callable[..., Any]] = {
    "abs": _of_numpy(np.abs),
    "add": _of_numpy(np.add),
    "add_any": _of_numpy(np.add),
    "clamp": _of_numpy(lambda low, x, high: np.minimum(np.maximum(x, low), high)),
    "convert_element_type": lambda params, x: x.astype(params["new_dtype"]),
    "copy": _of_numpy(np.copy),
    "eq": _of_numpy(np.equal),
    "exp": _of_numpy(np.exp),
    "ge": _of_numpy(np.greater_equal),
    "gt": _of_numpy(np.greater),
    "integer_pow": lambda params, x: x ** params["y"],
    "le": _of_numpy(np.less_equal),
    "log": _of_numpy(np.log),
    "log1p": _of_numpy(np.log1p),
    "lt": _of_numpy(np.less),
    "max": _of_numpy(np.maximum),
    "min": _of_numpy(np.minimum),
    "mul": _of_numpy(np.multiply),
    "name": _of_numpy(np.copy),
    "ne": _of_numpy(np.not_equal),
    "neg": _of_numpy(np.negative),
    "rsqrt": _of_numpy(lambda x: (1 / np.sqrt(x)).astype(x.dtype)),
    "sharding_constraint": _of_numpy(np.copy),
    "sqrt": _of_numpy(np.sqrt),
    "square": _of_numpy(np.square),
    "stop_gradient": _of_numpy(np.copy),
    "sub": _of_numpy(np.subtract),
    "tanh": _of_numpy(np.tanh),
}
# These too act on every element by itself; JAX computes them.
ELEMENTWISE = frozenset({
    "acos", "acosh", "and", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "cos", "cosh", "div", "erf",
    "erf_inv", "erfc", "exp2", "expm1", "floor", "is_finite", "logistic", "nextafter", "not", "or", "pow",
    "reduce_precision", "rem", "round", "sign", "sin", "sinh", "tan", "xor",
})  # fmt: skip


def _broadcast(params: Mapping[str, Any], array: np.ndarray) -> np.ndarray:
    sizes = [1] * len(params["shape"])
    for axis, place in enumerate(params["broadcast_dimensions"]):
        sizes[place] = array.shape[axis]
    return np.broadcast_to(array.reshape(sizes), params["shape"])


def _slice(params: Mapping[str, Any], array: np.ndarray) -> np.ndarray:
    steps = params["strides"] or [1] * array.ndim
    return array[tuple(map(slice, params["start_indices"], params["limit_indices"], steps))]


_ARRANGED: dict[str, Callable[..., np.ndarray]] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda params, *arrays: np.concatenate(arrays, params["dimension"]),
    "expand_dims": lambda params, x: np.expand_dims(x, params["dimensions"]),
    "pad": lambda params, x, fill: padded(x, fill, params["padding_config"]),
    "reshape": lambda params, x: x.reshape(params["new_sizes"]),
    "rev": lambda params, x: np.flip(x, params["dimensions"]),
    "slice": _slice,
    "squeeze": lambda params, x: np.squeeze(x, params["dimensions"]),
    "transpose": lambda params, x: np.transpose(x, params["permutation"]),
}
ARRANGEMENTS = frozenset(_ARRANGED) | {"convert_element_type", "copy"}
"""Operations that only move elements or change their type."""


def arranged(operation: Operation, *arrays: np.ndarray) -> np.ndarray:
    """The elements of arrays where one of `ARRANGEMENTS` moves them; their type stays."""
    if operation.name in _ARRANGED:
        return _ARRANGED[operation.name](operation.params, *arrays)
    return arrays[0]


def computed(operation: Operation, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What JAX computes of arrays, by the operation alone."""
    return [np.asarray(result) for result in bind(operation.equation, [jnp.asarray(array) for array in arrays])]
