"""Ghost skip connections: a bypass around each hidden layer, whose strength falls to nothing while a network trains.

Jaiswal et al., "Training Your Sparse Neural Network Better with Any Mask" (ICML 2022): the input of a layer goes
through a 1x1 convolution and a batch normalisation of its own, and is added to what the next activation takes. No
network is written for it: the calls of its layers and activations are intercepted. In a basic residual block that gives
the two bypasses of the authors' program.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxticket.core.errors import ConfigError
from jaxticket.core.keys import named_key
from jaxticket.core.options import must_be_one_of
from jaxticket.core.types import Params
from jaxticket.recipes.choices import GHOST_LAYERS, GHOST_STARTS
from jaxticket.tracing.linen import ModuleCall, listen

_TINY = 1e-4
_EPSILON, _MOMENTUM = 1e-5, 0.9

Activation = Callable[[jax.Array], jax.Array]
# What an activation is to do with the layers called since the one before, (module, its input), and its argument.
OnActivation = Callable[[list[tuple[nn.Module, jax.Array]], jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Ghost:
    """A bypass.

    Attributes:
        inputs: channels of the layer's input.
        features: channels that the layer makes.
        stride: subsampling stride of each axis between batch and channels.
        first: offset of the first sample of each axis.
    """

    inputs: int
    features: int
    stride: tuple[int, ...] = ()
    first: tuple[int, ...] = ()


def listening(forward: Callable[[Activation], Any], on_activation: OnActivation) -> Any:
    """What `forward` returns when it is given an activation that knows which layers were called before it.

    Args:
        forward: calls a network of Linen layers once, with this activation.
        on_activation: what the activation does.
    """
    waiting: list[tuple[nn.Module, jax.Array]] = []

    def wait(call: ModuleCall) -> Any:
        if call.is_layer:
            waiting.append((call.module, call.inputs))
        return call.proceed()

    def activation(x: jax.Array) -> jax.Array:
        since, waiting[:] = list(waiting), []
        return on_activation(since, x)

    with listen(wait):
        return forward(activation)


def name_of(module: nn.Module) -> str:
    """A layer's path with dots, such as `stage1_block0.conv1`."""
    return ".".join(module.path)


def ghost_plan(
    forward: Callable[..., Any], arguments: Sequence[Any], activation: Activation, layers: str = "auto"
) -> dict[str, Ghost]:
    """The layers of a network that get a bypass, by an abstract trace: nothing is computed.

    A layer gets one when it is not the first that is called, and when what the next activation takes has as many
    channels as the layer makes, and no more rows and columns than it has been given.

    Args:
        forward: (activation, *arguments) -> anything; calls the network once.
        arguments: arrays, or their shapes and dtypes.
        activation: of the network.
        layers: `auto`: convolutions with a window and one group where there are such behind the first layer, else
            `conv`, else `dense`, whatever comes first that has any; `conv`: all convolutions with one group, 1x1 ones
            too; `dense`: dense layers.

    Returns:
        Name of the layer -> its bypass, in the order of calls; empty where none qualifies.

    Raises:
        ConfigError: an unknown choice of layers.
    """
    if layers not in GHOST_LAYERS:
        raise ConfigError(f"config.aids.ghost_layers={layers!r}: {must_be_one_of(layers, GHOST_LAYERS)}")
    found: dict[str, dict[str, Ghost]] = {"window": {}, "pointwise": {}, "dense": {}}
    called: list[str] = []

    def collect(waiting: list[tuple[nn.Module, jax.Array]], x: jax.Array) -> jax.Array:
        for module, given in waiting:
            called.append(name_of(module))
            kind, ghost = _kind(module), _bypass(given.shape, module.features, x.shape)  # type: ignore[attr-defined]
            if len(called) > 1 and kind and ghost is not None:
                found[kind][called[-1]] = ghost
        return activation(x)

    jax.eval_shape(lambda *given: listening(lambda act: forward(act, *given), collect), *arguments)
    convolutions = found["window"] | found["pointwise"]
    choices = {
        "window": found["window"],
        "conv": {name: convolutions[name] for name in called if name in convolutions},
        "dense": found["dense"],
    }
    if layers != "auto":
        return choices[layers]
    # The convolutions of a MobileNet that have a window have one channel each: its 1x1 ones are all there is.
    return next((plan for plan in choices.values() if plan), {})


