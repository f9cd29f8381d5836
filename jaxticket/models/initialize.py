"""The first variables of a network, with all its random numbers from one draw per distribution.

XLA on CPU takes about 0.3 s to compile each differently shaped random draw; for a whole network that is
more than its training step takes. Here a first, abstract pass counts the numbers each distribution has to
give, and the real pass draws them all at once and hands each leaf its slice (see `initializers`).
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.core import unfreeze

from jaxticket.core.errors import ConfigError
from jaxticket.core.keys import named_key
from jaxticket.models.apply import apply_model
from jaxticket.models.initializers import SharedDraw, sharing
from jaxticket.models.linen import in_mode
from jaxticket.models.registry import NETWORKS, naming_its_line, proper_name

Variables = tuple[dict[str, Any], dict[str, Any]]

# Of the batch by which logits are checked: unlike the sides of images and the numbers of classes.
_IMAGES = 60


def init_variables(model: nn.Module, key: jax.Array, input_shape: Sequence[int]) -> Variables:
    """Random parameters and the model state that belongs to them.

    The same key gives the same bits; `jax.vmap` over keys gives a stack of networks. A model whose
    initialisers are not those of `initializers` gets its usual draws, compiled one by one.

    Args:
        model: any Linen module that can be called with one array of floats.
        key: a JAX random key.
        input_shape: of a batch, (batch, height, width, channels), or of one image, (height, width, channels).

    Returns:
        params as a nested dict, and the other collections, `{'batch_stats': ...}` or empty.

    Example:
        >>> from jaxticket import models
        >>> model = models.create_model("lenet300", num_classes=10, width=0.1)
        >>> params, state = models.init_variables(model, jax.random.key(0), (8, 8, 1))
        >>> params["fc1"]["kernel"].shape, state
        ((64, 30), {})
    """
    shape = _batch_shape(input_shape)
    try:
        hash(model)
    except TypeError:  # a field holds an array, say: such a model is compiled anew on each call
        return jax.jit(functools.partial(_initialize, model, input_shape=shape))(key)
    return _initialize_hashable(model, key, shape)


def abstract_variables(model: nn.Module, input_shape: Sequence[int]) -> Variables:
    """What `init_variables` would return, as `jax.ShapeDtypeStruct`s; nothing is computed.

    Example:
        >>> from jaxticket import models
        >>> model = models.create_model("lenet300", num_classes=10)
        >>> params, _ = models.abstract_variables(model, (1, 28, 28, 1))
        >>> sum(leaf.size for leaf in jax.tree.leaves(params))
        266610
    """
    return _abstract(model, input_shape)[1]


def checked_variables(model: nn.Module, name: str, image_shape: Sequence[int], outputs: Sequence[int]) -> Variables:
    """As `abstract_variables`, of a network that gives what the data set needs, [batch, num_classes] or for each pixel.

    Args:
        model: the network.
        name: by which it was chosen, for the message.
        image_shape: (height, width, channels).
        outputs: the shape of what it has to give for one image, such as (num_classes,).

    Raises:
        ConfigError: it gives something else, or cannot be called.
    """
    with naming_its_line(name):
        logits, variables = _abstract(model, (_IMAGES, *image_shape))
    wanted = (_IMAGES, *outputs)
    if getattr(logits, "shape", None) != wanted:
        given = f"logits {list(logits.shape)}" if hasattr(logits, "shape") else f"a {type(logits).__name__}"
        raise ConfigError(
            f"network {name!r}: gives {given} for {_IMAGES} images; must be {list(wanted)}, a number for each class, "
            "such as nn.Dense(num_classes) gives for x.reshape(x.shape[0], -1), with an argument num_classes"
        )
    if not NETWORKS.is_own(proper_name(name)):  # what it does in training was not tried by anybody yet
        with naming_its_line(name):
            jax.eval_shape(functools.partial(apply_model, model, train=True), *variables, _dummy((2, *image_shape)))
    return variables


def _abstract(model: nn.Module, input_shape: Sequence[int]) -> tuple[Any, Variables]:
    """What a network gives, and its variables, as shapes."""
    shape = _batch_shape(input_shape)

    def both(key: jax.Array) -> tuple[Any, Variables]:
        logits, variables = _draw(model, key, shape)
        return logits, _split(variables)

    return jax.eval_shape(both, jax.random.key(0))


def _initialize(model: nn.Module, key: jax.Array, input_shape: tuple[int, ...]) -> Variables:
    draw_key, model_key = jax.random.split(key)

    def count(key: jax.Array) -> None:
        with sharing(SharedDraw()) as draw:
            _draw(model, key, input_shape)
        sizes.update(draw.taken)

    sizes: dict[str, int] = {}
    jax.eval_shape(count, model_key)
    with sharing(SharedDraw(draw_key, sizes)):
        return _split(_draw(model, model_key, input_shape)[1])


def _draw(model: nn.Module, key: jax.Array, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """What a network gives for one input, and its first variables."""
    model, how = in_mode(model, train=False)
    streams = {"params": key, "default": named_key(key, "default")}  # the second is for NNX modules that ask for others
    return model.init_with_output(streams, _dummy(shape), **how)


_initialize_hashable = functools.partial(jax.jit, static_argnums=(0, 2))(_initialize)


def _split(variables: Any) -> Variables:
    collections = dict(unfreeze(variables))
    return collections.pop("params", {}), collections


def _dummy(shape: tuple[int, ...]) -> jax.Array:
    return jnp.zeros(shape, jnp.float32)


def _batch_shape(shape: Sequence[int]) -> tuple[int, ...]:
    return (1, *shape) if len(shape) == 3 else tuple(shape)
