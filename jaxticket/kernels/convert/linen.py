"""Flax Linen models with sparse weights: their layers are left alone, and their calls intercepted."""

import functools
from collections.abc import Collection, Mapping
from typing import Any

import jax
from flax import linen as nn

from jaxticket.core import paths
from jaxticket.core.errors import MaskError
from jaxticket.core.types import Inputs, Path, PyTree, Variables
from jaxticket.kernels.convert.layers import run_module, shape_of_layer
from jaxticket.kernels.convert.model import Apply, Fold, LayerShapes, ModelAdapter, OnLayer, OnNorm, Runnable
from jaxticket.kernels.formats.sparse_weight import SparseWeight
from jaxticket.structure.shrink.resized import resized
from jaxticket.tracing.linen import ModuleCall, listen


def linen_adapter(model: object, variables: PyTree, backend: str | None) -> tuple[ModelAdapter, Variables] | None:
    """What a Linen module is to `sparsify`, and its variables; None of anything else.

    Raises:
        MaskError: variables without parameters.
    """
    if not isinstance(model, nn.Module):
        return None
    if not isinstance(variables, Mapping) or "params" not in variables:
        raise MaskError(
            "the variables of a Linen model have 'params'; give {'params': params, **the other collections}"
        )
    apply = resized(lambda variables, *inputs, **how: model.apply(variables, *inputs, **how))

    def sparse(variables: Variables, weights: Mapping[Path, SparseWeight], folds: Mapping[Path, Fold]) -> Runnable:
        new = paths.replace(variables, weights)
        for path, fold in folds.items():
            *parents, _ = path.split("/")
            functools.reduce(lambda node, name: node[name], parents, new)["bias"] = fold.bias
        return Runnable(new, linen_sparse(apply, {fold.norm for fold in folds.values()}, backend))

    shapes, watched = functools.partial(linen_shapes, apply), functools.partial(linen_watched, apply)
    return ModelAdapter(apply, shapes, sparse, watched), variables


def linen_shapes(apply: Apply, variables: Variables, x: Inputs) -> LayerShapes:
    """The shapes with which the dense and convolutional layers of a Linen model are called; nothing is computed.

    Args:
        apply: (variables, x) -> anything, calling `apply` of a Linen module.
        variables: its variables.
        x: the input, perhaps abstract.
    """
    found: LayerShapes = {}

    def note(call: ModuleCall) -> Any:
        if _is_layer(call):
            kernel = nn.meta.unbox(call.module.get_variable("params", "kernel"))
            found.setdefault(f"params/{call.path('kernel')}", []).append(
                shape_of_layer(call.module, call.inputs, kernel)
            )
        return call.proceed()

    with listen(note):
        # A function of its own: JAX remembers traces by function, and would not call one that it has traced before.
        jax.eval_shape(lambda variables, x: apply(variables, x), variables, x)
    return found


def linen_watched(apply: Apply, on_layer: OnLayer, on_norm: OnNorm) -> Apply:
    """`apply` with something in between at dense and convolutional layers and batch normalisations."""

    def watch(call: ModuleCall) -> Any:
        if _is_layer(call):
            return on_layer(f"params/{call.path('kernel')}", call.proceed())
        # One with a mask, or with statistics that the call decides about, is left alone.
        if _is_norm(call) and len(call.args) == 1 and not call.kwargs:
            return on_norm(call.path(), call.module, call.args[0], call.run)
        return call.proceed()

    def watched_apply(variables: Variables, x: Inputs) -> Any:
        with listen(watch):
            return apply(variables, x)

    return watched_apply


def linen_sparse(apply: Apply, folded: Collection[Path], backend: str | None) -> Apply:
    """`apply` for variables in which kernels of dense and convolutional layers are sparse weights.

    Args:
        apply: (variables, *inputs) -> anything, calling `apply` of a Linen module.
        folded: paths of batch normalisations that return their input.
        backend: by which sparse layers run.
    """

    def run(call: ModuleCall) -> Any:
        if _is_norm(call) and call.path() in folded:
            return call.inputs
        if _is_layer(call):
            kernel = call.module.get_variable("params", "kernel")
            if isinstance(kernel, SparseWeight):
                bias = call.module.get_variable("params", "bias")
                return run_module(call.module, call.inputs, kernel, bias, backend)
        return call.proceed()

    def sparse_apply(variables: Variables, *args: Any, **kwargs: Any) -> Any:
        with listen(run):
            return apply(variables, *args, **kwargs)

    return sparse_apply


def _is_layer(call: ModuleCall) -> bool:
    """Subclasses may compute something else, so they are no layers here."""
    return type(call.module) in (nn.Dense, nn.Conv) and call.method == "__call__"


def _is_norm(call: ModuleCall) -> bool:
    return type(call.module) is nn.BatchNorm and call.method == "__call__"
