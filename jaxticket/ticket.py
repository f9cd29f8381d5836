"""The ticket: a mask, the weights to start from and what is known of them. What a user takes away.

A folder holds `ticket.safetensors`, the arrays, and `ticket.json`, everything else with the checksums of both. Loading
refuses whatever is not, to the bit, what was saved.
"""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxticket import storage
from jaxticket.core import paths
from jaxticket.core.checks import shown
from jaxticket.core.errors import MaskError, TicketError
from jaxticket.core.masks import check_fit, is_traced
from jaxticket.core.versions import versions

ARRAYS = "ticket.safetensors"
DESCRIPTION = "ticket.json"

_FORMAT = {"format": "jaxticket-ticket", "version": 1}
_PARTS = ("params", "mask", "model_state")


@dataclasses.dataclass(frozen=True, eq=False)
class Ticket:
    """A sparse network to train, or a trained one.

    Attributes:
        params: nested dict of arrays: the rewind point's weights, or trained weights where `meta['weights']` is
            `trained`. They are exactly zero where the mask is False, unless `meta['removed']` is True: then the values
            that the mask removes are there too, for masks that bring some of them back, and it is `apply_mask` that
            makes them the ticket's network.
        mask: path -> bool array, True = kept.
        model_state: nested dict of the other arrays (`{'batch_stats': ...}`), or empty.
        meta: JSON-ready facts. `save_ticket` adds `weights`, `sparsity` and `versions` where they are missing.

    Example:
        >>> params, mask = {"fc": {"kernel": np.array([[1.0, 0.0]])}}, {"fc/kernel": np.array([[True, False]])}
        >>> ticket = jt.Ticket(params, mask)
        >>> ticket.restore({"fc": {"kernel": jnp.zeros((1, 2))}})["fc"]["kernel"].tolist()
        [[1.0, 0.0]]
    """

    params: Any
    mask: dict[paths.Path, Any]
    model_state: Any = dataclasses.field(default_factory=dict)
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def restore(self, like: Any) -> Any:
        """The ticket's parameters in a tree of another kind with the same paths.

        Args:
            like: parameters of the same network, such as a Linen dict, an `nnx.State` or any other pytree.

        Returns:
            A tree of the kind of `like`. A leaf that is a JAX array there is one here, on the same devices; others are
            NumPy. Dtypes are the ticket's.

        Raises:
            MaskError: paths or shapes differ.
        """
        stored, wanted = paths.leaves(self.params), paths.leaves(like)
        for path in sorted(stored.keys() | wanted.keys()):
            here, there = _shape(stored, path), _shape(wanted, path)
            if here != there:
                raise MaskError(
                    f"{path!r} is {here} in the ticket and {there} in the given tree; "
                    "give the parameters of the ticket's network"
                )
        return paths.replace(like, {path: _place(leaf, wanted[path]) for path, leaf in stored.items()})


def save_ticket(folder: storage.PathLike, ticket: Ticket) -> None:
    """Writes a ticket into `folder`, which is made where it is missing; equal tickets give equal files.

    A ticket that is there already is replaced. A crash leaves the old ticket, the new one, or, in the moment between
    two renames, one that `load_ticket` refuses; saving again mends it.

    Raises:
        MaskError: the mask does not fit the params.
        TicketError: params are not zero where pruned and `meta['removed']` is not True, a part cannot be stored, `meta`
            is not JSON or contradicts the mask, or the operating system refuses.

    Example:
        >>> import tempfile
        >>> ticket = jt.Ticket({"fc": {"kernel": np.array([[1.0, 0.0]])}}, {"fc/kernel": np.array([[True, False]])})
        >>> folder = tempfile.mkdtemp()
        >>> jt.save_ticket(folder, ticket)
        >>> jt.load_ticket(folder).meta["sparsity"]
        0.5
    """
    folder = _path(folder)
    if not isinstance(ticket, Ticket):
        raise TicketError(f"a {type(ticket).__name__} cannot be saved as a ticket; give a Ticket(params, mask)")
    if not isinstance(ticket.mask, Mapping) or not isinstance(ticket.meta, Mapping):
        raise TicketError("a ticket's mask is a dictionary path -> bool array, its meta one of facts; make them so")
    check_fit(ticket.params, ticket.mask)
    trees = {"params": ticket.params, "mask": ticket.mask, "model_state": ticket.model_state}
    parts = {
        part: {path: storage.host_array(f"{part}/{path}", leaf) for path, leaf in paths.leaves(tree).items()}
        for part, tree in trees.items()
    }
    _nest(parts["params"], "params")
    _nest(parts["model_state"], "model_state")
    meta = _complete(ticket.meta, parts["mask"])
    _check_zeros(parts["params"], parts["mask"], meta, "the ticket")
    arrays = storage.dump_arrays(
        {f"{part}/{path}": leaf for part, leaves in parts.items() for path, leaf in leaves.items()},
        {key: str(value) for key, value in _FORMAT.items()},
    )
    stated = {"sha256": hashlib.sha256(arrays).hexdigest(), "size": len(arrays)}
    description = storage.checked_json({**_FORMAT, "arrays": stated, "meta": meta}, "the ticket")
    storage.write_files({folder / ARRAYS: arrays, folder / DESCRIPTION: description})


