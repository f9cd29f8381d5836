"""Channel selection: layers read only the channels that are not zero, where the channels themselves must stay.

In a network with the activation first, a normalisation on the residual stream can be zero in a channel that other
layers still need. Only the layer behind that normalisation can do without it: it reads a selection of its input, by a
fixed list of indices (Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", ICCV 2017).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxticket.core import paths
from jaxticket.core.types import Inputs, Mask, Params, Path
from jaxticket.structure.dead_inputs import dead_inputs
from jaxticket.structure.macs import macs
from jaxticket.structure.shrink.report import parameter_count
from jaxticket.structure.shrink.shrink import shrink
from jaxticket.tracing.linen import ModuleCall, listen

_PARAMS = "params/"


@dataclasses.dataclass(frozen=True, eq=False)
class Gathered:
    """A network without its dead channels, some of them left out only where they are read.

    Attributes:
        params: the smaller parameters, a tree of the same structure.
        apply: (params, *inputs) -> what `fn` returns; keyword arguments are passed on.
        masked: the full-size parameters that compute the same.
        selected: path of a kernel -> which channels of the layer's input it reads, where those are not all.
        parameters: how many there are before and after; running statistics do not count.
        macs: multiply-accumulates for the given inputs, before and after.
    """

    params: Params
    apply: Callable[..., Any]
    masked: Params
    selected: Mapping[Path, np.ndarray]
    parameters: tuple[int, int]
    macs: tuple[int, int]


def gather_channels(fn: Callable[..., Any], params: Params, mask: Mask, *inputs: Inputs) -> Gathered:
    """Cuts channels out of a Linen network by a mask of normalisation scales, with selections where it takes those.

    What `jt.shrink` can remove is removed. What then still enters a convolution or a dense layer as an exact zero is
    not read: the layer's kernel loses those inputs, and the rest is taken from its input by index. A layer reads at
    least one channel.

    Args:
        fn: a function of (variables, *inputs) that calls `Module.apply`.
        params: the whole tree of variables, concrete.
        mask: as for `jt.shrink`; a masked scale masks the bias of the same normalisation too.
        *inputs: pytrees of arrays or `jax.ShapeDtypeStruct`s; only their shapes count.

    Raises:
        MaskError: as `jt.shrink`.
    """
    shrunk = shrink(fn, params, mask, *inputs)
    selected = {
        path: np.flatnonzero(~dead) if not dead.all() else np.zeros(1, int)
        for path, dead in dead_inputs(shrunk.apply, shrunk.params, *inputs).items()
        if dead.any()
    }
    leaves = paths.leaves(shrunk.params)
    small = paths.replace(shrunk.params, {path: jnp.take(leaves[path], i, axis=-2) for path, i in selected.items()})
    apply = _selecting(shrunk.apply, selected)
    after = macs(apply, small, *inputs)
    return Gathered(
        small,
        apply,
        shrunk.masked,
        selected,
        (shrunk.report.parameters[0], parameter_count(small)),
        (shrunk.report.macs[0], after),
    )


def _selecting(apply: Callable[..., Any], selected: Mapping[Path, np.ndarray]) -> Callable[..., Any]:
    """`apply` with the inputs of some layers taken by index."""
    by_module = {path.removeprefix(_PARAMS): index for path, index in selected.items()}

    def select(call: ModuleCall) -> Any:
        index = by_module.get(call.path("kernel")) if call.is_layer else None
        return call.proceed() if index is None else call.run(jnp.take(call.inputs, index, axis=-1))

    @functools.wraps(apply)
    def run(*args: Any, **kwargs: Any) -> Any:
        with listen(select):
            return apply(*args, **kwargs)

    return run
