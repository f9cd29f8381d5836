"""How replicates (networks of one structure, such as the seeds) are laid out on devices, for one call on all.

A function of one replicate is mapped over the stacked ones; what they share, such as the data, is not stacked.
"""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxticket.parallel.arrays import gather_arrays, put_array

_AXIS = "replicate"
_Tree = TypeVar("_Tree")


class Layout(abc.ABC):
    """How replicates are stacked, unstacked and mapped over.

    Attributes:
        axes: leading axes that stacking adds to every leaf.
        maps_inside_loops: whether a loop belongs around the mapped function rather than into it.
        shards_batches: whether the examples of a batch are divided among several devices.
    """

    axes: int = 1
    maps_inside_loops: bool = False
    shards_batches: bool = False

    @abc.abstractmethod
    def stack(self, trees: Sequence[_Tree]) -> _Tree:
        """One tree of several with the same structure, shapes and dtypes."""

    @abc.abstractmethod
    def unstack(self, tree: _Tree) -> list[_Tree]:
        """The trees that were stacked, their leaves where they were computed."""

    def count(self, stacked: jax.Array) -> int:
        """The number of replicates in a stacked array."""
        return stacked.shape[0] if self.axes else 1

    def fetch(self, tree: _Tree) -> list[_Tree]:
        """The trees that were stacked, as NumPy arrays."""
        fetched = gather_arrays(tree)
        return _rows(fetched) if self.axes else [fetched]

    def gather(self, tree: _Tree) -> list[_Tree]:
        """The trees that were stacked, each of them whole, to be stored."""
        return self.unstack(tree)

    @abc.abstractmethod
    def share(self, tree: _Tree) -> _Tree:
        """A tree that all replicates read, where they can read it."""

    @abc.abstractmethod
    def map(self, function: Callable[..., Any], in_axes: Any) -> Callable[..., Any]:
        """`function` of one replicate, to act on stacked ones.

        Args:
            function: positional arguments only; all its results belong to the replicate.
            in_axes: for every argument a prefix of its tree: 0 = stacked, None = shared.
        """

    def shard_batch(self, batch: _Tree) -> _Tree:
        """A batch within a mapped function, its examples divided among the devices of one replicate."""
        return batch

    def gather_params(self, params: _Tree) -> _Tree:
        """Parameters within a mapped function as a network computes with them, on every device of one replicate."""
        return params

    @property
    def batch_part(self) -> tuple[int, int]:
        """Which part of a batch this process reads, from 0, and how many parts there are; see `assemble`."""
        return 0, 1

    def assemble(self, batch: Any) -> Any:
        """A batch of NumPy arrays, or the part of it that this process has read, on the devices."""
        return jax.tree.map(jnp.asarray, batch)


@dataclasses.dataclass(frozen=True)
class Single(Layout):
    """A single replicate, as it is."""

    axes = 0

    def stack(self, trees: Sequence[_Tree]) -> _Tree:
        """The only tree."""
        (tree,) = trees
        return tree

    def unstack(self, tree: _Tree) -> list[_Tree]:
        """The tree itself."""
        return [tree]

    def share(self, tree: _Tree) -> _Tree:
        """The tree itself."""
        return tree

    def map(self, function: Callable[..., Any], in_axes: Any) -> Callable[..., Any]:
        """The function itself."""
        del in_axes
        return function


@dataclasses.dataclass(frozen=True)
class Vmapped(Layout):
    """Replicates on one device, stacked and mapped over by `jax.vmap`."""

    # A loop whose end depends on the replicate would select between all old and new values at every turn.
    maps_inside_loops = True

    def stack(self, trees: Sequence[_Tree]) -> _Tree:
        """Leaves stacked on a leading axis."""
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    def unstack(self, tree: _Tree) -> list[_Tree]:
        """Rows of the leading axis."""
        return _rows(tree)

    def share(self, tree: _Tree) -> _Tree:
        """The tree itself."""
        return tree

    def map(self, function: Callable[..., Any], in_axes: Any) -> Callable[..., Any]:
        """`jax.vmap`."""
        return jax.vmap(function, in_axes=in_axes)


@dataclasses.dataclass(frozen=True)
class OnePerDevice(Layout):
    """Every replicate on a device of its own, which runs the program of a single one: nothing is communicated.

    Attributes:
        mesh: with the one axis `replicate`.
    """

    mesh: Mesh

    @classmethod
    def of(cls, devices: Sequence[Any]) -> "OnePerDevice":
        """As many replicates as there are `devices`."""
        axes = (AxisType.Auto,)
        return cls(jax.make_mesh((len(devices),), (_AXIS,), devices=devices, axis_types=axes))

    def stack(self, trees: Sequence[_Tree]) -> _Tree:
        """Arrays sharded over their leading axis; leaves that are on their device stay there."""
        return jax.tree.map(lambda *leaves: self._stacked(leaves), *trees)

    def unstack(self, tree: _Tree) -> list[_Tree]:
        """The shards, on their devices; as NumPy arrays where some of these are other processes'."""
        if any(device.process_index != jax.process_index() for device in self.mesh.devices.flat):
            return self.fetch(tree)
        leaves, structure = jax.tree.flatten(tree)
        rows = [{shard.device: shard.data for shard in leaf.addressable_shards} for leaf in leaves]
        return [structure.unflatten([row[device][0] for row in rows]) for device in self.mesh.devices.flat]

    def share(self, tree: _Tree) -> _Tree:
        """A copy on every device."""
        return jax.tree.map(lambda leaf: put_array(leaf, NamedSharding(self.mesh, PartitionSpec())), tree)

    def map(self, function: Callable[..., Any], in_axes: Any) -> Callable[..., Any]:
        """`jax.shard_map` over single rows."""

        def own(axis: int | None, argument: Any) -> Any:
            return argument if axis is None else jax.tree.map(lambda leaf: leaf[0], argument)

        def on_one(*arguments: Any) -> Any:
            rows = jax.tree.map(own, in_axes, arguments, is_leaf=_is_none)
            return jax.tree.map(lambda leaf: leaf[None], function(*rows))

        split = PartitionSpec(_AXIS)
        specs = jax.tree.map(lambda axis: PartitionSpec() if axis is None else split, in_axes, is_leaf=_is_none)
        return jax.shard_map(on_one, mesh=self.mesh, in_specs=specs, out_specs=split, check_vma=False)

    def _stacked(self, leaves: Sequence[Any]) -> jax.Array:
        homes = zip(leaves, self.mesh.devices.flat, strict=True)
        own = [(leaf, device) for leaf, device in homes if device.process_index == jax.process_index()]
        rows = [jax.device_put(leaf, device)[None] for leaf, device in own]
        sharding = NamedSharding(self.mesh, PartitionSpec(_AXIS))
        return jax.make_array_from_single_device_arrays((len(leaves), *rows[0].shape[1:]), sharding, rows)


def _rows(tree: _Tree) -> list[_Tree]:
    leaves, structure = jax.tree.flatten(tree)
    return [structure.unflatten(row) for row in zip(*leaves, strict=True)]


def _is_none(axis: int | None) -> bool:
    return axis is None


SINGLE = Single()
