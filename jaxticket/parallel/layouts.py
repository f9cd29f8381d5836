"""Layouts of replicates: pytrees of the same structure as one, so that one call acts on all of them.

A function of one replicate is mapped over the joined ones; what they share, such as the data, stays as it is.
"""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxticket.parallel.arrays import gathered, placed

_AXIS = "replicate"


class Layout(abc.ABC):
    """How replicates are joined, parted again, and acted on.

    Attributes:
        axes: leading axes that joining adds to every leaf.
        maps_inside_loops: whether a loop belongs around the mapped function rather than into it.
        divides_batches: whether the examples of a batch are on several devices.
    """

    axes: int = 1
    maps_inside_loops: bool = False
    divides_batches: bool = False

    @abc.abstractmethod
    def join(self, parts: Sequence[Any]) -> Any:
        """One tree of several that have the same structure, shapes and dtypes."""

    @abc.abstractmethod
    def part(self, tree: Any) -> list[Any]:
        """The trees that were joined, each with its leaves where they were computed."""

    def fetch(self, tree: Any) -> list[Any]:
        """The trees that were joined, as NumPy arrays."""
        fetched = gathered(tree)
        return _rows(fetched) if self.axes else [fetched]

    def give(self, tree: Any) -> list[Any]:
        """The trees that were joined, each whole and for whoever wants to store it."""
        return self.part(tree)

    @abc.abstractmethod
    def share(self, tree: Any) -> Any:
        """A tree that all replicates read, placed where they can."""

    @abc.abstractmethod
    def map(self, function: Callable[..., Any], in_axes: Any) -> Callable[..., Any]:
        """`function` of one replicate, to act on joined ones.

        Args:
            function: positional arguments only; all its results belong to the replicate.
            in_axes: for every argument a prefix of its tree: 0 = joined, None = shared.
        """

    def spread(self, batch: Any) -> Any:
        """A batch within a mapped function, its examples divided among the devices of one replicate."""
        return batch

    def whole(self, params: Any) -> Any:
        """Parameters within a mapped function as a network computes with them, on every device of one replicate."""
        return params

    @property
    def place(self) -> tuple[int, int]:
        """Which part of a batch this process reads, from 0, and how many parts there are; see `assemble`."""
        return 0, 1

    def assemble(self, batch: Any) -> Any:
        """A batch of NumPy arrays, or the part of it that this process has read, on the devices."""
        return jax.tree.map(jnp.asarray, batch)


@dataclasses.dataclass(frozen=True)
class Alone(Layout):
    """A single replicate, as it is."""

    axes = 0

    def join(self, parts: Sequence[Any]) -> Any:
        """The only part."""
        (part,) = parts
        return part

    def part(self, tree: Any) -> list[Any]:
        """The tree itself."""
        return [tree]

    def share(self, tree: Any) -> Any:
        """The tree itself."""
        return tree

    def map(self, function: Callable[..., Any], in_axes: Any) -> Callable[..., Any]:
        """The function itself."""
        del in_axes
        return function


@dataclasses.dataclass(frozen=True)
class Vmapped(Layout):
    """Replicates on one device, stacked and acted on by `jax.vmap`."""

    # A loop whose end depends on the replicate would select between all old and new values at every turn.
    maps_inside_loops = True

    def join(self, parts: Sequence[Any]) -> Any:
        """Leaves stacked on a leading axis."""
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)

    def part(self, tree: Any) -> list[Any]:
        """Rows of the leading axis."""
        return _rows(tree)

    def share(self, tree: Any) -> Any:
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
        return cls(jax.make_mesh((len(devices),), (_AXIS,), devices=devices, axis_types=(AxisType.Auto,)))

    def join(self, parts: Sequence[Any]) -> Any:
        """Arrays sharded over their leading axis; parts that lie on their device stay there."""
        return jax.tree.map(lambda *leaves: self._joined(leaves), *parts)

    def part(self, tree: Any) -> list[Any]:
        """The shards, on their devices; as NumPy arrays where some of these are other processes'."""
        if any(device.process_index != jax.process_index() for device in self.mesh.devices.flat):
            return self.fetch(tree)
        leaves, structure = jax.tree.flatten(tree)
        rows = [{shard.device: shard.data for shard in leaf.addressable_shards} for leaf in leaves]
        return [structure.unflatten([row[device][0] for row in rows]) for device in self.mesh.devices.flat]

    def share(self, tree: Any) -> Any:
        """A copy on every device."""
        return jax.tree.map(lambda leaf: placed(leaf, NamedSharding(self.mesh, PartitionSpec())), tree)

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

    def _joined(self, leaves: Sequence[Any]) -> jax.Array:
        homes = zip(leaves, self.mesh.devices.flat, strict=True)
        own = [(leaf, device) for leaf, device in homes if device.process_index == jax.process_index()]
        rows = [jax.device_put(leaf, device)[None] for leaf, device in own]
        sharding = NamedSharding(self.mesh, PartitionSpec(_AXIS))
        return jax.make_array_from_single_device_arrays((len(leaves), *rows[0].shape[1:]), sharding, rows)


def _rows(tree: Any) -> list[Any]:
    leaves, structure = jax.tree.flatten(tree)
    return [structure.unflatten(row) for row in zip(*leaves, strict=True)]


def _is_none(axis: int | None) -> bool:
    return axis is None


ALONE = Alone()
