"""The forward pass of a Linen network as a pure function of params and model state."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jax
    from flax import linen as nn


def apply_model(
    model: "nn.Module",
    params: Any,
    model_state: Mapping[str, Any],
    x: "jax.Array",
    *,
    train: bool,
    key: "jax.Array | None" = None,
) -> tuple["jax.Array", dict[str, Any]]:
    """Logits, and the model state after this batch.

    Args:
        model: a network that is called with (x), or with (x, train) or another of the usual names for that, such as
            `deterministic`.
        params: nested dict of arrays.
        model_state: collection -> nested dict, such as `{'batch_stats': ...}`, or empty.
        x: float [batch, height, width, channels].
        train: whether normalisations use the batch, and change the model state; without it the state stays.
        key: for networks that draw random numbers in training, as dropout does; without it they are always the same.

    Returns:
        float32 logits [batch, classes], and the model state with the collections of `model_state`.

    Example:
        >>> from jaxticket import models
        >>> model = models.create_model("lenet300", num_classes=10)
        >>> params, state = models.init_variables(model, jax.random.key(0), (1, 8, 8, 1))
        >>> logits, _ = models.apply_model(model, params, state, jnp.zeros((4, 8, 8, 1)), train=False)
        >>> logits.shape
        (4, 10)
    """
    import jax
    import jax.numpy as jnp

    from jaxticket.models.linen import in_mode, random_streams

    # NNX modules write statistics into the arrays that they have, which NumPy's may not allow.
    variables = {"params": params, **jax.tree.map(jnp.asarray, dict(model_state))}
    model, how = in_mode(model, train=train)
    streams = random_streams(key) if train else {}
    if not train or not model_state:
        logits: Any = model.apply(variables, x, **how, rngs=streams)
        return logits, dict(model_state)
    outcome: Any = model.apply(variables, x, **how, rngs=streams, mutable=list(model_state))
    logits, changed = outcome
    return logits, {**model_state, **changed}
