"""Label smoothing in the two ways it is written."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import must_be_one_of
from jaxticket.recipes.choices import SMOOTHINGS


def smoothed_targets(labels: Any, num_classes: int, alpha: Any, kind: str = "off_target") -> jax.Array:
    """Class probabilities to train for, instead of one class.

    Both kinds are one family: `off_target` with alpha is `uniform` with `alpha * C / (C - 1)`, C classes. With alpha 0
    the targets are exactly one-hot.

    Args:
        labels: integer classes, any shape [...].
        num_classes: at least 2.
        alpha: in [0, 1], one number, traced or not.
        kind: `off_target`: the label's class gets `1 - alpha`, each other class `alpha / (C - 1)` (Jaiswal et al.
            2022). `uniform`: alpha is spread over all classes, the label's own included (Szegedy et al. 2016,
            section 7; what `train.label_smoothing` does).

    Returns:
        float32 [..., num_classes], rows sum to 1.

    Raises:
        ConfigError: an unknown kind, fewer than two classes, an alpha out of range, or labels that are not integers.

    Example:
        >>> from jaxticket import recipes
        >>> recipes.smoothed_targets(np.array([1]), num_classes=3, alpha=0.5).tolist()
        [[0.25, 0.5, 0.25]]
    """
    if kind not in SMOOTHINGS:
        raise ConfigError(f"kind={kind!r}: {must_be_one_of(kind, SMOOTHINGS)}")
    if num_classes < 2:
        raise ConfigError(f"num_classes={num_classes!r}: must be at least 2")
    if not isinstance(alpha, jax.Array) and not 0 <= alpha <= 1:
        raise ConfigError(f"alpha={alpha!r}: must be from 0 to 1")
    labels = jnp.asarray(labels)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ConfigError(f"labels are {labels.dtype.name}{list(labels.shape)}; they must be integer classes")
    alpha = jnp.asarray(alpha).astype(jnp.float32)
    others = alpha / (num_classes - 1 if kind == "off_target" else num_classes)
    own = 1 - alpha if kind == "off_target" else 1 - alpha + others
    return jnp.where(jax.nn.one_hot(labels, num_classes, dtype=jnp.bool_), own, others)
