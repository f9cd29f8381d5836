"""The compiled work: one optimizer step, many of them in one call, and evaluation of a whole split."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxticket.core import paths
from jaxticket.core.keys import named_key
from jaxticket.core.masks import apply_mask
from jaxticket.core.optax import zero_pruned
from jaxticket.core.types import Mask, Params, PyTree
from jaxticket.training.aids import Aid
from jaxticket.training.batches import Batch, Batches, DeviceSplit, EpochData
from jaxticket.training.kernel_gradients import with_fast_kernel_gradients
from jaxticket.training.losses import function_of_loss, training_loss
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.metrics import correct
from jaxticket.training.optimizers import has_updated
from jaxticket.training.options import TrainOptions
from jaxticket.training.scores import Measures, Tally
from jaxticket.training.state import AidState, MetricSums, TrainState, Weights

# A network as a function: (params, model_state, images [B, H, W, C], train=...) -> (logits [B, K], model_state); in
# training with key=... too where it has such an argument, for what it draws.
NetworkFn = Callable[..., tuple[jax.Array, PyTree]]
Step = Callable[[TrainState, MetricSums, EpochData | Batch], tuple[TrainState, MetricSums]]


@dataclasses.dataclass(frozen=True)
class StepParts:
    """What a step is compiled from.

    Attributes:
        apply: the network.
        optimizer: gradients -> the descent direction, without the learning rate.
        learning_rate: step -> the rate.
        batches: how data becomes the network's inputs.
        options: of the training.
        measures: what is counted in evaluation.
        aid: acts on the network while the state has one, and its parameters are trained with it.
        draws: whether the network takes a key in training.
        on_one_cpu: whether a batch is in the memory of a single CPU, see `with_fast_kernel_gradients`.
    """

    apply: NetworkFn
    optimizer: optax.GradientTransformation
    learning_rate: Callable[[jax.Array | int], jax.Array]
    batches: Batches
    options: TrainOptions
    measures: Measures
    aid: Aid | None = None
    draws: bool = False
    on_one_cpu: bool = False


def make_step(parts: StepParts, update: MaskUpdate | None = None) -> Step:
    """One masked optimizer step on a given batch, or on the batch of an epoch that `state.step` points at.

    The mask is data: the same compiled step serves every mask, the full one too. Where the loss is not finite the
    parameters stay as they were, so that they can be looked at. The penalty of `update`, if it has one, is part of the
    loss.

    Returns:
        (state, sums, epoch or batch) -> (state, sums).
    """
    loss_of, optimizer, batches = _make_loss(parts, update), parts.optimizer, parts.batches

    def step(state: TrainState, sums: MetricSums, data: EpochData | Batch) -> tuple[TrainState, MetricSums]:
        own = None if state.aid is None else state.aid.params
        value = jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)
        value = with_fast_kernel_gradients(value) if parts.on_one_cpu else value
        (loss, aux), (grads, own_grads) = value(state.params, own, state, data)
        labels, logits, plain, model_state, own_state = aux
        # With zero gradients where parameters are zero, these optimizers keep moments and updates at zero by
        # themselves, which makes one pass over the mask enough.
        grads = apply_mask(_with_scale_penalty(grads, state.params, parts.options.bn_l1), state.mask)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        rate = parts.learning_rate(state.step)
        if state.lr_factor is not None:
            rate *= state.lr_factor
        finite = jnp.isfinite(loss)

        def stepped(params: Params, updates: Params) -> Params:
            return jax.tree.map(lambda p, u: jnp.where(finite, p - rate.astype(p.dtype) * u, p), params, updates)

        params = stepped(state.params, updates)
        if state.average is not None:
            after = state.average.after(params, model_state, parts.options.ema_decay, has_updated(opt_state))
            state = dataclasses.replace(state, average=after)
        if state.aid is not None:
            own_updates, own_opt = optimizer.update(own_grads, state.aid.opt_state, own)
            state = dataclasses.replace(state, aid=AidState(stepped(own, own_updates), own_state, own_opt))
        sums = MetricSums(
            loss=sums.loss + plain * batches.batch_size,
            correct=None if sums.correct is None else sums.correct + _right(logits, labels, sums.correct.dtype),
            count=sums.count + batches.batch_size,
            bad_step=jnp.where(finite | (sums.bad_step >= 0), sums.bad_step, state.step),
            objective=None if sums.objective is None else sums.objective + loss * batches.batch_size,
        )
        state = dataclasses.replace(
            state, step=state.step + 1, params=params, model_state=model_state, opt_state=opt_state
        )
        return state, sums

    return step


def _right(logits: jax.Array, labels: jax.Array, dtype: Any) -> jax.Array:
    """How many examples of a batch are classified right; of several labels of an example, their share."""
    right = correct(logits, labels)
    return (right.mean(tuple(range(1, right.ndim))) if right.ndim > 1 else right).sum(dtype=dtype)


def _with_scale_penalty(grads: Params, params: Params, strength: float) -> Params:
    """The gradients with those of `strength * |scale|` added for every normalisation scale; 0 at a scale of 0."""
    if not strength:
        return grads

    scales = {path: leaf for path, leaf in paths.leaves(params).items() if path.rpartition("/")[2] == "scale"}
    before = paths.leaves(grads)
    return paths.replace(grads, {path: before[path] + strength * jnp.sign(leaf) for path, leaf in scales.items()})


def _make_loss(
    parts: StepParts, update: MaskUpdate | None
) -> Callable[[Params, Params, TrainState, EpochData | Batch], tuple[jax.Array, tuple[Any, ...]]]:
    """(params, the aid's own, state, data) -> what is trained on: the mean loss of the next batch, with its penalty.

    Next to it targets, outputs, the mean loss of the targets as they are, and the model states.
    """
    apply, aid, batches, options = parts.apply, parts.aid, parts.batches, parts.options
    on, plain_loss = training_loss(options, batches.steps_per_epoch), function_of_loss(options)

    def loss_of(
        params: Params, own: Params, state: TrainState, data: EpochData | Batch
    ) -> tuple[jax.Array, tuple[Any, ...]]:
        raw, labels = data.take(state.step, batches)
        key = jax.random.fold_in(state.key, state.step)
        images, targets = batches.for_training(key, raw, labels)
        how: dict[str, Any] = {"train": True, **({"key": named_key(key, "network")} if parts.draws else {})}
        if state.aid is None or aid is None:
            (logits, model_state), own_state = apply(params, state.model_state, images, **how), None
        else:
            weights = Weights(own, state.aid.model_state)
            aided = aid.apply(weights, params, state.model_state, images, state.step, **how)
            logits, model_state, own_state = aided
        loss = plain = on(logits, targets, state.step)
        if options.label_smoothing or targets.others is not None:
            plain = plain_loss(logits, labels).mean()
        if update is not None and update.penalises:
            loss += update.penalty(params, state.mask, state.mask_state)
        return loss, (labels, logits, plain, model_state, own_state)

    return loss_of


def make_gradients(parts: StepParts) -> Callable[[TrainState, EpochData | Batch], Params]:
    """The gradients of the loss at `state.params` on the next batch, of pruned weights too: a tree like the params."""
    loss_of = _make_loss(parts, None)

    def gradients(state: TrainState, data: EpochData | Batch) -> Params:
        own = None if state.aid is None else state.aid.params
        gradient = jax.grad(loss_of, has_aux=True)
        gradient = with_fast_kernel_gradients(gradient) if parts.on_one_cpu else gradient
        return gradient(state.params, own, state, data)[0]

    return gradients


def with_mask(state: TrainState, mask: Mask, mask_state: PyTree) -> TrainState:
    """The state under another mask: what it prunes becomes zero, in the weights, moments and averages."""
    return dataclasses.replace(
        state,
        params=apply_mask(state.params, mask),
        opt_state=zero_pruned(state.opt_state, state.params, mask),
        mask=mask,
        mask_state=mask_state,
        average=state.average and state.average.masked(mask),
    )


def repeat(step: Step) -> Callable[[TrainState, MetricSums, EpochData, jax.Array], tuple[TrainState, MetricSums]]:
    """`count` steps in one call; `count` is traced, so that one compilation serves every number of steps.

    The loop ends early after a loss that was not finite, of whichever replicate where the step acts on several.
    """

    def steps(state: TrainState, sums: MetricSums, epoch: EpochData, count: jax.Array) -> tuple[TrainState, MetricSums]:
        def go_on(carry: tuple[jax.Array, TrainState, MetricSums]) -> jax.Array:
            done, _, sums = carry
            return (done < count) & (sums.bad_step < 0).all()

        def body(carry: tuple[jax.Array, TrainState, MetricSums]) -> tuple[jax.Array, TrainState, MetricSums]:
            done, state, sums = carry
            state, sums = step(state, sums, epoch)
            return done + 1, state, sums

        _, state, sums = jax.lax.while_loop(go_on, body, (jnp.zeros((), jnp.int32), state, sums))
        return state, sums

    return steps


def make_evaluation(
    apply: NetworkFn, batches: Batches, measures: Measures
) -> Callable[[Params, PyTree, DeviceSplit, jax.Array, jax.Array, Tally], Tally]:
    """What is counted over batches `first` to `last` (exclusive) of a padded split.

    Returns:
        (params, model_state, split, first, last, tally so far) -> tally; padding has weight 0 and counts nowhere.
    """

    def evaluate(
        params: Params, model_state: PyTree, split: DeviceSplit, first: jax.Array, last: jax.Array, tally: Tally
    ) -> Tally:
        def body(index: jax.Array, tally: Tally) -> Tally:
            start, size = index * batches.batch_size, batches.batch_size
            batch = tuple(jax.lax.dynamic_slice_in_dim(part, start, size) for part in split)
            images, labels, weights = batches.shard(batch)
            logits, _ = apply(params, model_state, batches.for_evaluation(images), train=False)
            return tally.plus(measures.count(logits, labels, weights))

        return jax.lax.fori_loop(first, last, body, tally)

    return evaluate
