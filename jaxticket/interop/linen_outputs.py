"""What the layers of a Flax Linen network return, and the gradient of a loss in it."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from jaxticket.core.errors import MaskError
from jaxticket.core.types import Params, Path
from jaxticket.tracing.linen import ModuleCall, listen


def layer_outputs(
    apply_fn: Callable[[Any, Any], Any], params: Params, x: Any, paths: Iterable[Path]
) -> dict[Path, Any]:
    """The output of dense and convolutional layers on one batch, before any normalisation or activation.

    Jit-able; under `jax.eval_shape` it gives the shapes alone. Layers inside `nn.scan`, `nn.vmap` or `nn.remat` cannot
    be looked into.

    Args:
        apply_fn: (params, x) -> anything, calling `apply` of a Linen module.
        params: its parameters.
        x: the batch.
        paths: kernels of the layers, such as the keys of a mask.

    Returns:
        Path of the kernel -> array [batch, *space, channels], in the order in which the layers are called.

    Raises:
        MaskError: one of `paths` is no kernel of an `nn.Dense` or `nn.Conv` that is called, or of one that is called
            more than once.

    Example:
        >>> import flax.linen as nn
        >>> from jaxticket import interop
        >>> model, x = nn.Dense(2), jnp.array([[3.0], [4.0]])
        >>> params = {"kernel": jnp.ones((1, 2)), "bias": jnp.zeros(2)}
        >>> apply_fn = lambda params, x: model.apply({"params": params}, x)
        >>> interop.layer_outputs(apply_fn, params, x, ["kernel"])["kernel"].tolist()
        [[3.0, 3.0], [4.0, 4.0]]
    """
    return _listen(apply_fn, params, x, frozenset(paths), {})[0]


def output_gradients(
    apply_fn: Callable[[Any, Any], Any],
    params: Params,
    x: Any,
    paths: Iterable[Path],
    loss: Callable[[Any], Any],
) -> tuple[dict[Path, Any], dict[Path, Any]]:
    """The outputs of layers, and the gradient of a loss in them; see `layer_outputs`.

    Args:
        apply_fn: (params, x) -> what `loss` takes.
        params: its parameters.
        x: the batch.
        paths: kernels of the layers.
        loss: a scalar function of what `apply_fn` returns.

    Returns:
        Two dictionaries of the same paths and shapes: the outputs, and the gradients.

    Example:
        >>> import flax.linen as nn
        >>> from jaxticket import interop
        >>> model, x = nn.Dense(2), jnp.array([[3.0], [4.0]])
        >>> params = {"kernel": jnp.ones((1, 2)), "bias": jnp.zeros(2)}
        >>> apply_fn = lambda params, x: model.apply({"params": params}, x)
        >>> outputs, gradients = interop.output_gradients(apply_fn, params, x, ["kernel"], jnp.sum)
        >>> gradients["kernel"].tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    wanted = frozenset(paths)
    shapes = jax.eval_shape(lambda: layer_outputs(apply_fn, params, x, wanted))
    nothing = {path: jnp.zeros(shape.shape, shape.dtype) for path, shape in shapes.items()}

    def of_added(added: dict[Path, Any]) -> tuple[Any, dict[Path, Any]]:
        found, result = _listen(apply_fn, params, x, wanted, added)
        return loss(result), found

    # The gradient in what is added to an output is the gradient in the output.
    gradients, found = jax.grad(of_added, has_aux=True)(nothing)
    return found, gradients


def _listen(
    apply_fn: Callable[[Any, Any], Any], params: Params, x: Any, wanted: frozenset[Path], added: dict[Path, Any]
) -> tuple[dict[Path, Any], Any]:
    found: dict[Path, Any] = {}

    def keep(call: ModuleCall) -> Any:
        path, outputs = call.path("kernel") if call.is_layer else "", call.proceed()
        if path not in wanted:
            return outputs
        if path in found:
            raise MaskError(f"the layer of {path!r} is called more than once, so it has no one output; leave it out")
        found[path] = outputs + added[path] if path in added else outputs
        return found[path]

    with listen(keep):
        result = apply_fn(params, x)
    missing = sorted(wanted - set(found))
    if missing:
        raise MaskError(
            f"{missing[0]!r} is no kernel of an nn.Dense or nn.Conv that the network calls; "
            f"found {', '.join(found) or 'none of those asked for'}"
        )
    return found, result
