"""A cut or sparse model from its leaves and the Flax module that it was made of."""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn
from flax import nnx

from jaxticket.core import paths
from jaxticket.core.errors import MaskError
from jaxticket.core.types import Path
from jaxticket.kernels.convert.linen import linen_adapter
from jaxticket.kernels.convert.model import Fold, Runnable
from jaxticket.kernels.convert.nnx_layers import nnx_adapter
from jaxticket.kernels.formats.sparse_weight import SparseWeight


def is_module(model: object) -> bool:
    """Whether it is a Linen or NNX module."""
    return isinstance(model, nn.Module | nnx.Module)


def reload_model(
    model: object, leaves: Mapping[Path, Any], folded: Mapping[Path, Path], backend: str | None
) -> Runnable:
    """The variables of the smaller model, and the function (variables, x) -> outputs that takes them.

    Args:
        model: the Linen or NNX module that `sparsify` was given.
        leaves: path -> array or sparse weight, of the smaller variables.
        folded: path of a kernel -> path of the normalisation that is folded into it.
        backend: by which sparse layers run.

    Raises:
        MaskError: the model is no module, or has other leaves.
    """
    weights = {path: leaf for path, leaf in leaves.items() if isinstance(leaf, SparseWeight)}
    biases = {path: _sibling(path, "bias") for path in folded}
    missing = sorted({*folded, *biases.values()} - leaves.keys())
    if missing:
        raise MaskError(f"{missing[0]!r} is not among the saved leaves; save the model again")
    folds = {path: Fold(norm, leaves[biases[path]]) for path, norm in folded.items()}
    dense = {path: leaf.to_dense() if path in weights else leaf for path, leaf in leaves.items()}
    if isinstance(model, nn.Module):
        adapter, _ = linen_adapter(model, {"params": {}}, backend) or (None, None)
        assert adapter is not None
        return adapter.sparse(paths.nest(dense), weights, folds)
    if not isinstance(model, nnx.Module):
        raise MaskError(f"fn is a {type(model).__name__}; give the Linen or NNX module that jt.sparsify was given")
    adapter, state = nnx_adapter(model, None, backend) or (None, None)
    assert adapter is not None
    own = paths.leaves(state)
    unknown = sorted(leaves.keys() - own.keys() - set(biases.values()))
    if unknown:
        raise MaskError(f"{unknown[0]!r} is no leaf of the model; give the one that jt.sparsify was given")
    return adapter.sparse(
        paths.replace(state, {path: leaf for path, leaf in dense.items() if path in own}), weights, folds
    )


def _sibling(path: Path, name: str) -> Path:
    return path.rpartition("/")[0] + "/" + name if "/" in path else name
