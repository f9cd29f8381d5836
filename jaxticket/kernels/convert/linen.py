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
from jaxticket.tracing.linen import ModuleCall, listen

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

    def note(call: ModuleCall) -> Any:
        if _is_layer(call):
            kernel = nn.meta.unbox(call.module.get_variable("params", "kernel"))
            path = f"params/{call.path('kernel')}"
            found.setdefault(path, []).append(call_of(call.module, call.inputs, kernel))
        return call.proceed()

    with listen(note):
        # A function of its own: JAX remembers traces by function, and would not call one that it has traced before.
        jax.eval_shape(lambda variables, x: apply(variables, x), variables, x)
    return found


def linen_watched(apply: Callable[..., Any], on_layer: OnLayer, on_norm: OnNorm) -> Callable[..., Any]:
    """`apply` with something in between at dense and convolutional layers and batch normalisations."""

    def watch(call: ModuleCall) -> Any:
        if _is_layer(call):
            return on_layer(f"params/{call.path('kernel')}", call.proceed())
        # One with a mask, or with statistics that the call decides about, is left to itself.
        if _is_norm(call) and len(call.args) == 1 and not call.kwargs:
            return on_norm(call.path(), call.module, call.args[0], call.run)
        return call.proceed()

    def watched_apply(variables: Any, x: Any) -> Any:
        with listen(watch):
            return apply(variables, x)

    return watched_apply


def linen_sparse(apply: Callable[..., Any], folded: Collection[Path] = ()) -> Callable[..., Any]:
    """`apply` for variables in which kernels of dense and convolutional layers are sparse weights.

    Args:
        apply: (variables, *inputs) -> anything, calling `apply` of a Linen module.
        folded: paths of batch normalisations that return what they are given.
    """

    def sparse_apply(variables: Any, *args: Any, **kwargs: Any) -> Any:
        with listen(functools.partial(_sparse, frozenset(folded))):
            return apply(variables, *args, **kwargs)

    return sparse_apply


def _sparse(folded: frozenset[Path], call: ModuleCall) -> Any:
    if _is_norm(call) and call.path() in folded:
        return call.inputs
    if not _is_layer(call):
        return call.proceed()
    kernel = call.module.get_variable("params", "kernel")
    if not isinstance(kernel, BlockSparse | DenseGroups):
        return call.proceed()
    return run_layer(call.module, call.inputs, kernel, call.module.get_variable("params", "bias"))


def run_layer(module: Any, x: Any, kernel: SparseWeight, bias: Any) -> jax.Array:
    """What a dense or convolutional layer returns, computed with a sparse kernel.

    Raises:
        MaskError: the input is of another kind than the one for which the layer was made sparse.
    """
    found = call_of(module, x, kernel)
    if isinstance(found, str):
        raise MaskError(f"a layer with a sparse kernel cannot take this input: {found}; give one like the sample")
    return sparse_call(found, x, kernel, bias)


def _is_layer(call: ModuleCall) -> bool:
    """Subclasses may compute something else, so they are no layers here."""
    return type(call.module) in (nn.Dense, nn.Conv) and call.method == "__call__"


def _is_norm(call: ModuleCall) -> bool:
    return type(call.module) is nn.BatchNorm and call.method == "__call__"
