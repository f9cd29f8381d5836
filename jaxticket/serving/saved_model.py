"""Cut and sparse models as files, which run again with the source of their network."""

from collections.abc import Callable
from typing import Any

import jax

from jaxticket import storage
from jaxticket.core import paths
from jaxticket.core.errors import ConfigError, MaskError
from jaxticket.core.types import PyTree
from jaxticket.kernels.convert.reload import is_module, reload_model
from jaxticket.kernels.convert.report import Sparsified
from jaxticket.kernels.formats.packed import is_sparse, pack, replace_weights, unpack, weight_leaves
from jaxticket.serving.servable import Servable, as_function
from jaxticket.structure.shrink.resized import resized

ARRAYS, DESCRIPTION = "model.safetensors", "model.json"
_KIND = {"format": "jaxticket-model", "version": 1}


def save_model(folder: storage.PathLike, model: Servable) -> None:
    """Writes `model.safetensors`, the arrays of a cut or sparse model, and `model.json`, which describes them.

    Of sparse weights values and structures are stored, none of the zeros. A model that is there is replaced.

    Args:
        folder: made where it is missing.
        model: what `jt.shrink` or `jt.sparsify` returned; after more training `dataclasses.replace(shrunk,
            params=tuned)` or `(shrunk.apply, tuned)`.

    Raises:
        ConfigError: something else than a model.
        TicketError: an array that cannot be stored, or the operating system refuses.

    Example:
        >>> import tempfile
        >>> fn, params = lambda params, x: x @ params["a"] @ params["b"], {"a": jnp.ones((3, 4)), "b": jnp.ones((4, 2))}
        >>> shrunk = jt.shrink(fn, params, {"a": jnp.ones((3, 4), bool).at[:, 2].set(False)}, jnp.ones((1, 3)))
        >>> folder = tempfile.mkdtemp()
        >>> jt.save_model(folder, shrunk)
        >>> apply, small = jt.load_model(folder, fn)
        >>> small["a"].shape, apply(small, jnp.ones((1, 3))).tolist()
        ((3, 3), [[9.0, 9.0]])
    """
    _, variables = as_function(model)
    keyed = jax.tree_util.tree_flatten_with_path(variables, is_leaf=is_sparse)[0]
    if isinstance(model, tuple) and any(is_sparse(leaf) for _, leaf in keyed):
        raise ConfigError(
            "model is (apply, variables) with sparse weights; give what jt.sparsify returned, with other weights by "
            "dataclasses.replace(sparsified, variables=...)"
        )
    nested = all(isinstance(getattr(key, "key", None), str) for keys, _ in keyed for key in keys)
    content: dict[str, Any] = {
        "tree": "dict" if nested else type(variables).__name__,
        "sparse": isinstance(model, Sparsified),
        "folded": dict(model.folded) if isinstance(model, Sparsified) else {},
        "backend": model.backend if isinstance(model, Sparsified) else None,
        "report": "" if isinstance(model, tuple) else str(model.report),
    }
    arrays = storage.dump_arrays(pack(weight_leaves(variables)))
    storage.write_bundle(folder, DESCRIPTION, _KIND, {ARRAYS: arrays}, content)


def load_model(folder: storage.PathLike, fn: object, *, like: PyTree = None) -> tuple[Callable[..., Any], PyTree]:
    """The model that `save_model` wrote, equal to the bit.

    Args:
        folder: of the model.
        fn: what it was made of, in its full size: the function that `jt.shrink` was given, or the Linen or NNX module,
            which models of `jt.sparsify` need.
        like: of a function whose parameters are no nested dictionary, the parameters of the full size, for their
            structure.

    Returns:
        apply and variables, for `apply(variables, *inputs)`; `jt.export` takes the pair.

    Raises:
        TicketError: the folder holds no model, or a file was changed.
        MaskError: the model in it has other leaves than `fn`.
        ConfigError: `fn` is no such thing, or `like` is needed.

    Example:
        >>> import tempfile
        >>> from flax import nnx
        >>> model, x = nnx.Linear(16, 16, rngs=nnx.Rngs(0)), jnp.ones((2, 16))
        >>> mask = {"kernel": jnp.zeros((16, 16), bool).at[:8].set(True)}
        >>> folder = tempfile.mkdtemp()
        >>> jt.save_model(folder, jt.sparsify(model, None, mask, x, block=(8, 16), min_speedup=0))
        >>> apply, variables = jt.load_model(folder, model)
        >>> apply(variables, x).shape
        (2, 16)
    """
    content, files = storage.read_bundle(folder, DESCRIPTION, _KIND)
    where = f"{folder}/{DESCRIPTION}"
    storage.check_fields(content, {"tree": str, "sparse": bool, "folded": dict}, where)
    storage.check_fields(files, {ARRAYS: bytes}, where)
    leaves = unpack(storage.parse_arrays(files[ARRAYS], f"{folder}/{ARRAYS}"), folder)
    if content["sparse"] or is_module(fn):
        variables, apply = reload_model(fn, leaves, content["folded"], content.get("backend"))
        return apply, variables
    if not callable(fn):
        raise ConfigError(f"fn is a {type(fn).__name__}; give the function that jt.shrink was given, or the module")
    if like is None and content["tree"] != "dict":
        raise ConfigError(
            f"{folder}: its parameters are a {content['tree']}; give like=, a tree of that kind, or the module"
        )
    if like is None:
        return resized(fn), paths.nest(leaves)
    different = sorted(weight_leaves(like).keys() ^ leaves.keys())
    if different:
        raise MaskError(f"{different[0]!r} is not both in {folder} and in like; give parameters of the same network")
    return resized(fn), replace_weights(like, leaves)
