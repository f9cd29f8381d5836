"""Running statistics of normalisations measured anew: those of a trained network do not fit once it is pruned."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.checks import check_function
from jaxticket.core.errors import MaskError
from jaxticket.core.paths import leaves, replace
from jaxticket.core.types import Inputs, Path, Variables

# A running average is `momentum * old + (1 - momentum) * new`: how far its values may be from one momentum for all.
_SAME = 1e-3


def recalibrate(
    apply_fn: Callable[[Variables, Inputs], tuple[Any, Variables]],
    variables: Variables,
    batches: Iterable[Inputs | tuple[Inputs, Any]],
) -> Variables:
    """`variables` with running statistics that are the averages over `batches`, whatever they and their momentum were.

    After pruning, before evaluation or fine-tuning, it brings back much of the accuracy and trains nothing (Li et al.
    2020, EagleEye, section 3.3). An average weighs every batch by its size; as while training, variances are those
    within batches, so batches should be as large.

    Args:
        apply_fn: the network in training mode, (variables, x) -> outputs and the collections that it changed, as of
            Flax's `apply` with `mutable=["batch_stats"]`.
        variables: collection -> tree of arrays; pruned weights are zeros. Unchanged.
        batches: inputs [batch, ...] without augmentation, normalised as for evaluation, or pairs of them and labels,
            which are not looked at.

    Returns:
        The collections of `variables`; arrays that are no running averages, and those of normalisations that do not
        train, are the same.

    Raises:
        MaskError: there are no batches, nothing changes, a changed array is no running average, or a batch gives
            values that are not finite.

    Example:
        >>> from flax import linen as nn
        >>> net = nn.BatchNorm(use_running_average=False, momentum=0.5)
        >>> x = jnp.array([[1.0], [3.0]])
        >>> variables = net.init(jax.random.key(0), x)
        >>> apply_fn = lambda variables, x: net.apply(variables, x, mutable=["batch_stats"])
        >>> found = jt.recalibrate(apply_fn, variables, [x, x + 2])
        >>> print(found["batch_stats"]["mean"], found["batch_stats"]["var"])
        [3.] [1.]
    """
    check_function("apply_fn", apply_fn)
    if not isinstance(variables, Mapping) or not isinstance(batches, Iterable):
        wrong, what = ("variables", variables) if not isinstance(variables, Mapping) else ("batches", batches)
        raise MaskError(f"{wrong} is a {type(what).__name__}; give collections by name, and a list of batches")
    changed = jax.jit(_changed(apply_fn))
    count, sums, momenta, blank = 0, {}, {}, variables
    for number, batch in enumerate(batches):
        x = batch[0] if isinstance(batch, tuple | list) and batch else batch
        if not any(np.ndim(leaf) for leaf in jax.tree.leaves(x)):
            raise MaskError(
                f"batch {number} is a {type(x).__name__}; it must be inputs [batch, ...], or a pair of them and labels"
            )
        if not momenta:
            blank, momenta = _momenta(changed, variables, x)
        size = np.shape(jax.tree.leaves(x)[0])[0]
        count += size
        for path, value in changed(blank, x).items():
            if path in momenta:
                sums[path] = sums.get(path, 0) + size * np.asarray(value, np.float64) / (1 - momenta[path])
    if not momenta:
        raise MaskError("there are no batches; at least one is needed (an iterator can be gone through only once)")
    for path, total in sums.items():
        if not np.isfinite(total).all():
            raise MaskError(f"{path} is not finite on these batches; check that they are normalised and weights finite")
    kept = leaves(variables)
    return replace(variables, {path: jnp.asarray(total / count, kept[path].dtype) for path, total in sums.items()})


def _changed(apply_fn: Callable[[Variables, Inputs], tuple[Any, Variables]]) -> Callable[..., dict[Path, jax.Array]]:
    def changed(variables: Variables, x: Inputs) -> dict[Path, jax.Array]:
        found = apply_fn(variables, x)
        if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], Mapping):
            raise MaskError(
                "apply_fn must return outputs and the collections that it changed, as of "
                'net.apply(variables, x, train=True, mutable=["batch_stats"])'
            )
        known = leaves(variables)
        return {path: leaf for path, leaf in leaves(found[1]).items() if path in known}

    return changed


def _momenta(
    changed: Callable[..., dict[Path, jax.Array]], variables: Variables, x: Inputs
) -> tuple[Variables, dict[Path, float]]:
    """`variables` with zeros for running averages, and the momentum of each of them.

    What training mode leaves as it is, normalisations that do not train among it, is no running average. The others
    are not read in training mode, so any number can stand in their place: two of them tell the momentum.
    """
    old, found = leaves(variables), changed(variables, x)
    live = [
        path
        for path, value in found.items()
        if jnp.issubdtype(value.dtype, jnp.floating) and not np.array_equal(value, old[path])
    ]
    if not live:
        raise MaskError("apply_fn changes no running statistics; it must be in training mode, with them mutable")
    blank = replace(variables, {path: jnp.zeros_like(old[path]) for path in live})
    at_zero = changed(blank, x)
    steps = {path: np.float32(max(1.0, float(jnp.abs(at_zero[path]).max()))) for path in live}
    moved = changed(replace(variables, {path: jnp.full_like(old[path], steps[path]) for path in live}), x)
    momenta: dict[Path, float] = {}
    for path in live:
        each = (np.asarray(moved[path], np.float64) - np.asarray(at_zero[path], np.float64)) / steps[path]
        momentum = float(np.median(each))
        # What it makes of the values that were there has to follow from both.
        was = np.asarray(old[path], np.float64)
        follows = np.asarray(at_zero[path], np.float64) + momentum * was
        odd = np.abs(each - momentum).max() > _SAME or not np.allclose(found[path], follows, _SAME, _SAME)
        if odd or not -_SAME <= momentum < 1:
            raise MaskError(f"{path} changes in training mode and is no running average, so it cannot be measured anew")
        momenta[path] = momentum
    return blank, momenta
