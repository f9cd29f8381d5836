"""Which channels of which parameters belong together, from the operations of any function of parameters.

The function is traced, and every position along every axis of every value has an identity. A rule for each operation
says how the axes of its results come from those of its operands: identities that meet in one position become one, and
those on whose number something depends are pinned. What is left in one class must be removed together.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import JaxprEqn

from jaxticket.core import paths
from jaxticket.core.checks import check_function
from jaxticket.core.types import Inputs, Params, Path
from jaxticket.structure.channel_groups import rules_elements, rules_shapes, rules_sums
from jaxticket.structure.channel_groups.channels import ChannelGroups
from jaxticket.structure.channel_groups.equal_parts import tie_equal_parts
from jaxticket.structure.channel_groups.grouping import collect_groups
from jaxticket.structure.channel_groups.traced import Rule, Trace, Value, new_value, pin_unknown
from jaxticket.tracing.jaxpr import interpret

_RULES: dict[str, Rule] = {**rules_elements.RULES, **rules_shapes.RULES, **rules_sums.RULES}


def channel_groups(fn: Callable[..., Any], params: Params, *inputs: Inputs) -> ChannelGroups:
    """Which channels of which parameters must go together when a network is made smaller, and which cannot be removed.

    `fn` is traced with the shapes of `params` and `inputs`, nothing is computed. Channels are what the kernels of
    products, convolutions and look-ups make; what adds, multiplies, normalises, reads or joins them goes with them.
    Axes of the inputs and of the outputs stay as they are, and so do channels that an operation without a rule
    touches; each group that cannot go says why. An output that stands at the path of a leaf of `params`, such as
    `batch_stats/norm/mean` of updated statistics, is the new value of that leaf and pins nothing.

    After a removal `fn` runs again with smaller arrays, so what it computes from shapes must come out right. Where an
    axis is cut into equal parts (by a split, a slice or the groups of a convolution), each of them must lose as many
    channels, so those of different parts are tied, the first of one with the first of another. An axis that is
    reshaped into heads times features loses features of every head, and heads only if they are an axis of the kernel.
    Sizes that `fn` has as numbers, in `reshape(batch, 64)`, look the same in a trace as computed ones; whoever writes
    such an `fn` has to know.

    The kind of method goes back to the dependency graph of Fang et al., "DepGraph: Towards Any Structural Pruning"
    (CVPR 2023); here positions, not layers, are tied, and nothing is known of layers.

    Args:
        fn: a function that JAX can trace: (params, *inputs) -> any pytree of arrays.
        params: pytree of arrays or `jax.ShapeDtypeStruct`s. For a network with running statistics it is the whole
            tree of variables, so that paths begin with `params/` and `batch_stats/`; arrays that `fn` closes over
            have fixed sizes, and pin what they meet.
        *inputs: pytrees of arrays or `jax.ShapeDtypeStruct`s.

    Returns:
        The groups. A leaf axis may have channels of several groups, as behind a concatenation, or channels of none.

    Raises:
        MaskError: two leaves of `params` have the same path.

    Example:
        >>> def net(params, x):
        ...     return jax.nn.relu(x @ params["hidden"]["kernel"]) @ params["head"]["kernel"]
        >>> params = {"hidden": {"kernel": jnp.ones((3, 4))}, "head": {"kernel": jnp.ones((4, 2))}}
        >>> (group,) = jt.channel_groups(net, params, jnp.ones((1, 3))).prunable
        >>> group.size, [(part.path, part.axis, part.role) for part in group.slices]
        (4, [('head/kernel', 0, 'input'), ('hidden/kernel', 1, 'output')])
    """
    check_function("fn", fn)
    paths.leaves(params)
    traced, results = jax.make_jaxpr(fn, return_shape=True)(params, *inputs)
    trace = Trace()
    leaves = {}
    for key_path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        leaves[paths.path_string(key_path)] = _parameter(trace, paths.path_string(key_path), np.shape(leaf))
    arguments = [
        trace.fixed_value(variable.aval.shape, "they are an axis of an input")
        for variable in traced.jaxpr.invars[len(leaves) :]
    ]

    def rule(equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
        return _RULES.get(equation.primitive.name, pin_unknown)(trace, equation, operands)

    def constant(array: Any, kind: Any) -> Value:
        del kind
        return _constant(trace, array)

    values = interpret(traced, [*leaves.values(), *arguments], rule, constant=constant)
    for (key_path, _), value in zip(jax.tree_util.tree_flatten_with_path(results)[0], values, strict=True):
        _leave(trace, paths.path_string(key_path), value, leaves)
    for parts in trace.parts:
        tie_equal_parts(trace.ids, parts)
    return ChannelGroups(collect_groups(trace, leaves))


def _parameter(trace: Trace, path: Path, shape: Sequence[int]) -> Value:
    axes = [None if size == 1 else trace.ids.fresh(size) for size in shape]
    return new_value(shape, axes, [frozenset({(path, axis)}) for axis in range(len(shape))], [])


def _constant(trace: Trace, array: Any) -> Value:
    shape = np.shape(array)
    if shape:
        return trace.fixed_value(shape, f"a constant of shape {shape} meets them, which is no part of params")
    dtype = array.dtype if hasattr(array, "dtype") else np.asarray(array).dtype
    is_real = jax.numpy.issubdtype(dtype, np.integer) or jax.numpy.issubdtype(dtype, np.floating)
    return Value((), (), (), scalar=float(array) if is_real else None)


def _leave(trace: Trace, path: Path, value: Value, leaves: dict[Path, Value]) -> None:
    """An output keeps its axes, unless it is the new value of a leaf."""
    for name, leaf in leaves.items():
        if f"/{path}".endswith(f"/{name}") and leaf.shape == value.shape:
            for own, new in zip(leaf.axes, value.axes, strict=True):
                trace.ids.merge(own, new)
            return
    trace.pin_all([value], "they are an axis of an output")
