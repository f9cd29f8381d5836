"""What criteria from derivatives of the loss share: the loss of a batch, and sums over batches that are streamed."""

import functools
from collections.abc import Callable, Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.checks import check_function
from jaxticket.core.errors import MaskError
from jaxticket.core.paths import leaves, replace
from jaxticket.core.types import ApplyFn, Batch, Batches, Inputs, Mask, Params, Scores


def check_logits(apply_fn: ApplyFn, temperature: float = 1.0) -> ApplyFn:
    """`apply_fn` with float32 logits over a temperature, that refuses results other than [batch, classes]."""
    check_function("apply_fn", apply_fn)

    def checked(params: Params, x: Inputs) -> jax.Array:
        logits = apply_fn(params, x)
        if not (hasattr(logits, "ndim") and logits.ndim == 2):
            found = f"shape {np.shape(logits)}" if hasattr(logits, "ndim") else f"a {type(logits).__name__}"
            raise MaskError(f"apply_fn returned {found}; it must return logits [batch, classes], one array")
        return logits.astype(jnp.float32) / temperature

    return checked


def loss_at(
    apply_fn: ApplyFn, params: Params, mask: Mask, x: Inputs, labels: jax.Array
) -> tuple[Scores, Callable[[Scores], jax.Array]]:
    """The scored leaves, zero where pruned, and the mean cross entropy as a function of them."""
    weights = _masked(params, mask)

    def loss(weights: Scores) -> jax.Array:
        logs = jax.nn.log_softmax(apply_fn(replace(params, weights), x))
        return -jnp.take_along_axis(logs, labels[:, None], axis=1).mean()

    return weights, loss


def checked_batches(batches: Batches) -> Iterator[Batch]:
    """The batches, checked, with labels as arrays.

    Raises:
        MaskError: there is none, or one is not (x, integer labels [batch]).
    """
    if not isinstance(batches, Iterable):
        raise MaskError(f"batches is a {type(batches).__name__}; it must be a list of pairs (x, integer labels)")
    number = -1
    for number, batch in enumerate(batches):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise MaskError(f"batch {number} is a {type(batch).__name__}; it must be a pair (x, integer labels)")
        x, labels = batch
        labels = labels if isinstance(labels, jax.Array) else np.asarray(labels)
        if hasattr(x, "shape") and np.shape(x)[:1] != np.shape(labels)[:1]:
            raise MaskError(
                f"batch {number} has x {list(np.shape(x))} and labels {list(np.shape(labels))}; give a label for each"
            )
        if labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
            raise MaskError(
                f"batch {number} has labels {labels.dtype}{list(labels.shape)}; they must be integer classes [batch]"
            )
        yield x, labels
    if number < 0:
        raise MaskError("there are no batches; at least one is needed (an iterator can be gone through only once)")


def gradient_sum(apply_fn: ApplyFn, params: Params, mask: Mask, batches: Batches) -> Scores:
    """The sum over batches of the gradient of `loss_at`, in float32."""

    @jax.jit
    def gradient(params: Params, mask: Mask, x: Inputs, labels: jax.Array) -> Scores:
        weights, loss = loss_at(apply_fn, params, mask, x, labels)
        return as_float32(jax.grad(loss)(weights))

    return summed(gradient(params, mask, x, labels) for x, labels in checked_batches(batches))


def summed(terms: Iterator[Scores]) -> Scores:
    """The sum of the terms, which are taken one at a time."""
    total = next(terms)
    for term in terms:
        total = _add(total, term)
    return total


@functools.partial(jax.jit, donate_argnums=0)
def _add(total: Scores, term: Scores) -> Scores:
    return {path: leaf + term[path] for path, leaf in total.items()}


def _masked(params: Params, mask: Mask) -> Scores:
    found = leaves(params)
    return {path: jnp.where(kept, found[path], jnp.zeros_like(found[path])) for path, kept in mask.items()}


def as_float32(tree: Scores) -> Scores:
    """The leaves in float32."""
    return {path: leaf.astype(jnp.float32) for path, leaf in tree.items()}


@jax.jit
def kept_weights(params: Params, mask: Mask) -> Scores:
    """The scored leaves in float32, zero where pruned."""
    return as_float32(_masked(params, mask))


@jax.jit
def products(a: Scores, b: Scores) -> Scores:
    """The products of leaves of the same path, in float32."""
    return {path: leaf.astype(jnp.float32) * b[path].astype(jnp.float32) for path, leaf in a.items()}


def absolute_products(weights: Scores, gradients: Scores) -> Scores:
    """The absolute values of `products`."""
    return {path: jnp.abs(leaf) for path, leaf in products(weights, gradients).items()}
