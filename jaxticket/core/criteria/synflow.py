"""SynFlow: scores from the flow of weights alone, without data (Tanaka et al. 2020)."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.criteria.loss_gradients import check_logits
from jaxticket.core.errors import MaskError
from jaxticket.core.masks import apply_mask, check_fit, is_traced
from jaxticket.core.paths import leaves, replace
from jaxticket.core.prune import prune
from jaxticket.core.scaled_float import evaluate_scaled
from jaxticket.core.schedules import exponential
from jaxticket.core.types import ApplyFn, Array, Mask, Params, Scores


def synflow(apply_fn: ApplyFn, params: Params, mask: Mask, input_shape: Sequence[int]) -> Scores:
    """Synaptic flow: `|w * dR/dw|`, R the sum of the outputs for an input of ones, with all weights made positive.

    The score of Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow"
    (NeurIPS 2020), equation 2. One scoring at high sparsity empties whole layers; `synflow_prune` is the method.

    Parameters are replaced by their absolute values, zero where pruned, and normalisations by the identity as far as
    parameters go: a leaf `.../scale` becomes one, and a `.../bias` beside one becomes zero. The rest is for
    `apply_fn`: it must evaluate with statistics of mean 0 and variance 1, those that a network starts from, never
    with those of the batch. Activations should be ReLU, under which the scores of each layer have the same sum.

    R may have any size (it is near 1e139 for a ResNet-110): scores are given up to one common positive factor, the
    same for all leaves, with which their sum over a layer is about one. A score below 1e-38 of that is zero. See
    `wide_range` for the operations that this holds for.

    Traceable by `jit` and `vmap`, under which failure shows as scores that are zero or NaN. Outside of them every
    call compiles `apply_fn` anew, so that it may close over what changes.

    Args:
        apply_fn: (params, x) -> logits [batch, classes].
        params: any pytree of arrays; floats are cast to float32.
        mask: path -> bool array; its paths are scored.
        input_shape: of the input, with a batch of 1: (1, height, width, channels).

    Returns:
        Path -> float32 array of the leaf's shape, at least 0.

    Raises:
        MaskError: a mask that does not fit `params`; an input shape whose batch is not 1; scores that are not finite,
            or all zero.

    Example:
        >>> params = {"fc": {"kernel": jnp.array([[1.0, -3.0], [2.0, 1.0]])}, "head": {"kernel": jnp.ones((2, 1))}}
        >>> network = lambda params, x: jax.nn.relu(x @ params["fc"]["kernel"]) @ params["head"]["kernel"]
        >>> scores = jt.synflow(network, params, jt.full_mask(params), (1, 2))["fc/kernel"]
        >>> (scores / scores[0, 0]).tolist()  # |w|, up to a common factor
        [[1.0, 3.0], [2.0, 1.0]]
    """
    check_fit(params, mask)
    scores, peak = _compiled(apply_fn, input_shape)(params, mask)
    _check(peak)
    return scores


def synflow_prune(
    apply_fn: ApplyFn, params: Params, mask: Mask, input_shape: Sequence[int], *, sparsity: float, rounds: int = 100
) -> Mask:
    """The mask pruned by SynFlow, in rounds of equal pruning rate with new scores before each.

    Algorithm 1 of Tanaka et al. (NeurIPS 2020): after round k the sparsity is `1 - (1 - sparsity)**(k / rounds)`, of
    all prunable weights together. `apply_fn` is compiled once.

    Args:
        apply_fn: as for `synflow`.
        params: any pytree of arrays; they do not change.
        mask: path -> bool array, True = kept; what it prunes stays pruned.
        input_shape: of the input, with a batch of 1.
        sparsity: the pruned share of the prunable set in the end, in [0, 1).
        rounds: how many times weights are scored and pruned, at least 1.

    Returns:
        A mask of the paths and shapes of `mask`.

    Raises:
        MaskError: as for `synflow`, or a sparsity so high that no path through the network is left before the end.
        ConfigError: a sparsity or number of rounds out of range.

    Example:
        >>> params = {"fc": {"kernel": jnp.array([[1.0, -3.0], [2.0, 1.0]])}, "head": {"kernel": jnp.ones((2, 1))}}
        >>> network = lambda params, x: jax.nn.relu(x @ params["fc"]["kernel"]) @ params["head"]["kernel"]
        >>> mask = jt.synflow_prune(network, params, jt.full_mask(params), (1, 2), sparsity=0.5, rounds=2)
        >>> mask["fc/kernel"].tolist()
        [[False, True], [True, False]]
    """
    check_fit(params, mask)
    schedule = exponential(sparsity, rounds)
    score = _compiled(apply_fn, input_shape)
    for number in range(1, rounds + 1):
        scores, peak = score(params, mask)
        _check(peak)
        mask = prune(mask, scores, sparsity=schedule(number))
    return mask


def _compiled(apply_fn: ApplyFn, input_shape: Sequence[int]) -> Callable[[Any, Mask], tuple[Scores, jax.Array]]:
    """(params, mask) -> scores, and the largest of them, which is NaN where any is not finite."""
    shape = tuple(input_shape) if isinstance(input_shape, Sequence) else (input_shape,)
    if not shape or shape[0] != 1 or not all(isinstance(size, int | np.integer) and size > 0 for size in shape):
        raise MaskError(f"input_shape={shape}: must start with a batch of 1, such as (1, 32, 32, 3)")
    return jax.jit(functools.partial(_score, check_logits(apply_fn), shape))


def _score(apply_fn: ApplyFn, input_shape: tuple[int, ...], params: Params, mask: Mask) -> tuple[Scores, jax.Array]:
    positive = apply_mask(_positive(params), mask)
    weights = {path: leaf for path, leaf in leaves(positive).items() if path in mask}
    ones = jnp.ones(input_shape, jnp.float32)

    def flow(weights: Scores) -> jax.Array:
        def output(params: Params, x: jax.Array) -> jax.Array:
            return apply_fn(params, x).sum()

        return evaluate_scaled(output, replace(positive, weights), ones)[0].astype(jnp.float32)

    gradients = jax.grad(flow)(weights)
    scores = {path: jnp.abs(weights[path] * gradients[path]) for path in mask}
    peaks = [jnp.where(jnp.isfinite(score), score, jnp.nan).max(initial=0) for score in scores.values()]
    return scores, jnp.stack(peaks).max(initial=0)


def _positive(params: Params) -> Any:
    found = leaves(params)

    def changed(path: str, leaf: Array) -> jax.Array:
        parent, _, name = path.rpartition("/")
        sibling = f"{parent}/scale" if parent else "scale"
        leaf = jnp.abs(jnp.asarray(leaf)).astype(jnp.float32)
        if name == "scale":
            return jnp.ones_like(leaf)
        return jnp.zeros_like(leaf) if name == "bias" and sibling in found else leaf

    floats = [path for path, leaf in found.items() if jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating)]
    return replace(params, {path: changed(path, found[path]) for path in floats})


def _check(peak: jax.Array) -> None:
    if is_traced(peak):
        return
    largest = float(peak)
    if not largest > 0:
        found = "all zero" if largest == 0 else "not all finite"
        raise MaskError(
            f"the SynFlow scores are {found}; apply_fn must use ReLU and statistics of mean 0 and variance 1, not "
            "those of the batch, and the mask must keep a path from input to output (ask for a lower sparsity)"
        )