def load_ticket(folder: storage.PathLike) -> Ticket:
    """The ticket in `folder`, its arrays read-only NumPy.

    `jax.device_put(ticket.params)` brings them to a device, `ticket.restore(like)` into another kind of tree.

    Raises:
        TicketError: there is no ticket, or it is damaged, changed by hand, incomplete, or from a newer jaxticket.

    Example:
        >>> import tempfile
        >>> ticket = jt.Ticket({"fc": {"kernel": np.array([[1.0, 0.0]])}}, {"fc/kernel": np.array([[True, False]])})
        >>> folder = tempfile.mkdtemp()
        >>> jt.save_ticket(folder, ticket)
        >>> jt.load_ticket(folder).params["fc"]["kernel"].tolist()
        [[1.0, 0.0]]
    """
    folder = _path(folder)
    file, description = folder / ARRAYS, folder / DESCRIPTION
    with storage.naming_errors("read", folder):
        missing = [needed.name for needed in (description, file) if not needed.is_file()]
    if missing:
        raise TicketError(f"{folder} holds no ticket: there is no {missing[0]}; give the folder of a saved ticket")
    content = storage.parse_checked_json(storage.read_bytes(description), description, _FORMAT)
    storage.check_fields(content, {"arrays": dict, "meta": dict}, description)
    data = storage.read_bytes(file)
    if content["arrays"] != {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}:
        raise TicketError(
            f"{file} is not the file that {description.name} describes: it was changed, or saving was interrupted; "
            "restore the folder or save the ticket again"
        )
    parts: dict[str, dict[str, np.ndarray]] = {part: {} for part in _PARTS}
    for name, array in storage.parse_arrays(data, file).items():
        part, _, path = name.partition("/")
        if part not in parts:
            raise TicketError(f"{file}: {name!r} is none of a ticket's arrays; save the ticket again")
        parts[part][path] = array
    params, model_state = (_nest(parts[part], f"{file}: {part}") for part in ("params", "model_state"))
    try:
        check_fit(params, parts["mask"])
    except MaskError as error:
        raise TicketError(f"{file}: {error}") from error
    _check_zeros(parts["params"], parts["mask"], content["meta"], str(file))
    return Ticket(params, parts["mask"], model_state, content["meta"])


def _path(folder: Any) -> Path:
    if not isinstance(folder, str | os.PathLike):
        raise TicketError(f"a ticket's folder is a path, not {shown(folder)}")
    return Path(folder)


def _complete(meta: Mapping[str, Any], mask: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """`meta` with what can be known without asking."""
    total = sum(kept.size for kept in mask.values())
    pruned = total - sum(int(np.count_nonzero(kept)) for kept in mask.values())
    sparsity = pruned / total if total else 0.0
    complete = {"weights": "rewind", "sparsity": sparsity, "versions": versions(), **storage.plain(meta, "meta")}
    if complete["weights"] not in ("rewind", "trained"):
        raise TicketError(f"meta['weights'] is {complete['weights']!r}; must be 'rewind' or 'trained'")
    stated = complete["sparsity"]
    if isinstance(stated, bool) or not isinstance(stated, int | float) or abs(stated - sparsity) > 1e-3:
        raise TicketError(f"meta['sparsity'] is {stated!r}, the mask's is {sparsity:.4f}; leave it out or mend it")
    return complete


def _nest(flat: Mapping[paths.Path, Any], where: str) -> dict[str, Any]:
    """The nested dictionary of leaves that can be one: all in it, none of them inside another."""
    for path in flat:
        parents = (path[:i] for i, letter in enumerate(path) if letter == "/")
        if not path or any(parent in flat for parent in parents):
            raise TicketError(f"{where} has a leaf at {path!r}, which no nested dictionary has; rename it")
    return paths.nest(flat)


def _check_zeros(
    params: Mapping[str, np.ndarray], mask: Mapping[str, np.ndarray], meta: Mapping[str, Any], where: str
) -> None:
    """Refuses params that have removed weights where `meta` does not say so."""
    removed = meta.get("removed", False)
    if not isinstance(removed, bool):
        raise TicketError(f"{where}: meta['removed'] is {removed!r}; must be True or False")
    for path, kept in mask.items():
        if not removed and np.any(params[path][~kept] != 0):
            raise TicketError(
                f"{where}: params {path!r} are not zero where the mask is False; use jaxticket.apply_mask, or say "
                "meta['removed'] = True to keep them"
            )


def _shape(leaves: Mapping[str, Any], path: str) -> Any:
    return np.shape(leaves[path]) if path in leaves else "absent"


def _place(value: Any, like: Any) -> Any:
    if isinstance(like, jax.Array) and not is_traced(like):
        return jax.device_put(value, like.sharding)
    return value
