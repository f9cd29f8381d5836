"""Flax Linen models with sparse weights: their layers are left alone, and their calls intercepted."""

from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn

from jaxticket.core.errors import MaskError
from jaxticket.core.rules import Path
from jaxticket.kernels.block_sparse import BlockSparse
from jaxticket.kernels.calls import Call, call_of, sparse_call
from jaxticket.kernels.dense_groups import DenseGroups
from jaxticket.kernels.pieces import SparseWeight

Calls = dict[Path, list[Call | str]]


def linen_calls(apply: Callable[[Any, Any], Any], variables: Any, x: Any) -> Calls:
    """With what the dense and convolutional layers of a Linen model are called; nothing is computed.

    Args:
        apply: (variables, x) -> anything, calling `apply` of a Linen module.
        variables: its variables.
        x: the input, perhaps abstract.

    Returns:
        Path of the kernel, `params/...` -> its calls in order; a reason in the place of one that has to stay dense.
    """
    found: Calls = {}

    def listen(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        if _is_layer(context):
            kernel = nn.meta.unbox(context.module.get_variable("params", "kernel"))
            path = "/".join(("params", *context.module.path, "kernel"))
            found.setdefault(path, []).append(call_of(context.module, _input(args, kwargs), kernel))
        return call(*args, **kwargs)

    with nn.intercept_methods(listen):
        # A function of its own: JAX remembers traces by function, and would not call one that it has traced before.
        jax.eval_shape(lambda variables, x: apply(variables, x), variables, x)
    return found


def linen_sparse(apply: Callable[..., Any]) -> Callable[..., Any]:
    """`apply` for variables in which kernels of dense and convolutional layers are sparse weights.

    Args:
        apply: (variables, *inputs) -> anything, calling `apply` of a Linen module.
    """

    def sparse_apply(variables: Any, *args: Any, **kwargs: Any) -> Any:
        with nn.intercept_methods(_intercept):
            return apply(variables, *args, **kwargs)

    return sparse_apply


def _intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
    if not _is_layer(context):
        return call(*args, **kwargs)
    module = context.module
    kernel = module.get_variable("params", "kernel")
    if not isinstance(kernel, BlockSparse | DenseGroups):
        return call(*args, **kwargs)
    return run_layer(module, _input(args, kwargs), kernel, module.get_variable("params", "bias"))


def run_layer(module: Any, x: Any, kernel: SparseWeight, bias: Any) -> jax.Array:
    """What a dense or convolutional layer returns, computed with a sparse kernel.

    Raises:
        MaskError: the input is of another kind than the one for which the layer was made sparse.
    """
    found = call_of(module, x, kernel)
    if isinstance(found, str):
        raise MaskError(f"a layer with a sparse kernel cannot take this input: {found}; give one like the sample")
    return sparse_call(found, x, kernel, bias)


def _is_layer(context: Any) -> bool:
    return type(context.module) in (nn.Dense, nn.Conv) and context.method_name == "__call__"


def _input(args: Any, kwargs: Any) -> Any:
    return args[0] if args else kwargs["inputs"]
