"""Movement: how far weights move away from zero while they are trained."""

from jaxticket.core.criteria.loss_gradients import batch_loss, gradient_sum, kept_weights, products
from jaxticket.core.masks import check_fit
from jaxticket.core.paths import leaves
from jaxticket.core.types import ApplyFn, Batches, LossFn, Mask, Params, PyTree, Scores


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

    Example:
        >>> params, grads = {"fc": {"kernel": jnp.array([[1.0, 2.0]])}}, {"fc": {"kernel": jnp.array([[-1.0, 1.0]])}}
        >>> jt.movement(params, jt.full_mask(params), grads)["fc/kernel"].tolist()  # the first weight grows
        [[1.0, -2.0]]
    """
    for tree in (params, grads, *(() if so_far is None else (so_far,))):
        check_fit(tree, mask)
    found = leaves(grads)
    terms = products(kept_weights(params, mask), {path: found[path] for path in mask})
    return {path: (0.0 if so_far is None else so_far[path]) - term for path, term in terms.items()}


def movement_of_batches(
    apply_fn: ApplyFn, params: Params, mask: Mask, batches: Batches, *, loss_fn: LossFn | None = None
) -> Scores:
    """Movement summed over batches with weights that stay as they are: what the first steps of training would add.

    Args:
        apply_fn: (params, x) -> logits [batch, ..., classes]; with a `loss_fn` whatever that takes.
        params: any pytree of arrays; derivatives are taken at `params * mask`.
        mask: path -> bool array; its paths are scored.
        batches: (x, targets) pairs, gone through once, as for `snip`.
        loss_fn: (outputs, targets) -> scalar, the mean over the batch; outputs are float32. None: cross entropy.

    Returns:
        Path -> float32 array of the leaf's shape, signed; zero where pruned.

    Raises:
        MaskError: as for `snip`.
    """
    check_fit(params, mask)
    total = gradient_sum(batch_loss(apply_fn, loss_fn), params, mask, batches, loss_fn)
    return {path: -term for path, term in products(kept_weights(params, mask), total).items()}
