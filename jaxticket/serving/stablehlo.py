"""Models as StableHLO, for programs that have neither their source nor jaxticket."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp

from jaxticket import storage
from jaxticket.core import paths
from jaxticket.core.errors import ConfigError, one_line
from jaxticket.core.masks import is_traced
from jaxticket.core.types import Inputs
from jaxticket.serving.exported import ExportedModel, save_exported
from jaxticket.serving.servable import Servable, as_function

_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def export(
    model: Servable,
    *inputs: Inputs,
    folder: storage.PathLike | None = None,
    batch: str | None = None,
    platforms: Sequence[str] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> ExportedModel:
    """A model as StableHLO by `jax.export`, and its weights.

    The weights are not inside of the program but its first argument, a dictionary from path to array, which
    `weights.safetensors` has by the same names.

    Args:
        model: what `jt.shrink` or `jt.sparsify` returned, or (apply, variables) of any network, called as
            apply(variables, *inputs); for NNX what `interop.functional` gives.
        *inputs: arrays, or trees of them, perhaps abstract; the model takes inputs of these shapes and dtypes.
        folder: where to write `model.stablehlo`, `weights.safetensors` and `export.json`; what is there by these names
            is replaced. None writes nothing.
        batch: name of the first axis of all inputs, such as `'b'`, which may then be of any size; None for the size
            that they have.
        platforms: 'cpu', 'cuda', 'rocm', 'tpu': one program for all of them; None is the one that is here.
        meta: JSON-ready facts to keep with it.

    Returns:
        The exported model, which can be called with inputs.

    Raises:
        ConfigError: something else than a model, an unknown platform, no inputs, or a function that needs to know the
            size of the batch.
        TicketError: something that cannot be stored.

    Example:
        >>> from jaxticket import models
        >>> network = models.create_model("lenet300", num_classes=10)
        >>> params, _ = models.init_variables(network, jax.random.key(0), (8, 8, 1))
        >>> exported = jt.export((network.apply, {"params": params}), jnp.ones((1, 8, 8, 1)), batch="b")
        >>> exported(jnp.ones((7, 8, 8, 1))).shape
        (7, 10)
        >>> exported.exported.in_avals[-1]
        ShapedArray(float32[b,8,8,1])
    """
    apply, variables = as_function(model)
    if is_traced((variables, inputs)):
        raise ConfigError("the model or its inputs are traced; call export outside of jit")
    unknown = [name for name in platforms or () if name not in _PLATFORMS]
    if isinstance(platforms, str) or unknown:
        raise ConfigError(f"platforms={platforms!r}: must be a list of {', '.join(_PLATFORMS)}, or None")
    if not isinstance(meta, Mapping | None):
        raise ConfigError(f"meta is a {type(meta).__name__}; give a dictionary of facts, or None")
    weights, restore = split_variables(variables)
    function = jax.jit(lambda weights, *inputs: apply(restore(weights), *inputs))
    kinds = abstract_inputs(inputs, batch)
    try:
        traced = jax.export.export(function, platforms=platforms)(jax.tree.map(_kind, weights), *kinds)
    except ConfigError:
        raise
    except Exception as error:  # JAX's own, of many kinds, and whatever the function raises about shapes
        raise ConfigError(_refusal(error, batch)) from error
    exported = ExportedModel(traced, weights, dict(meta or {}))
    if folder is not None:
        save_exported(folder, exported)
    return exported


def split_variables(variables: Any) -> tuple[dict[str, jax.Array], Callable[[Mapping[str, Any]], Any]]:
    """The arrays of a tree by path, and the function that puts them back; random keys and numbers stay in it."""
    keyed, structure = jax.tree_util.tree_flatten_with_path(variables)
    paths.leaves(variables)  # refuses two leaves of one path
    named = [(paths.path_string(keys) or "weights", leaf) for keys, leaf in keyed]
    arrays = {
        path: jnp.asarray(leaf)
        for path, leaf in named
        if hasattr(leaf, "dtype") and not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)
    }
    return arrays, lambda weights: structure.unflatten([weights.get(path, leaf) for path, leaf in named])


def abstract_inputs(inputs: Sequence[Inputs], batch: str | None) -> tuple[Inputs, ...]:
    """Shapes and dtypes of inputs, with a first axis of any size if it has a name.

    Raises:
        ConfigError: there is no input, or the name is none.
    """
    if not jax.tree.leaves(inputs):
        raise ConfigError("no inputs were given; give one for each input of the model, jax.ShapeDtypeStruct will do")
    kinds = jax.tree.map(_kind, inputs)
    if batch is None:
        return kinds
    if not isinstance(batch, str) or not batch.isidentifier():
        raise ConfigError(f"batch={batch!r}: must be the name of the first axis, such as 'b', or None")
    (size,) = jax.export.symbolic_shape(batch)
    return jax.tree.map(
        lambda kind: jax.ShapeDtypeStruct((size, *kind.shape[1:]), kind.dtype) if kind.shape else kind, kinds
    )


def _kind(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf))


def _refusal(error: Exception, batch: str | None) -> str:
    """One line that says what may be changed."""
    said = f"the model cannot be exported ({type(error).__name__}: {one_line(error)[:200]})"
    if batch is not None:
        return f"{said}; compute sizes from x.shape without comparing them, or give batch=None for a fixed size"
    return f"{said}; the inputs must be those that the model is called with"
