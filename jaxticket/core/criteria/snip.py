"""Criteria from derivatives of the loss, summed over batches that are streamed."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.checks import check_function, check_number, check_whole
from jaxticket.core.errors import MaskError
from jaxticket.core.masks import check_fit
from jaxticket.core.paths import leaves, replace
from jaxticket.core.types import ApplyFn, Batches, Mask, Params, PyTree, Scores


def snip(apply_fn: ApplyFn, params: Params, mask: Mask, batches: Batches, *, per_batch: bool = False) -> Scores:
    """Connection sensitivity: `|w * sum_b dL_b/dw|`, L_b the mean cross entropy of a batch.

    Lee et al., "SNIP: Single-shot network pruning based on connection sensitivity" (ICLR 2019), equation 4, without
    the division by the sum of all, which changes no order. On trained weights it is the first-order Taylor criterion
    of Molchanov et al. (ICLR 2017); `taylor` is this function.

    Batches are taken one at a time by one compiled step; besides it a sum and a gradient of the scored leaves are held.
    Traceable by `jit` and `vmap`, with a sequence of batches; outside of them every call compiles `apply_fn` anew,
    so that it may close over what changes. Arrays may be sharded.

    Args:
        apply_fn: (params, x) -> logits [batch, classes].
        params: any pytree of arrays; derivatives are taken at `params * mask`.
        mask: path -> bool array; its paths are scored.
        batches: (x, integer labels [batch]) pairs, gone through once. Another size of batch compiles once more.
        per_batch: add the scores of batches, `sum_b |w * dL_b/dw|`, instead of their gradients.

    Returns:
        Path -> float32 array of the leaf's shape; zero where pruned.

    Raises:
        MaskError: a mask that does not fit `params`, no batch, or one that is no pair of inputs and labels.
    """
    check_fit(params, mask)
    apply_fn = check_logits(apply_fn)

    @jax.jit
    def term(params: Params, mask: Mask, x: Any, labels: Any) -> Scores:
        weights, loss = _at(apply_fn, params, mask, x, labels)
        gradients = _wide(jax.grad(loss)(weights))
        return _magnitudes(weights, gradients) if per_batch else gradients

    total = _sum(term(params, mask, x, labels) for x, labels in _pairs(batches))
    return total if per_batch else _magnitudes(_kept(params, mask), total)


taylor = snip
"""First-order Taylor importance: `snip` by the name it has on trained weights."""


def grasp(apply_fn: ApplyFn, params: Params, mask: Mask, batches: Batches, temperature: float = 200.0) -> Scores:
    """Gradient signal preservation: `w * (H g)`, high where pruning the weight would lower the gradient's norm.

    Wang et al., "Picking winning tickets before training by preserving gradient flow" (ICLR 2020), equation 8, with
    the sign turned so that higher = keep: removing a weight changes `|g|^2` by about `-2 w (H g)`. Scores are signed.
    g and H are the sums over batches of gradient and Hessian of the mean cross entropy of `logits / temperature`,
    with respect to the weights that the mask keeps.

    Two passes over the batches: an iterator is kept as a list for the second, any other iterable is gone through
    twice and must give the same batches again. Otherwise as for `snip`.

    Args:
        apply_fn: (params, x) -> logits [batch, classes].
        params: any pytree of arrays; derivatives are taken at `params * mask`.
        mask: path -> bool array; its paths are scored.
        batches: (x, integer labels [batch]) pairs.
        temperature: above 0.

    Returns:
        Path -> float32 array of the leaf's shape; zero where pruned.

    Raises:
        MaskError: as for `snip`, or a temperature that is not above 0.
    """
    check_fit(params, mask)
    check_number("temperature", temperature, 0, np.inf, above=True)
    apply_fn = check_logits(apply_fn, temperature)
    batches = list(batches) if isinstance(batches, Iterator) else batches

    @jax.jit
    def gradient(params: Params, mask: Mask, x: Any, labels: Any) -> Scores:
        weights, loss = _at(apply_fn, params, mask, x, labels)
        return _wide(jax.grad(loss)(weights))

    @jax.jit
    def hessian_times(direction: Scores, params: Params, mask: Mask, x: Any, labels: Any) -> Scores:
        weights, loss = _at(apply_fn, params, mask, x, labels)
        tangent = {path: jnp.where(mask[path], direction[path], 0).astype(leaf.dtype) for path, leaf in weights.items()}
        return _wide(jax.jvp(jax.grad(loss), (weights,), (tangent,))[1])

    direction = _sum(gradient(params, mask, x, labels) for x, labels in _pairs(batches))
    product = _sum(hessian_times(direction, params, mask, x, labels) for x, labels in _pairs(batches))
    return _products(_kept(params, mask), product)


def obd(apply_fn: ApplyFn, params: Params, mask: Mask, batches: Batches, *, chunk: int = 8) -> Scores:
    """Optimal brain damage: `w^2 * h / 2`, h the curvature of the loss along the weight alone.

    LeCun et al., "Optimal brain damage" (NeurIPS 1989), equation 5. The curvature is the diagonal of the empirical
    Fisher matrix, the sum over examples of the squared gradient of the example's cross entropy, as in Theis et al.,
    "Faster gaze prediction with dense networks and Fisher pruning" (2018). `apply_fn` must treat examples one by
    one, so normalisations must not use the batch.

    Args:
        apply_fn: (params, x) -> logits [batch, classes].
        params: any pytree of arrays; derivatives are taken at `params * mask`.
        mask: path -> bool array; its paths are scored.
        batches: (x, integer labels [batch]) pairs, gone through once; x is one array.
        chunk: how many examples have their gradients, each of the size of the scored leaves, in memory at once.

    Returns:
        Path -> float32 array of the leaf's shape; zero where pruned.

    Raises:
        MaskError: as for `snip`, or a chunk below 1.
    """
    check_fit(params, mask)
    check_whole("chunk", chunk, 1)
    apply_fn = check_logits(apply_fn)

    @jax.jit
    def term(params: Params, mask: Mask, x: Any, labels: Any, counts: Any) -> Scores:
        def squares(example: Any, label: Any, count: Any) -> Scores:
            weights, loss = _at(apply_fn, params, mask, example[None], label[None])
            return {path: count * leaf**2 for path, leaf in _wide(jax.grad(loss)(weights)).items()}

        return {path: leaf.sum(0) for path, leaf in jax.vmap(squares)(x, labels, counts).items()}

    def terms() -> Iterator[Scores]:
        for x, labels in _pairs(batches):
            for start in range(0, len(labels), chunk):
                # The last chunk is filled with an example that does not count, for one shape of chunk.
                places = np.arange(start, start + chunk)
                rows = np.minimum(places, len(labels) - 1)
                yield term(params, mask, x[rows], labels[rows], (places < len(labels)).astype(np.float32))

    total = _sum(terms())
    weights = _kept(params, mask)
    return {path: leaf / 2 for path, leaf in _products(_products(weights, weights), total).items()}


def movement(params: Params, mask: Mask, grads: PyTree, so_far: Scores | None = None) -> Scores:
    """Movement: the sum over training steps of `-w * dL/dw`, high where weights move away from zero.

    Sanh et al., "Movement pruning: adaptive sparsity by fine-tuning" (NeurIPS 2020), equation 3. Call it once a
    step, before the update, and prune by what it has added up::

        scores = movement(params, mask, grads, scores)

    Traceable by `jit`, `vmap` and `scan`; under `scan` start from zeros.

    Args:
        params: any pytree of arrays, as they were when the gradients were taken.
        mask: path -> bool array; its paths are scored.
        grads: gradients, a tree like `params`.
        so_far: what the step before returned; None at the first.

    Returns:
        Path -> float32 array of the leaf's shape, signed; a weight adds nothing while it is pruned.

    Raises:
        MaskError: a mask that does not fit `params`, `grads` or `so_far`.
    """
    for tree in (params, grads, *(() if so_far is None else (so_far,))):
        check_fit(tree, mask)
    found = leaves(grads)
    terms = _products(_kept(params, mask), {path: found[path] for path in mask})
    return {path: (0.0 if so_far is None else so_far[path]) - term for path, term in terms.items()}


def check_logits(apply_fn: ApplyFn, temperature: float = 1.0) -> ApplyFn:
    """`apply_fn` with float32 logits over a temperature, that refuses results other than [batch, classes]."""
    check_function("apply_fn", apply_fn)

    def checked(params: Params, x: Any) -> jax.Array:
        logits = apply_fn(params, x)
        if not (hasattr(logits, "ndim") and logits.ndim == 2):
            found = f"shape {np.shape(logits)}" if hasattr(logits, "ndim") else f"a {type(logits).__name__}"
            raise MaskError(f"apply_fn returned {found}; it must return logits [batch, classes], one array")
        return logits.astype(jnp.float32) / temperature

    return checked


def _at(
    apply_fn: ApplyFn, params: Params, mask: Mask, x: Any, labels: Any
) -> tuple[Scores, Callable[[Scores], jax.Array]]:
    """The scored leaves, zero where pruned, and the mean cross entropy as a function of them."""
    weights = _masked(params, mask)

    def loss(weights: Scores) -> jax.Array:
        logs = jax.nn.log_softmax(apply_fn(replace(params, weights), x))
        return -jnp.take_along_axis(logs, labels[:, None], axis=1).mean()

    return weights, loss


def _pairs(batches: Batches) -> Iterator[tuple[Any, Any]]:
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


def _sum(terms: Iterator[Scores]) -> Scores:
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


def _wide(tree: Scores) -> Scores:
    return {path: leaf.astype(jnp.float32) for path, leaf in tree.items()}


@jax.jit
def _kept(params: Params, mask: Mask) -> Scores:
    return _wide(_masked(params, mask))


@jax.jit
def _products(a: Scores, b: Scores) -> Scores:
    return {path: leaf.astype(jnp.float32) * b[path].astype(jnp.float32) for path, leaf in a.items()}


def _magnitudes(weights: Scores, gradients: Scores) -> Scores:
    return {path: jnp.abs(leaf) for path, leaf in _products(weights, gradients).items()}
