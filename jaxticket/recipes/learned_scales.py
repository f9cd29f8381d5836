"""Layer-wise re-scaled initialisation: one learned scale for each tensor of a sparse network, before it trains."""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxticket.core.errors import MaskError, TrainingError
from jaxticket.core.masks import apply_mask, check_fit
from jaxticket.core.options import parse
from jaxticket.core.paths import replace
from jaxticket.core.types import ApplyFn, Batches, Mask, Params, Path
from jaxticket.recipes.lrsi_options import LrsiOptions
from jaxticket.recipes.rescale_adam import initial_state
from jaxticket.recipes.scaling import (
    CONSTRAINT,
    Loss,
    ScalingStep,
    mean_cross_entropy,
    scaled_leaves,
    scaling_step,
    times,
)


@dataclasses.dataclass(frozen=True)
class Rescaled:
    """A re-scaled initialisation, and how it came about.

    Attributes:
        params: a tree like the one that was given, zero where pruned.
        scales: path -> the factor of the tensor.
        lowered: float64 [iterations], what each iteration lowered: the norm of the gradient where `constrained`, else
            the loss after a step, divided by eta.
        norms: float64 [iterations], the norm of the gradient before each iteration.
        constrained: bool [iterations], whether the norm was over its bound.
    """

    params: Params
    scales: dict[Path, float]
    lowered: np.ndarray
    norms: np.ndarray
    constrained: np.ndarray


def lrsi(
    apply_fn: ApplyFn,
    params: Params,
    mask: Mask,
    batches: Batches,
    *,
    iterations: int = 180,
    rate: float = 0.01,
    eta: float = 0.1,
    gamma: float | None = 1.0,
    **others: Any,
) -> Any:
    """An initialisation whose tensors are scaled so that the first step of training lowers the loss most.

    Jaiswal et al., "Training Your Sparse Neural Network Better with Any Mask" (ICML 2022), with the method of Zhu et
    al., "GradInit: learning to initialize neural networks for stable and efficient training" (NeurIPS 2021), algorithm
    1. Every floating-point leaf has one scale. Gradients of pruned weights count nowhere, and pruned weights stay zero.
    A tensor that is zero, such as the bias of a new normalisation, keeps its scale of 1.

    Every iteration takes three batches, four without overlap, which should be of one size: another one compiles once
    more. What `apply_fn` closes over may change from call to call; every call compiles it anew.

    Args:
        apply_fn: (params, x) -> logits [batch, classes]. Normalisations should use the batch; nothing is to be random.
        params: any pytree of arrays.
        mask: path -> bool array.
        batches: (x, labels) pairs. An iterator must have enough of them; any other iterable is begun anew at its end.
        iterations: steps on the scales.
        rate: their learning rate.
        eta: length of the step in the weights whose outcome is judged.
        gamma: the largest norm of the gradient, beyond which that norm is lowered instead; None for no bound.
        **others: other fields of `LrsiOptions`.

    Returns:
        A tree like `params`.

    Raises:
        ConfigError: an option that does not exist or is out of range.
        MaskError: a mask that does not fit `params`, or too few batches.
        TrainingError: what is lowered is no longer finite.

    Example:
        >>> from jaxticket import recipes
        >>> weights, mask = {"w": 0.1 * jnp.ones((4, 2))}, {"w": np.ones((4, 2), bool)}
        >>> batch = (jnp.ones((6, 4)), jnp.array([0, 0, 0, 0, 0, 1]))
        >>> scaled = recipes.lrsi(lambda params, x: x @ params["w"], weights, mask, [batch], iterations=2)
        >>> scaled["w"].shape
        (4, 2)
    """
    options = parse(LrsiOptions, {"iterations": iterations, "rate": rate, "eta": eta, "gamma": gamma, **others}, "lrsi")
    return rescale(apply_fn, params, mask, batches, options).params


def rescale(
    apply_fn: ApplyFn,
    params: Params,
    mask: Mask,
    batches: Batches,
    options: LrsiOptions,
    loss: Loss = mean_cross_entropy,
    step: ScalingStep | None = None,
) -> Rescaled:
    """`lrsi` with a record of what it did, for any loss, and, if it is given the compiled work, without compiling.

    Args:
        apply_fn: as for `lrsi`, and so are the next three.
        params: any pytree of arrays.
        mask: path -> bool array.
        batches: (x, labels) pairs.
        options: of the method.
        loss: (logits float32 [batch, classes], labels) -> one number, a mean over the batch.
        step: the jitted `scaling_step` of `apply_fn`, `options` and `loss`; None makes it.

    Raises:
        MaskError: a mask that does not fit `params`, or too few batches.
        TrainingError: what is lowered is no longer finite.
    """
    check_fit(params, mask)
    sparse = mask if options.order == "mask_first" else {}
    step = step or jax.jit(scaling_step(apply_fn, options, loss))
    state = initial_state(len(scaled_leaves(params)))
    source = _endless(batches, options.iterations * (3 if options.overlap else 4))
    record: list[tuple[float, float, bool]] = []
    for iteration in range(options.iterations):
        used = tuple(itertools.islice(source, 3 if options.overlap else 4))
        state, found = step(state, params, sparse, used)
        # Read at once, so that the loop does not run ahead and gather batches on the device.
        record.append((float(found.lowered), float(found.norm), int(found.goal) == CONSTRAINT))
        if not math.isfinite(record[-1][0]):
            raise TrainingError(
                f"lrsi: at iteration {iteration} the {'norm' if record[-1][2] else 'loss over eta'} is "
                f"{record[-1][0]}; lower config.lrsi.rate={options.rate} or config.lrsi.eta={options.eta}"
            )
    lowered, norms, constrained = zip(*record, strict=True)
    return Rescaled(
        params=_scaled(params, state.scales, dict(mask)),
        scales=dict(zip(scaled_leaves(params), np.asarray(state.scales).tolist(), strict=True)),
        lowered=np.array(lowered),
        norms=np.array(norms),
        constrained=np.array(constrained),
    )


@jax.jit
def _scaled(params: Params, scales: jax.Array, mask: Mask) -> Any:
    return apply_mask(replace(params, times(scaled_leaves(params), scales)), mask)


def _endless(batches: Batches, needed: int) -> Iterator[tuple[Any, Any]]:
    """The batches, and those of an iterable that is no iterator again and again.

    Raises:
        MaskError: there is none, or an iterator has fewer than `needed`.
    """
    number = 0
    again = not isinstance(batches, Iterator)
    while True:
        before = number
        for batch in batches:
            if not isinstance(batch, tuple | list) or len(batch) != 2:
                raise MaskError(f"batch {number} is a {type(batch).__name__}; it must be a pair (x, labels)")
            number += 1
            yield batch[0], batch[1]
        if number == before or not again:
            raise MaskError(f"lrsi: found {number} batches; an iterator must have {needed}, a list at least one")
