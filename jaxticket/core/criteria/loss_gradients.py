"""What criteria from derivatives of the loss share: the loss of a batch, and sums over batches that are streamed."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.checks import check_function
from jaxticket.core.errors import MaskError
from jaxticket.core.paths import leaves, replace
from jaxticket.core.types import ApplyFn, Array, Batch, Batches, Inputs, LossFn, Mask, Params, Scores, Targets

# (params, x, targets) -> the loss of a batch, a float32 scalar.
BatchLoss: TypeAlias = Callable[[Params, Inputs, Targets], jax.Array]


def check_logits(apply_fn: ApplyFn, temperature: float = 1.0) -> ApplyFn:
    """`apply_fn` with float32 logits over a temperature, that refuses results other than [batch, ..., classes]."""
    check_function("apply_fn", apply_fn)

    def checked(params: Params, x: Inputs) -> jax.Array:
        logits = apply_fn(params, x)
        if not (hasattr(logits, "ndim") and logits.ndim >= 2):
            found = f"shape {np.shape(logits)}" if hasattr(logits, "ndim") else f"a {type(logits).__name__}"
            raise MaskError(f"apply_fn returned {found}; it must return logits [batch, ..., classes], one array")
        return logits.astype(jnp.float32) / temperature

    return checked


def batch_loss(apply_fn: ApplyFn, loss_fn: LossFn | None, temperature: float = 1.0) -> BatchLoss:
    """(params, x, targets) -> the loss of a batch, a float32 scalar.

    Args:
        apply_fn: the network.
        loss_fn: (outputs, targets) -> scalar, of the outputs in float32; None: the mean cross entropy of integer labels
            [batch, ...] and logits [batch, ..., classes].
        temperature: by which the logits of that cross entropy are divided.

    Raises:
        MaskError: it is no function; while traced, outputs that do not fit, or a loss that is no scalar.
    """
    if loss_fn is None:
        logits_of = check_logits(apply_fn, temperature)
        return lambda params, x, labels: _cross_entropy(logits_of(params, x), labels)
    check_function("apply_fn", apply_fn)
    check_function("loss_fn", loss_fn)

    def own_loss(params: Params, x: Inputs, targets: Targets) -> jax.Array:
        loss = loss_fn(jax.tree.map(_in_float32, apply_fn(params, x)), targets)
        if np.shape(loss) != () or not jnp.issubdtype(jnp.result_type(loss), jnp.floating):
            found = f"shape {np.shape(loss)}" if np.shape(loss) else f"a {type(loss).__name__}"
            raise MaskError(f"loss_fn returned {found}; it must return one float, such as the mean over the batch")
        return jnp.asarray(loss, jnp.float32)

    return own_loss


def _cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    if logits.shape[:-1] != labels.shape:
        raise MaskError(
            f"apply_fn returned logits {list(logits.shape)} for labels {list(labels.shape)}; they must be "
            f"[{', '.join(map(str, labels.shape))}, classes]"
        )
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], axis=-1).mean()


def _in_float32(leaf: jax.Array) -> jax.Array:
    return leaf.astype(jnp.float32) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def loss_at(
    loss: BatchLoss, params: Params, mask: Mask, x: Inputs, targets: Targets
) -> tuple[Scores, Callable[[Scores], jax.Array]]:
    """The scored leaves, zero where pruned, and the loss of a batch as a function of them."""
    return _masked(params, mask), lambda weights: loss(replace(params, weights), x, targets)


def checked_batches(batches: Batches, loss_fn: LossFn | None = None) -> Iterator[Batch]:
    """The batches, checked, with targets as arrays.

    Raises:
        MaskError: there is none, or one is not (x, targets); without a `loss_fn` these are integer labels [batch, ...].
    """
    pair = "a pair (x, integer labels)" if loss_fn is None else "a pair (x, targets)"
    if not isinstance(batches, Iterable):
        raise MaskError(f"batches is a {type(batches).__name__}; it must be a list, each item {pair}")
    number = -1
    for number, batch in enumerate(batches):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise MaskError(f"batch {number} is a {type(batch).__name__}; it must be {pair}")
        x, targets = batch[0], jax.tree.map(_as_array, batch[1]) if loss_fn else _as_array(batch[1])
        sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves((x, targets)) if hasattr(leaf, "shape")}
        if len(sizes) > 1:
            shapes = [[list(np.shape(leaf)) for leaf in jax.tree.leaves(part)] for part in (x, targets)]
            found, wanted = (one[0] if len(one) == 1 else one for one in shapes)
            raise MaskError(f"batch {number} has x {found} and labels {wanted}; give a label for each")
        if loss_fn is None and (not targets.ndim or not jnp.issubdtype(targets.dtype, jnp.integer)):
            raise MaskError(
                f"batch {number} has labels {targets.dtype}{list(targets.shape)}; they must be integer classes "
                "[batch, ...], or give a loss_fn(outputs, targets) for others"
            )
        yield x, targets
    if number < 0:
        raise MaskError("there are no batches; at least one is needed (an iterator can be gone through only once)")


def _as_array(leaf: Any) -> Array:
    return leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)


def gradient_sum(
    loss: BatchLoss, params: Params, mask: Mask, batches: Batches, loss_fn: LossFn | None = None
) -> Scores:
    """The sum over batches of the gradient of a loss, in float32; `loss_fn` says which targets are allowed."""

    @jax.jit
    def gradient(params: Params, mask: Mask, x: Inputs, targets: Targets) -> Scores:
        weights, at = loss_at(loss, params, mask, x, targets)
        return as_float32(jax.grad(at)(weights))

    return summed(gradient(params, mask, x, targets) for x, targets in checked_batches(batches, loss_fn))


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
