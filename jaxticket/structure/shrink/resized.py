"""Functions of parameters that work with fewer channels than their network was declared with."""

import functools
import math
import sys
from collections.abc import Callable
from typing import Any

from jaxticket.tracing.linen import ModuleCall, listen


def resized(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` for parameters of other shapes than those that its Linen modules declare: the stored shapes rule.

    A plain JAX function computes with whatever arrays it is given and needs nothing. A Linen module declares sizes and
    compares them with what it is given; inside of the returned function, every module takes the sizes that are stored
    (numbers of features, groups of a convolution, heads), and a parameter of a module's own has the stored shape. It
    can be jitted and differentiated, in training mode as well. For NNX see `fit_nnx`.

    Args:
        fn: a function whose first argument are the parameters; what it calls, it calls with `Module.apply`.

    Returns:
        A function of the same arguments.
    """

    def apply(*args: Any, **kwargs: Any) -> Any:
        with listen(_with_stored_sizes):
            return fn(*args, **kwargs)

    return apply


def _with_stored_sizes(call: ModuleCall) -> Any:
    """Runs a method of a Linen module with the stored sizes in place of those declared."""
    module = call.module
    if module.scope is None:
        return call.proceed()
    if "param" not in vars(module.scope):
        module.scope.param = functools.partial(_stored, module.scope, module.scope.param)
    inputs = [*call.args, *call.kwargs.values()]
    fields = _fields(module, inputs[0].shape if inputs and hasattr(inputs[0], "shape") else ())
    declared = {name: getattr(module, name) for name in fields}
    try:
        for name, value in fields.items():
            object.__setattr__(module, name, value)  # the module forbids it otherwise
        return call.proceed()
    finally:
        for name, value in declared.items():
            object.__setattr__(module, name, value)


def _stored(scope: Any, param: Callable[..., Any], name: str, init: Callable[..., Any], *args: Any, **how: Any) -> Any:
    """What `scope.param` returns; a parameter that is stored is declared with the shape that it has."""
    if not scope.has_variable("params", name):
        return param(name, init, *args, **how)
    stored = scope.get_variable("params", name)
    unbox = {"unbox": how["unbox"]} if "unbox" in how else {}
    return param(name, lambda _: stored, **unbox)


def _fields(module: Any, x: tuple[int, ...]) -> dict[str, Any]:
    """Fields of a layer, as they follow from its stored parameters and the shape of its input."""
    linen = sys.modules["flax.linen"]

    def shape(*names: str) -> tuple[int, ...]:
        found = module.scope.get_variable("params", names[0])
        for name in names[1:]:
            found = (found or {}).get(name)
        return tuple(getattr(linen.meta.unbox(found), "shape", ()))

    if isinstance(module, linen.Embed):
        return dict(zip(("num_embeddings", "features"), shape("embedding"), strict=False))
    if isinstance(module, linen.MultiHeadDotProductAttention):
        heads = shape("query", "kernel")[-2:]
        return {"num_heads": heads[0], "qkv_features": math.prod(heads)} if heads else {}
    kernel = shape("kernel")
    if not kernel:
        return {}
    if isinstance(module, linen.DenseGeneral):
        rank = 1 if isinstance(module.features, int) else len(module.features)
        return {"features": kernel[-rank:]}
    if isinstance(module, linen.Dense):
        return {"features": kernel[-1]}
    if isinstance(module, linen.Conv):
        return {"features": kernel[-1], "feature_group_count": x[-1] // kernel[-2]}
    if isinstance(module, linen.ConvTranspose):
        return {"features": kernel[-2 if module.transpose_kernel else -1]}
    return {}


def fit_nnx(model: Any) -> Any:
    """An NNX model whose layers have the sizes of the arrays that they hold; the model itself, changed.

    To be put around `nnx.merge` in a function of a model's state, so that it works with fewer channels::

        graph, state = nnx.split(model)
        fn = lambda state, x: fit_nnx(nnx.merge(graph, state))(x)
        shrunk = jt.shrink(fn, state, mask, x)

    Args:
        model: an NNX module. Numbers of features, heads and groups of convolutions are set in all layers in it; a
            convolution with one input channel per group keeps that.
    """
    nnx = sys.modules["flax.nnx"]
    for _, module in nnx.iter_modules(model):
        kernel: Any = getattr(getattr(module, "kernel", None), "shape", ())
        if isinstance(module, nnx.MultiHeadAttention):
            inputs, heads, size = module.query.kernel.shape
            module.in_features, module.num_heads, module.head_dim = inputs, heads, size
            module.num_kv_heads, module.qkv_features = module.key.kernel.shape[-2], heads * size
        elif isinstance(module, nnx.LinearGeneral):
            ends = len(module.batch_axis), -len(module.out_features)
            module.in_features, module.out_features = kernel[ends[0] : ends[1]], kernel[ends[1] :]
        elif isinstance(module, nnx.Conv):
            inputs_per_group, outputs = kernel[-2:]
            if module.feature_group_count > 1 and inputs_per_group == 1:
                module.feature_group_count = outputs * module.feature_group_count // module.out_features
            module.in_features, module.out_features = inputs_per_group * module.feature_group_count, outputs
            module.kernel_shape = kernel
        elif isinstance(module, nnx.Linear):
            module.in_features, module.out_features = kernel
        elif isinstance(module, nnx.Embed):
            module.num_embeddings, module.features = module.embedding.shape
    return model
