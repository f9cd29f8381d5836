"""Leaves of a pytree by slash path.

A path is `stage1_block0/conv1/kernel`: the keys from the root, joined by slashes. It is the same for a Linen
dictionary, an `nnx.State` (whose trailing `value` is dropped), a named tuple or any other registered pytree.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from jaxticket.core.errors import MaskError, one_line
from jaxticket.core.types import Path, PyTree


def path_string(key_path: Sequence[Any]) -> Path:
    """The slash path of a JAX key path; the attribute `value` with which NNX ends its paths is dropped."""
    is_attribute = len(key_path) > 1 and isinstance(key_path[-1], jax.tree_util.GetAttrKey)
    if is_attribute and key_path[-1].name == "value":
        key_path = key_path[:-1]
    return jax.tree_util.keystr(tuple(key_path), simple=True, separator="/")


def leaves(tree: PyTree) -> dict[Path, Any]:
    """The leaves of `tree` by path, sorted by path.

    Raises:
        MaskError: two leaves have the same path (a dictionary key contains a slash, say).
    """
    found: dict[Path, Any] = {}
    for key_path, leaf in _keyed(tree)[0]:
        path = path_string(key_path)
        if path in found:
            raise MaskError(f"two leaves have the path {path!r}; rename one of them")
        found[path] = leaf
    return dict(sorted(found.items()))


def replace(tree: PyTree, new_leaves: Mapping[Path, Any]) -> Any:
    """`tree` with the leaves at the given paths replaced; its structure and all other leaves stay.

    Raises:
        MaskError: a path is not a leaf of `tree`.
    """
    keyed, structure = _keyed(tree)
    paths = [path_string(key_path) for key_path, _ in keyed]
    unknown = sorted(set(new_leaves) - set(paths))
    if unknown:
        raise MaskError(f"no leaf at {unknown[0]!r}; the tree's leaves are {_some(paths)}")
    return structure.unflatten([new_leaves.get(path, leaf) for path, (_, leaf) in zip(paths, keyed, strict=True)])


def nest(flat: Mapping[Path, Any]) -> dict[str, Any]:
    """The nested dictionary whose leaves have the given paths; `{'a/b': 1}` becomes `{'a': {'b': 1}}`."""
    tree: dict[str, Any] = {}
    for path, leaf in flat.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return tree


def _keyed(tree: PyTree) -> Any:
    try:
        return jax.tree_util.tree_flatten_with_path(tree)
    except (TypeError, ValueError) as error:  # keys that have no order
        raise MaskError(f"a dictionary in the tree has keys that cannot be sorted ({one_line(error)})") from error


def _some(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
