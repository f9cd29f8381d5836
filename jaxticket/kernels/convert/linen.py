"""Flax Linen models with sparse weights: their layers are left alone, and their calls intercepted."""

import functools
from collections.abc import Callable, Collection
from typing import Any

import jax
from flax import linen as nn

from jaxticket.core.errors import MaskError
from jaxticket.core.types import Path
from jaxticket.kernels.convert.fold import OnLayer, OnNorm
from jaxticket.kernels.convert.layer_shape import Call, call_of, sparse_call
from jaxticket.kernels.formats.block_sparse import BlockSparse
from jaxticket.kernels.formats.dense_groups import DenseGroups
from jaxticket.kernels.formats.sparse_weight import SparseWeight

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


def linen_watched(apply: Callable[..., Any], on_layer: OnLayer, on_norm: OnNorm) -> Callable[..., Any]:
    """`apply` with something in between at dense and convolutional layers and batch normalisations."""

    def watch(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        if _is_layer(context):
            return on_layer("/".join(("params", *context.module.path, "kernel")), call(*args, **kwargs))
        # One with a mask, or with statistics that the call decides about, is left to itself.
        if _is_norm(context) and len(args) == 1 and not kwargs:
            return on_norm("/".join(context.module.path), context.module, args[0], call)
        return call(*args, **kwargs)

    def watched_apply(variables: Any, x: Any) -> Any:
        with nn.intercept_methods(watch):
            return apply(variables, x)

    return watched_apply


def linen_sparse(apply: Callable[..., Any], folded: Collection[Path] = ()) -> Callable[..., Any]:
    """`apply` for variables in which kernels of dense and convolutional layers are sparse weights.

    Args:
        apply: (variables, *inputs) -> anything, calling `apply` of a Linen module.
        folded: paths of batch normalisations that return what they are given.
    """

    def sparse_apply(variables: Any, *args: Any, **kwargs: Any) -> Any:
        with nn.intercept_methods(functools.partial(_intercept, frozenset(folded))):
            return apply(variables, *args, **kwargs)

    return sparse_apply


def _intercept(folded: frozenset[Path], call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
    if _is_norm(context) and "/".join(context.module.path) in folded:
        return args[0]
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


def _is_norm(context: Any) -> bool:
    return type(context.module) is nn.BatchNorm and context.method_name == "__call__"


def _input(args: Any, kwargs: Any) -> Any:
    return args[0] if args else kwargs["inputs"]