def ghost_parameters(plan: Mapping[str, Ghost], key: jax.Array, start: str = "constant") -> tuple[Any, Any]:
    """The parameters of all bypasses and their running statistics, float32, by the names of the layers.

    Args:
        plan: of the network.
        key: for random kernels.
        start: `constant`: kernels of 0.0001, and scales of 1, as in the authors' program; the normalisation takes most
            of the smallness away again. `bn_gamma0`: kernels of He et al. (2015) and scales of 0, so that the network
            begins as the plain one.

    Raises:
        ConfigError: an unknown start.
    """
    if start not in GHOST_STARTS:
        raise ConfigError(f"config.aids.ghost_start={start!r}: {must_be_one_of(start, GHOST_STARTS)}")
    params, state = {}, {}
    for name, ghost in plan.items():
        shape, features = (ghost.inputs, ghost.features), (ghost.features,)
        if start == "constant":
            kernel, scale = jnp.full(shape, _TINY, jnp.float32), jnp.ones(features, jnp.float32)
        else:
            drawn = jax.random.normal(named_key(key, name), shape, jnp.float32)
            kernel, scale = drawn * jnp.float32((2 / ghost.inputs) ** 0.5), jnp.zeros(features, jnp.float32)
        params[name] = {"kernel": kernel, "scale": scale, "bias": jnp.zeros(features, jnp.float32)}
        state[name] = {"mean": jnp.zeros(features, jnp.float32), "var": jnp.ones(features, jnp.float32)}
    return params, state


def with_ghosts(
    forward: Callable[[Activation], Any],
    plan: Mapping[str, Ghost],
    params: Params,
    state: Any,
    alpha: jax.Array,
    activation: Activation,
    *,
    train: bool,
) -> tuple[Any, Any]:
    """What `forward` returns with the bypasses, and their statistics after this batch.

    Args:
        forward: calls the network once, with the activation it is given.
        plan: of the network.
        params: of the bypasses.
        state: their running statistics.
        alpha: float32 scalar, their strength, traced or not.
        activation: of the network.
        train: whether the statistics of the batch are used and added to the running ones.
    """
    after = dict(state)

    def add(waiting: list[tuple[nn.Module, jax.Array]], x: jax.Array) -> jax.Array:
        for module, given in waiting:
            name = name_of(module)
            if name in plan:
                branch, after[name] = ghost_branch(plan[name], params[name], state[name], given, x.shape, train=train)
                x = x + (alpha * branch).astype(x.dtype)
        return activation(x)

    return listening(forward, add), after


def ghost_branch(
    ghost: Ghost, params: Params, state: Any, x: jax.Array, shape: Sequence[int], *, train: bool
) -> tuple[jax.Array, Any]:
    """One bypass at full strength: float32 of `shape`, and its statistics after this batch.

    Args:
        ghost: the bypass.
        params: `kernel` [inputs, features], `scale` and `bias` [features].
        state: `mean` and `var` [features].
        x: the layer's input, float [B, H, W, inputs] or [..., inputs].
        shape: of what the branch is added to.
        train: as for `with_ghosts`.
    """
    for axis, (stride, first) in enumerate(zip(ghost.stride, ghost.first, strict=True), start=1):
        x = jax.lax.slice_in_dim(x, first, first + stride * (shape[axis] - 1) + 1, stride, axis)
    skip = x.astype(jnp.float32) @ params["kernel"]
    mean, var = state["mean"], state["var"]
    if train:
        axes = tuple(range(skip.ndim - 1))
        mean = skip.mean(axes)
        var = jnp.square(skip - jnp.broadcast_to(mean, skip.shape)).mean(axes)
        state = {
            "mean": _MOMENTUM * state["mean"] + (1 - _MOMENTUM) * mean,
            "var": _MOMENTUM * state["var"] + (1 - _MOMENTUM) * var,
        }
    factor = params["scale"] * jax.lax.rsqrt(var + _EPSILON)
    mean, factor, bias = (jnp.broadcast_to(one, skip.shape) for one in (mean, factor, params["bias"]))
    return (skip - mean) * factor + bias, state


def _kind(module: nn.Module) -> str | None:
    """`window`, `pointwise` or `dense`; None for a convolution in groups."""
    if not hasattr(module, "kernel_size"):
        return "dense"
    if module.feature_group_count != 1:
        return None
    size = module.kernel_size
    return "window" if max(size if isinstance(size, Sequence) else (size,)) > 1 else "pointwise"


def _bypass(given: Sequence[int], features: int, taken: Sequence[int]) -> Ghost | None:
    """How to get from a layer's input to what the next activation takes; None where there is no such way."""
    if taken[-1] != features or len(given) != len(taken):
        return None
    stride, first = [], []
    for size, wanted in zip(given[1:-1], taken[1:-1], strict=True):
        if wanted > size:
            return None
        # A padding, or a window without any, makes the quotient not whole: 7 -> 4 is a stride of 2, 14 -> 10 is none.
        step = max(round(size / wanted), 1)
        while -(-size // step) < wanted:
            step -= 1
        stride.append(step)
        first.append((-(-size // step) - wanted) // 2 * step)
    return Ghost(given[-1], features, tuple(stride), tuple(first))
