"""One network on many devices: the batch is divided among them, and where asked for the parameters are too.

The program of one device runs on all of them; the compiler adds what has to be communicated (GSPMD). With parameters on
every device that is a sum of the gradients per step; divided parameters are gathered where they are used and their
gradients summed into place (FSDP, Zhao et al. 2023). Statistics of a batch, as of batch normalisation, are those of the
whole batch. Results equal those of one device up to the order of sums.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxticket.core.errors import ConfigError
from jaxticket.parallel import processes
from jaxticket.parallel.arrays import gather_arrays, put_array
from jaxticket.parallel.layouts import SINGLE, Layout
from jaxticket.parallel.options import MeshOptions

_DATA, _FSDP = "data", "fsdp"
_Tree = TypeVar("_Tree")
# Leaves of fewer numbers stay whole: dividing them saves nothing.
_SMALL = 2**14


@dataclasses.dataclass(frozen=True)
class Sharded(Layout):
    """A single network over the axes `data` and `fsdp` of a mesh.

    Attributes:
        mesh: batches are divided over both axes, parameters and moments over `fsdp`.
        rules: see `MeshOptions`.
    """

    mesh: Mesh
    rules: tuple[tuple[str, int], ...] = ()

    axes = 0
    shards_batches = True

    @classmethod
    def of(cls, devices: Sequence[Any], fsdp: int = 1, rules: tuple[tuple[str, int], ...] = ()) -> "Sharded":
        """All of `devices`, in groups of `fsdp`, which must divide their number."""
        shape = (len(devices) // fsdp, fsdp)
        return cls(jax.make_mesh(shape, (_DATA, _FSDP), devices=devices, axis_types=(AxisType.Auto,) * 2), rules)

    def stack(self, trees: Sequence[_Tree]) -> _Tree:
        """The only tree, laid out by `sharding`; every process gives the same."""
        (tree,) = trees
        return self._by_leaf(put_array, tree)

    def unstack(self, tree: _Tree) -> list[_Tree]:
        """The tree itself, where it is."""
        return [tree]

    def fetch(self, tree: _Tree) -> list[_Tree]:
        """The whole arrays; what is divided among processes is gathered."""
        return [gather_arrays(tree)]

    def gather(self, tree: _Tree) -> list[_Tree]:
        """The same."""
        return self.fetch(tree)

    def share(self, tree: _Tree) -> _Tree:
        """A copy on every device."""
        return jax.tree.map(lambda leaf: put_array(leaf, self._over()), tree)

    def map(self, function: Callable[..., Any], in_axes: Any) -> Callable[..., Any]:
        """The function itself, whose results are laid out by `sharding`, as what it was called with."""
        del in_axes
        return lambda *arguments: self._by_leaf(jax.lax.with_sharding_constraint, function(*arguments))

    def shard_batch(self, batch: _Tree) -> _Tree:
        """Divides the examples among all devices; traced."""
        return jax.lax.with_sharding_constraint(batch, self._over((_DATA, _FSDP)))

    def gather_params(self, params: _Tree) -> _Tree:
        """Gathers divided parameters, or the compiler might as well exchange what they are multiplied with; traced."""
        return params if self.mesh.shape[_FSDP] == 1 else jax.lax.with_sharding_constraint(params, self._over())

    @property
    def batch_part(self) -> tuple[int, int]:
        """The number of this process, and how many there are."""
        return processes.index_and_count()

    def assemble(self, batch: Any) -> Any:
        """A batch on all devices, of the parts [B / processes, ...] that the processes have of it."""
        sharding = self._over((_DATA, _FSDP))
        return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), batch)

    def sharding(self, path: str, shape: tuple[int, ...]) -> NamedSharding:
        """The layout of a leaf: the longest axis that `fsdp` divides is divided, vectors and small leaves are whole.

        Args:
            path: ends with that of a parameter, as the paths of its mask and its moments do.
            shape: of the leaf.
        """
        count = self.mesh.shape[_FSDP]
        if count == 1:
            return self._over()
        axis = next((axis for rule, axis in self.rules if names_parameter(rule, path)), None)
        if axis is None and len(shape) > 1 and math.prod(shape) >= _SMALL:
            axis = max((size, axis) for axis, size in [(-1, 0), *enumerate(shape)] if size % count == 0)[1]
        if axis is None or axis < 0:
            return self._over()
        if axis >= len(shape) or shape[axis] % count:
            raise ConfigError(
                f"config.mesh.rules: axis {axis} of {path} {shape} cannot be divided by config.mesh.fsdp={count}; "
                "name another axis, or -1"
            )
        return self._over(*(None,) * axis, _FSDP)

    def _over(self, *axes: Any) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(*axes))

    def _by_leaf(self, function: Callable[[Any, NamedSharding], Any], tree: _Tree) -> _Tree:
        def on_one(path: Any, leaf: Any) -> Any:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            return function(leaf, self.sharding(name, np.shape(leaf)))

        return jax.tree_util.tree_map_with_path(on_one, tree)


def names_parameter(rule: str, path: str) -> bool:
    """Whether a rule is meant for a leaf, whose path ends with that of a parameter."""
    return bool(re.search(rf"(^|/)({rule})$", path))


def choose_layout(options: MeshOptions, batch_size: int) -> Layout:
    """Where a single network is trained: on one device, or on those that the run has.

    Raises:
        ConfigError: there are not as many devices, or they do not divide the batch.
    """
    devices, count = jax.devices(), jax.device_count()
    if devices[0].platform == "cpu" and not processes.is_multiprocess() and options == MeshOptions():
        return SINGLE
    groups = options.data or count // options.fsdp
    if not 0 < groups * options.fsdp <= count:
        raise ConfigError(
            f"config.mesh.fsdp={options.fsdp} with config.mesh.data={options.data}: must be at most the {count} "
            "devices there are, multiplied with each other"
        )
    if not options.data and not processes.is_multiprocess():
        groups = next((few for few in range(groups, 0, -1) if batch_size % (few * options.fsdp) == 0), groups)
    used = groups * options.fsdp
    if processes.is_multiprocess() and used < count:
        raise ConfigError(
            f"config.mesh.data={options.data} with config.mesh.fsdp={options.fsdp}: a run of several processes uses "
            f"all {count} devices; leave data at 0 and let fsdp divide them"
        )
    if used == 1:
        return SINGLE
    if batch_size % used:
        raise ConfigError(
            f"config.train.batch_size={batch_size}: must be a multiple of the {used} devices among which a batch is "
            f"divided, such as {max(batch_size // used, 1) * used}; or use fewer"
        )
    return Sharded.of(devices[:used], options.fsdp, options.rules)
