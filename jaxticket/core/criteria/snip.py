"""SNIP, and first-order Taylor: the effect of a weight on the loss, by its gradient."""

import jax

from jaxticket.core.criteria.loss_gradients import (
    absolute_products,
    as_float32,
    batch_loss,
    checked_batches,
    kept_weights,
    loss_at,
    summed,
)
from jaxticket.core.masks import check_fit
from jaxticket.core.types import ApplyFn, Batches, Inputs, LossFn, Mask, Params, Scores, Targets


def snip(
    apply_fn: ApplyFn,
    params: Params,
    mask: Mask,
    batches: Batches,
    *,
    per_batch: bool = False,
    loss_fn: LossFn | None = None,
) -> Scores:
    """Connection sensitivity: `|w * sum_b dL_b/dw|`, L_b the loss of a batch.

    Lee et al., "SNIP: Single-shot network pruning based on connection sensitivity" (ICLR 2019), equation 4, without
    the division by the sum of all, which changes no order. On trained weights it is the first-order Taylor criterion
    of Molchanov et al. (ICLR 2017); `taylor` is this function.

    Batches are taken one at a time by one compiled step; besides it a sum and a gradient of the scored leaves are held.
    Traceable by `jit` and `vmap`, with a sequence of batches; outside of them every call compiles `apply_fn` anew,
    so that it may close over what changes. Arrays may be sharded.

    Args:
        apply_fn: (params, x) -> logits [batch, ..., classes]; with a `loss_fn` whatever that takes.
        params: any pytree of arrays; derivatives are taken at `params * mask`.
        mask: path -> bool array; its paths are scored.
        batches: (x, targets) pairs, gone through once; targets are integer labels [batch, ...], for every example, or
            every pixel of it, or what `loss_fn` takes. Another size of batch compiles once more.
        per_batch: add the scores of batches, `sum_b |w * dL_b/dw|`, instead of their gradients.
        loss_fn: (outputs, targets) -> scalar, the mean over the batch; outputs are float32. None: cross entropy.

    Returns:
        Path -> float32 array of the leaf's shape; zero where pruned.

    Raises:
        MaskError: a mask that does not fit `params`, no batch, one that is no pair of inputs and labels, targets that
            are no classes without a `loss_fn`, or one that returns no scalar.

    Example:
        >>> params = {"fc": {"kernel": jnp.array([[1.0, -1.0], [0.5, 0.0]])}}
        >>> network = lambda params, x: x @ params["fc"]["kernel"]
        >>> batches = [(jnp.array([[1.0, 2.0]]), jnp.array([0]))]
        >>> jt.snip(network, params, jt.full_mask(params), batches)["fc/kernel"].round(3).tolist()
        [[0.047..., 0.047...], [0.047..., 0.0]]
        >>> def squared(outputs, targets):
        ...     return ((outputs - targets) ** 2).mean()
        >>> distances = [(jnp.array([[1.0, 2.0]]), jnp.array([[0.5, 0.0]]))]
        >>> jt.snip(network, params, jt.full_mask(params), distances, loss_fn=squared)["fc/kernel"].tolist()
        [[1.5, 1.0], [1.5, 0.0]]
    """
    check_fit(params, mask)
    loss = batch_loss(apply_fn, loss_fn)

    @jax.jit
    def term(params: Params, mask: Mask, x: Inputs, targets: Targets) -> Scores:
        weights, at = loss_at(loss, params, mask, x, targets)
        gradients = as_float32(jax.grad(at)(weights))
        return absolute_products(weights, gradients) if per_batch else gradients

    total = summed(term(params, mask, x, targets) for x, targets in checked_batches(batches, loss_fn))
    return total if per_batch else absolute_products(kept_weights(params, mask), total)


taylor = snip
"""First-order Taylor importance: `snip` by the name it has on trained weights."""
