"""One iteration of learning the scales of tensors: which way each of them should go, and the step there."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxticket.core.criteria.loss_gradients import check_logits
from jaxticket.core.errors import MaskError
from jaxticket.core.paths import leaves, replace
from jaxticket.core.types import ApplyFn, Mask, Params, Path
from jaxticket.recipes.lrsi_options import LrsiOptions
from jaxticket.recipes.rescale_adam import ScaleState, rescale_adam

# (logits [batch, classes], labels [batch]) -> loss, one number.
Loss = Callable[[jax.Array, Any], jax.Array]
Weights = dict[Path, jax.Array]
# The two goals of a step on the scales.
OBJECTIVE, CONSTRAINT = 0, 1


def mean_cross_entropy(logits: jax.Array, labels: Any) -> jax.Array:
    """The mean softmax cross entropy in nats: logits float32 [batch, classes], integer labels [batch].

    Raises:
        MaskError: other labels.
    """
    if labels.shape != logits.shape[:1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise MaskError(
            f"batches have labels {labels.dtype.name}{list(labels.shape)}; they must be integer classes [batch]"
        )
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ScaleGradients:
    """What one iteration has found.

    Attributes:
        gradients: float32 [T], the derivatives with respect to the scales of what is being lowered.
        lowered: what is being lowered: the norm where it is too large, else the loss after a step, over eta.
        norm: norm of the gradient of the weights that are kept.
        goal: int32, `OBJECTIVE` or `CONSTRAINT`.
    """

    gradients: jax.Array
    lowered: jax.Array
    norm: jax.Array
    goal: jax.Array


# (scales, params, mask, batches) -> (scales, what was found).
ScalingStep = Callable[[ScaleState, Any, Mask, tuple[Any, ...]], tuple[ScaleState, ScaleGradients]]


def scaling_step(apply_fn: ApplyFn, options: LrsiOptions, loss: Loss = mean_cross_entropy) -> ScalingStep:
    """One iteration as a pure function, to be jitted, scanned or vmapped.

    Returns:
        (state, params, mask, batches) -> (state, what was found). The gradient is that of the first two batches; the
        step is judged on the first and the third, or, where there are four, on the last two.
    """

    def step(
        state: ScaleState, params: Params, mask: Mask, batches: tuple[Any, ...]
    ) -> tuple[ScaleState, ScaleGradients]:
        first, second, *new = batches
        judge = _joined(first, new[0]) if len(new) == 1 else _joined(*new)
        found = scale_gradients(apply_fn, options, loss, state.scales, params, mask, _joined(first, second), judge)
        floors = [0.0 if path.split("/")[-1] == "bias" else options.min_scale for path in scaled_leaves(params)]
        floors = jnp.array(floors, jnp.float32)
        state = rescale_adam(state, found.gradients, found.goal, rate=options.rate, floors=floors, clip=options.clip)
        return state, found

    return step


def scale_gradients(
    apply_fn: ApplyFn,
    options: LrsiOptions,
    loss: Loss,
    scales: jax.Array,
    params: Params,
    mask: Mask,
    batch: tuple[Any, Any],
    judge: tuple[Any, Any],
) -> ScaleGradients:
    """Derivatives, with respect to the scales, of the gradient's norm or else of the loss after a step.

    The step itself is held fixed, as in the authors' program; what that neglects is small.

    Args:
        apply_fn: (params, x) -> logits [batch, classes].
        options: of the method.
        loss: (logits, labels) -> one number.
        scales: float32 [T].
        params: any pytree of arrays.
        mask: path -> bool array; leaves that are not in it are dense.
        batch: what the gradient and its norm are computed from, (x, labels).
        judge: what the loss after the step is computed from.
    """
    apply_fn = check_logits(apply_fn)
    start = {path: _masked(leaf, path, mask) for path, leaf in scaled_leaves(params).items()}
    weights = times(start, scales)

    # Jitted so that the network is traced once, not for each of the three derivatives.
    @jax.jit
    def value(weights: Weights, batch: tuple[Any, Any]) -> jax.Array:
        return loss(apply_fn(replace(params, weights), batch[0]), batch[1])

    def gradient(weights: Weights) -> Weights:
        return {path: _masked(leaf, path, mask) for path, leaf in jax.grad(value)(weights, batch).items()}

    of_weights = gradient(weights)
    if options.direction == "sgd":
        norm = jnp.sqrt(_total({path: _wide(leaf) ** 2 for path, leaf in of_weights.items()}))
        # The derivative of the norm with respect to the gradient; where all is zero, so is it.
        shrink = jnp.where(norm > 0, 1 / jnp.where(norm > 0, norm, 1), 0)
        unit = {path: (_wide(leaf) * shrink).astype(leaf.dtype) for path, leaf in of_weights.items()}
        ahead = unit if options.normalise else of_weights
    else:
        norm = _total({path: jnp.abs(_wide(leaf)) for path, leaf in of_weights.items()})
        ahead = unit = {path: jnp.sign(leaf) for path, leaf in of_weights.items()}

    def lower_norm() -> tuple[jax.Array, Weights]:
        return norm, jax.jvp(gradient, (weights,), (unit,))[1]

    def lower_loss() -> tuple[jax.Array, Weights]:
        after = {path: leaf - options.eta * ahead[path] for path, leaf in weights.items()}
        reached, gradients = jax.value_and_grad(value)(after, judge)
        return reached / options.eta, {path: leaf / options.eta for path, leaf in gradients.items()}

    too_large = norm > (math.inf if options.gamma is None else options.gamma)
    lowered, gradients = jax.lax.cond(too_large, lower_norm, lower_loss)
    per_scale = jnp.stack([(_wide(gradients[path]) * _wide(leaf)).sum() for path, leaf in start.items()])
    return ScaleGradients(per_scale, lowered, norm, jnp.where(too_large, jnp.int32(CONSTRAINT), jnp.int32(OBJECTIVE)))


def scaled_leaves(params: Params) -> Weights:
    """The leaves that have a scale, all those of floating point, in the order of the scales."""
    return {
        path: leaf
        for path, leaf in leaves(params).items()
        if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
    }


def times(weights: Weights, scales: jax.Array) -> Weights:
    """Each leaf times its scale, float32 [T], in the leaf's dtype."""
    return {path: (_wide(leaf) * scales[i]).astype(leaf.dtype) for i, (path, leaf) in enumerate(weights.items())}


def _joined(one: tuple[Any, Any], other: tuple[Any, Any]) -> tuple[Any, Any]:
    return jax.tree.map(lambda a, b: jnp.concatenate([jnp.asarray(a), jnp.asarray(b)]), one, other)


def _masked(leaf: jax.Array, path: Path, mask: Mask) -> jax.Array:
    return jnp.where(mask[path], leaf, jnp.zeros_like(leaf)) if path in mask else leaf


def _wide(leaf: Any) -> jax.Array:
    return jnp.asarray(leaf).astype(jnp.float32)


def _total(weights: Weights) -> jax.Array:
    return jnp.stack([leaf.sum() for leaf in weights.values()]).sum()
