"""A Flax NNX model as a pure function of its parameters, which is what criteria and other transformations take."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxticket.core import paths
from jaxticket.core.errors import MaskError
from jaxticket.core.types import Params


def functional(model: nnx.Module, *, train: bool = False) -> tuple[Callable[[Any, Any], Any], dict[str, Any]]:
    """The function that an NNX model is, and its parameters.

    Criteria take the two, and `nnx.update` writes pruned weights back::

        apply_fn, params = functional(model)
        mask = jt.prune(mask, jt.snip(apply_fn, params, mask, batches), sparsity=0.9)
        nnx.update(model, jt.apply_mask(params, mask))

    Masks, rules and tickets do not need it: they take an `nnx.State` as it is, and find the same paths there.

    Everything that is no parameter (running statistics, random number generators) is copied into the function, which
    gives the same answer every time and never changes `model`: statistics that a batch would update are dropped, and
    in training mode dropout draws the same numbers at each call. For `jt.synflow`, whose statistics must be those that
    a network starts from, take the function of a model that is not trained yet.

    Args:
        model: an NNX module that is called with the input alone.
        train: False sets `deterministic` and `use_running_average` wherever they are attributes, True unsets both.

    Returns:
        apply_fn: (params, x) -> what the model returns. `params` is any tree with the model's parameter paths and
            shapes: the dictionary below, an `nnx.State`, the parameters of a Linen twin or of a ticket. A pure
            function, for `jit`, `grad` and `vmap`.
        params: nested dictionary of the `nnx.Param` arrays; items of lists have integer keys. The arrays are those of
            the model. `nnx.update(model, params)` writes such a dictionary back, and `ticket.restore(params)` makes
            one of a ticket.

    Raises:
        MaskError: `model` is no NNX module, or has no parameters; and `apply_fn`, when `params` do not fit the model.

    Example:
        >>> from flax import nnx
        >>> from jaxticket.interop import functional
        >>> apply_fn, params = functional(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
        >>> apply_fn(params, jnp.zeros((1, 2))).shape
        (1, 3)
    """
    if not isinstance(model, nnx.Module):
        raise MaskError(
            f"functional takes an NNX module, got a {type(model).__name__}; for a Linen module write the function, "
            "lambda params, x: model.apply({'params': params}, x)"
        )
    copy = nnx.clone(model)
    (copy.train if train else copy.eval)()
    graph, state, rest = nnx.split(copy, nnx.Param, ...)
    rest = jax.tree.map(jnp.copy, rest)  # a step that donates the model's arrays must not take these away
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)
    own = {path: leaf.shape for path, leaf in paths.leaves(shapes).items()}
    if not own:
        raise MaskError(f"{type(model).__name__} has no nnx.Param; a model to prune keeps its weights in some")

    def apply_fn(params: Params, x: Any) -> Any:
        given = paths.leaves(params)
        found = {path: jnp.shape(leaf) for path, leaf in given.items()}
        for path in sorted(own.keys() | found.keys()):
            if found.get(path) != own.get(path):
                raise MaskError(
                    f"{path!r} is {own.get(path, 'absent')} in the model and {found.get(path, 'absent')} in the given "
                    "params; give the parameters of this model"
                )
        # Without the copy the model would be made of the variables in `rest`, and calling it would change them.
        return nnx.merge(graph, paths.replace(shapes, given), rest, copy=True)(x)

    return apply_fn, nnx.to_pure_dict(state)
