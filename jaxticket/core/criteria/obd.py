"""Optimal brain damage: the effect of a weight on the loss, by its curvature."""

from collections.abc import Iterator

import jax
import numpy as np

from jaxticket.core.checks import check_whole
from jaxticket.core.criteria.loss_gradients import (
    as_float32,
    batch_loss,
    checked_batches,
    kept_weights,
    loss_at,
    products,
    summed,
)
from jaxticket.core.masks import check_fit
from jaxticket.core.types import ApplyFn, Batches, Inputs, LossFn, Mask, Params, Scores, Targets


def obd(
    apply_fn: ApplyFn,
    params: Params,
    mask: Mask,
    batches: Batches,
    *,
    chunk: int = 8,
    loss_fn: LossFn | None = None,
) -> Scores:
    """Optimal brain damage: `w^2 * h / 2`, h the curvature of the loss along the weight alone.

    LeCun et al., "Optimal brain damage" (NeurIPS 1989), equation 5. The curvature is the diagonal of the empirical
    Fisher matrix, the sum over examples of the squared gradient of the example's loss, as in Theis et al.,
    "Faster gaze prediction with dense networks and Fisher pruning" (2018). `apply_fn` must treat examples one by
    one, so normalisations must not use the batch.

    Args:
        apply_fn: (params, x) -> logits [batch, ..., classes]; with a `loss_fn` whatever that takes.
        params: any pytree of arrays; derivatives are taken at `params * mask`.
        mask: path -> bool array; its paths are scored.
        batches: (x, targets) pairs, gone through once, as for `snip`.
        chunk: how many examples have their gradients, each of the size of the scored leaves, in memory at once.
        loss_fn: (outputs, targets) -> scalar, of a batch of one example here; outputs are float32. None: cross entropy.

    Returns:
        Path -> float32 array of the leaf's shape; zero where pruned.

    Raises:
        MaskError: as for `snip`, or a chunk below 1.

    Example:
        >>> params = {"fc": {"kernel": jnp.array([[1.0, -1.0], [0.5, 0.0]])}}
        >>> network = lambda params, x: x @ params["fc"]["kernel"]
        >>> batches = [(jnp.array([[1.0, 2.0]]), jnp.array([0]))]
        >>> jt.obd(network, params, jt.full_mask(params), batches)["fc/kernel"].shape
        (2, 2)
    """
    check_fit(params, mask)
    check_whole("chunk", chunk, 1)
    loss = batch_loss(apply_fn, loss_fn)

    @jax.jit
    def term(params: Params, mask: Mask, x: Inputs, targets: Targets, counts: jax.Array) -> Scores:
        def squares(example: Inputs, target: Targets, count: jax.Array) -> Scores:
            one = jax.tree.map(lambda leaf: leaf[None], (example, target))
            weights, at = loss_at(loss, params, mask, *one)
            return {path: count * leaf**2 for path, leaf in as_float32(jax.grad(at)(weights)).items()}

        return {path: leaf.sum(0) for path, leaf in jax.vmap(squares)(x, targets, counts).items()}

    def terms() -> Iterator[Scores]:
        for batch in checked_batches(batches, loss_fn):
            size = len(jax.tree.leaves(batch)[0])
            for start in range(0, size, chunk):
                # The last chunk is filled with an example that does not count, for one shape of chunk.
                places = np.arange(start, start + chunk)
                rows = np.minimum(places, size - 1)
                part = jax.tree.map(lambda leaf, rows=rows: leaf[rows], batch)
                yield term(params, mask, *part, (places < size).astype(np.float32))

    total = summed(terms())
    weights = kept_weights(params, mask)
    return {path: leaf / 2 for path, leaf in products(products(weights, weights), total).items()}
