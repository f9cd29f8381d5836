"""Optimizers as Optax transformations without their learning rate, which the step applies itself.

The rate follows the run's step, not a counter inside the optimizer, so that a run which starts late (rewinding with
the remaining schedule) needs no special state.
"""

from typing import Any

import jax
import optax

from jaxticket.training.options import TrainOptions


def make_optimizer(options: TrainOptions) -> optax.GradientTransformation:
    """The descent direction of `options.optimizer`, to be scaled by minus the learning rate.

    Gradients are first averaged over `accumulate_steps` batches, of which all but the last give an update of zero, and
    then clipped.

    Every one of them leaves alone a weight that is zero and has a zero gradient, and its moments; the step relies on
    it.

    The order matches PyTorch's: `sgd` adds the L2 term to the gradient before momentum, `adam` and `adadelta` before
    the moments, `adamw` after them.
    """
    optimizer = _direction(options)
    if options.clip_norm:
        optimizer = optax.chain(optax.clip_by_global_norm(options.clip_norm), optimizer)
    if options.accumulate_steps > 1:
        optimizer = optax.MultiSteps(optimizer, options.accumulate_steps).gradient_transformation()
    return _free_promotion(optimizer)


def has_updated(opt_state: Any) -> jax.Array | bool:
    """Whether the update that returned this state was one, and did not only add to the gradients; traced or not."""
    return opt_state.mini_step == 0 if isinstance(opt_state, optax.MultiStepsState) else True


def _direction(options: TrainOptions) -> optax.GradientTransformation:
    decay = optax.add_decayed_weights(options.weight_decay) if options.weight_decay else optax.identity()
    if options.optimizer == "sgd":
        if not options.momentum:
            return decay
        return optax.chain(decay, optax.trace(decay=options.momentum, nesterov=options.nesterov))
    if options.optimizer == "adam":
        return optax.chain(decay, optax.scale_by_adam())
    if options.optimizer == "adadelta":
        return optax.chain(decay, optax.scale_by_adadelta())
    if options.optimizer == "adamw":
        return optax.chain(optax.scale_by_adam(), decay)
    raise ValueError(f"unknown optimizer {options.optimizer!r}")


def _free_promotion(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Lets Optax mix integers and floats where `jax_numpy_dtype_promotion` is strict, as in our tests."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        with jax.numpy_dtype_promotion("standard"):
            return optimizer.update(updates, state, params)

    return optax.GradientTransformation(optimizer.init, update)
