"""GraSP: the effect of a weight on the norm of the gradient."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.checks import check_number
from jaxticket.core.criteria.loss_gradients import (
    as_float32,
    batch_loss,
    checked_batches,
    gradient_sum,
    kept_weights,
    loss_at,
    products,
    summed,
)
from jaxticket.core.masks import check_fit
from jaxticket.core.types import ApplyFn, Batches, Inputs, LossFn, Mask, Params, Scores, Targets


def grasp(
    apply_fn: ApplyFn,
    params: Params,
    mask: Mask,
    batches: Batches,
    temperature: float = 200.0,
    *,
    loss_fn: LossFn | None = None,
) -> Scores:
    """Gradient signal preservation: `w * (H g)`, high where pruning the weight would lower the gradient's norm.

    Wang et al., "Picking winning tickets before training by preserving gradient flow" (ICLR 2020), equation 8, with
    the sign turned so that higher = keep: removing a weight changes `|g|^2` by about `-2 w (H g)`. Scores are signed.
    g and H are the sums over batches of gradient and Hessian of the mean cross entropy of `logits / temperature`,
    with respect to the weights that the mask keeps.

    Two passes over the batches: an iterator is kept as a list for the second, any other iterable is gone through
    twice and must give the same batches again. Otherwise as for `snip`.

    Args:
        apply_fn: (params, x) -> logits [batch, ..., classes]; with a `loss_fn` whatever that takes.
        params: any pytree of arrays; derivatives are taken at `params * mask`.
        mask: path -> bool array; its paths are scored.
        batches: (x, targets) pairs, as for `snip`.
        temperature: above 0; of the cross entropy, a `loss_fn` gets the outputs as they are.
        loss_fn: (outputs, targets) -> scalar, the mean over the batch; outputs are float32. None: cross entropy.

    Returns:
        Path -> float32 array of the leaf's shape; zero where pruned.

    Raises:
        MaskError: as for `snip`, or a temperature that is not above 0.

    Example:
        >>> params = {"fc": {"kernel": jnp.array([[1.0, -1.0], [0.5, 0.0]])}}
        >>> network = lambda params, x: x @ params["fc"]["kernel"]
        >>> batches = [(jnp.array([[1.0, 2.0]]), jnp.array([0]))]
        >>> jt.grasp(network, params, jt.full_mask(params), batches)["fc/kernel"].shape
        (2, 2)
    """
    check_fit(params, mask)
    check_number("temperature", temperature, 0, np.inf, above=True)
    loss = batch_loss(apply_fn, loss_fn, temperature)
    batches = list(batches) if isinstance(batches, Iterator) else batches

    @jax.jit
    def hessian_times(direction: Scores, params: Params, mask: Mask, x: Inputs, targets: Targets) -> Scores:
        weights, at = loss_at(loss, params, mask, x, targets)
        tangent = {path: jnp.where(mask[path], direction[path], 0).astype(leaf.dtype) for path, leaf in weights.items()}
        return as_float32(jax.jvp(jax.grad(at), (weights,), (tangent,))[1])

    direction = gradient_sum(loss, params, mask, batches, loss_fn)
    pairs = checked_batches(batches, loss_fn)
    product = summed(hessian_times(direction, params, mask, x, targets) for x, targets in pairs)
    return products(kept_weights(params, mask), product)
