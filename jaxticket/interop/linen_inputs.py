"""What goes into the layers of a Flax Linen network: the norms of their input features."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from jaxticket.core.errors import MaskError
from jaxticket.core.types import Params, Path
from jaxticket.tracing.linen import ModuleCall, listen


def input_norms(
    apply_fn: Callable[[Any, Any], Any], params: Params, batches: Iterable[tuple[Any, Any]]
) -> dict[Path, Any]:
    """The Euclidean norm of every input feature of every dense and convolutional layer, for `wanda`.

    It is taken over all examples of all batches, and over all positions. Batches are taken one at a time by one
    compiled step. Layers inside `nn.scan`, `nn.vmap` or `nn.remat` cannot be looked into.

    Args:
        apply_fn: (params, x) -> anything, calling `apply` of a Linen module.
        params: its parameters; masked ones for the inputs that the pruned network has.
        batches: (x, anything) pairs, gone through once.

    Returns:
        Path of the kernel -> float32 [inputs]; a layer that is called several times has one norm over all calls.

    Raises:
        MaskError: no batch, or no dense or convolutional layer is called.

    Example:
        >>> import flax.linen as nn
        >>> from jaxticket import interop
        >>> model, x = nn.Dense(2), jnp.array([[3.0], [4.0]])
        >>> params = {"kernel": jnp.ones((1, 2)), "bias": jnp.zeros(2)}
        >>> apply_fn = lambda params, x: model.apply({"params": params}, x)
        >>> interop.input_norms(apply_fn, params, [(x, None)])["kernel"].tolist()
        [5.0]
    """

    @jax.jit
    def squares(params: Params, x: Any) -> dict[Path, jax.Array]:
        found: dict[Path, jax.Array] = {}

        def add_squares(call: ModuleCall) -> Any:
            if call.is_layer:
                inputs, path = call.inputs.astype(jnp.float32), call.path("kernel")
                found[path] = found.get(path, 0.0) + jnp.square(inputs).sum(tuple(range(inputs.ndim - 1)))
            return call.proceed()

        with listen(add_squares):
            apply_fn(params, x)
        return found

    add = jax.jit(functools.partial(jax.tree.map, jnp.add), donate_argnums=0)
    total = None
    for x, _ in batches:
        found = squares(params, x)
        total = found if total is None else add(total, found)
    if not total:
        raise MaskError(
            "there are no batches; at least one is needed"
            if total is None
            else "apply_fn called no nn.Dense and no nn.Conv; it must call `apply` of a Linen module"
        )
    return {path: jnp.sqrt(leaf) for path, leaf in total.items()}
