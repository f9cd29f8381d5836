"""Sparse models for elsewhere: packed weights as a file, the whole model as StableHLO."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core import paths
from jaxticket.core.errors import MaskError, TicketError
from jaxticket.core.types import Inputs, PyTree
from jaxticket.kernels.convert.report import Sparsified
from jaxticket.kernels.formats.block_sparse import BlockSparse
from jaxticket.kernels.formats.dense_groups import DenseGroups, GroupStructure
from jaxticket.kernels.formats.structure import BlockStructure
from jaxticket.storage import PathLike, load_arrays, save_arrays

# Names of the arrays of one sparse weight begin with its path and this.
_BLOCKS, _GROUPS = "@blocks/", "@groups/"
_IS_SPARSE = (BlockSparse, DenseGroups)


def save_sparse(path: PathLike, variables: PyTree) -> None:
    """Writes variables with sparse weights as a safetensors file: values and structures, nothing of the zeros.

    Args:
        path: the file.
        variables: pytree of arrays, `BlockSparse` and `DenseGroups`, such as `Sparsified.variables`.

    Raises:
        TicketError: an array that cannot be stored, or the operating system refuses.
    """
    found: dict[str, Any] = {}
    for name, leaf in _leaves(variables).items():
        if isinstance(leaf, BlockSparse):
            found[f"{name}{_BLOCKS}values"] = leaf.values
            found[f"{name}{_BLOCKS}shape"] = np.asarray(leaf.shape, np.int64)
            found[f"{name}{_BLOCKS}block"] = np.asarray(leaf.structure.block, np.int64)
            found[f"{name}{_BLOCKS}bits"] = np.frombuffer(leaf.structure.bits, np.uint8)
        elif isinstance(leaf, DenseGroups):
            found[f"{name}{_GROUPS}shape"] = np.asarray(leaf.shape, np.int64)
            for number, ((inputs, outputs), values) in enumerate(zip(leaf.structure.indices, leaf.values, strict=True)):
                found[f"{name}{_GROUPS}{number}/values"] = values
                found[f"{name}{_GROUPS}{number}/inputs"] = inputs
                found[f"{name}{_GROUPS}{number}/outputs"] = outputs
        else:
            found[name] = leaf
    save_arrays(path, found)


def load_sparse(path: PathLike, like: PyTree = None) -> PyTree:
    """The variables that `save_sparse` has written.

    Args:
        path: the file.
        like: variables with the same paths, such as the state of an NNX model that was made sparse in the same way;
            None gives a nested dictionary, as Linen has it.

    Raises:
        TicketError: the file is missing, damaged, or holds something else than a structure describes.
        MaskError: `like` has other paths.
    """
    arrays = load_arrays(path)
    names = sorted({name.partition("@")[0] for name in arrays})
    found: dict[str, Any] = {}
    for name in names:
        own = {key[len(name) :]: array for key, array in arrays.items() if key.partition("@")[0] == name}
        try:
            found[name] = _unpacked(own)
        except (IndexError, KeyError, ValueError) as error:
            raise TicketError(f"{path}: {name!r} is no whole sparse weight ({error}); save it again") from error
    if like is None:
        return paths.nest(found)
    wanted = _leaves(like)
    for name in sorted(wanted.keys() ^ found.keys()):
        raise MaskError(f"{name!r} is not both in {path} and in the given variables; give those of the same model")
    keyed, structure = jax.tree_util.tree_flatten_with_path(like, is_leaf=_is_sparse)
    return structure.unflatten([found[paths.path_string(key_path)] for key_path, _ in keyed])


def export_stablehlo(
    sparsified: Sparsified, sample: Inputs, *, platforms: Sequence[str] | None = None
) -> jax.export.Exported:
    """A sparse model as StableHLO, with its weights inside, that JAX and others can run without jaxticket.

    `exported.call(x)` runs it, `exported.mlir_module()` is its text, `exported.serialize()` its bytes (which need the
    package `flatbuffers`, of the extra `export`).

    Args:
        sparsified: what `sparsify` returned.
        sample: an input, perhaps abstract; the model takes inputs of this shape.
        platforms: 'cpu', 'cuda', 'rocm', 'tpu'; None is the one that is here.
    """
    abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)), sample)
    model = jax.jit(lambda x: sparsified.apply(sparsified.variables, x))
    return jax.export.export(model, platforms=platforms)(abstract)


def _unpacked(own: dict[str, np.ndarray]) -> Any:
    """A leaf from its arrays, by what follows its path."""
    if "" in own:
        return jnp.asarray(own[""])
    kind = _BLOCKS if any(key.startswith(_BLOCKS) for key in own) else _GROUPS
    shape = tuple(own[f"{kind}shape"].tolist())
    if kind == _BLOCKS:
        rows, cols = own[f"{kind}block"].tolist()
        structure = BlockStructure(shape, (rows, cols), own[f"{kind}bits"].tobytes())
        values = own[f"{kind}values"]
        if values.shape != (structure.count, rows, cols):
            raise ValueError(f"{list(values.shape)} values for {structure.count} blocks")
        return BlockSparse(jnp.asarray(values), structure)
    groups, arrays = [], []
    for number in range((len(own) - 1) // 3):
        values, inputs, outputs = (own[f"{kind}{number}/{part}"] for part in ("values", "inputs", "outputs"))
        if values.shape != (len(inputs), len(outputs)):
            raise ValueError(f"{list(values.shape)} values for {len(inputs)} inputs and {len(outputs)} outputs")
        groups.append((inputs.tobytes(), outputs.tobytes()))
        arrays.append(jnp.asarray(values))
    return DenseGroups(tuple(arrays), GroupStructure(shape, tuple(groups)))


def _leaves(tree: PyTree) -> dict[str, Any]:
    keyed = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_sparse)[0]
    return {paths.path_string(key_path): leaf for key_path, leaf in keyed}


def _is_sparse(leaf: object) -> bool:
    return isinstance(leaf, _IS_SPARSE)
