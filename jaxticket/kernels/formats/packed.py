"""Trees with sparse weights as named arrays, of which each file format can keep the name: values and structures."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core import paths
from jaxticket.core.errors import TicketError
from jaxticket.core.types import Path, PyTree
from jaxticket.kernels.formats.block_sparse import BlockSparse
from jaxticket.kernels.formats.dense_groups import DenseGroups, GroupStructure
from jaxticket.kernels.formats.structure import BlockStructure

# Names of the arrays of one sparse weight begin with its path and this.
_BLOCKS, _GROUPS = "@blocks/", "@groups/"


def weight_leaves(tree: PyTree) -> dict[Path, Any]:
    """The leaves of a tree by path, a sparse weight being one leaf; random keys are left out."""
    keyed = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_sparse)[0]
    return {
        paths.path_string(key_path): leaf
        for key_path, leaf in keyed
        if is_sparse(leaf) or not jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.extended)
    }


def replace_weights(tree: PyTree, leaves: Mapping[Path, Any]) -> Any:
    """`tree` with the leaves at these paths replaced, dense ones by sparse ones too; other leaves stay."""
    keyed, structure = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_sparse)
    return structure.unflatten([leaves.get(paths.path_string(key_path), leaf) for key_path, leaf in keyed])


def pack(leaves: Mapping[Path, Any]) -> dict[str, Any]:
    """Leaves, some of which are sparse weights, as arrays by name: nothing of the zeros is among them."""
    found: dict[str, Any] = {}
    for name, leaf in leaves.items():
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
    return found


def unpack(arrays: Mapping[str, np.ndarray], where: object) -> dict[Path, Any]:
    """The leaves that `pack` was given; `where` they were read from is for messages.

    Raises:
        TicketError: arrays that are no whole sparse weight.
    """
    own: dict[Path, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        path = name.partition("@")[0]
        own.setdefault(path, {})[name[len(path) :]] = array
    found = {}
    for path, parts in own.items():
        try:
            found[path] = _unpacked(parts)
        except (IndexError, KeyError, ValueError) as error:
            raise TicketError(f"{where}: {path!r} is no whole sparse weight ({error}); save it again") from error
    return found


def _unpacked(own: Mapping[str, np.ndarray]) -> Any:
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


def is_sparse(leaf: object) -> bool:
    """Whether it is a sparse weight itself, and no variable that holds one."""
    return isinstance(leaf, BlockSparse | DenseGroups)
