"""What a network costs without some of its channels."""

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core import paths
from jaxticket.structure.channel_groups.channels import ChannelGroup
from jaxticket.structure.macs import macs
from jaxticket.structure.shrink.channel_marks import ChannelMarks
from jaxticket.structure.shrink.contraction_sizes import contraction_macs
from jaxticket.structure.shrink.partial import unknown
from jaxticket.structure.shrink.program import program_of
from jaxticket.structure.shrink.removal import check_removal
from jaxticket.structure.shrink.report import parameter_count
from jaxticket.structure.shrink.resized import resized
from jaxticket.structure.shrink.slicing import channel_offsets, cut_leaves, mark_leaves

_REPEATS = 7


class ChannelCosts:
    """What a network costs without the first channels in an order, counted as `shrink` would leave it."""

    def __init__(
        self,
        fn: Callable[..., Any],
        params: Any,
        inputs: Sequence[Any],
        groups: Sequence[ChannelGroup],
        order: Sequence[tuple[int, int]],
    ) -> None:
        self._fn, self._params, self._inputs, self._groups, self.order = fn, params, inputs, groups, order
        self._leaves = paths.leaves(params)

    def gone(self, number: int) -> list[list[int]]:
        """The first channels in the order, by group."""
        found: list[list[int]] = [[] for _ in self._groups]
        for group, channel in self.order[:number]:
            found[group].append(channel)
        return [sorted(channels) for channels in found]

    def parameters(self, number: int) -> int:
        """Trained values without the first `number` channels."""
        shapes = {path: list(np.shape(leaf)) for path, leaf in self._leaves.items()}
        for group, channels in zip(self._groups, self.gone(number), strict=True):
            for part in group.slices:
                shapes[part.path][part.axis] -= len(channels) * part.index.shape[1]
        small = {path: jax.ShapeDtypeStruct(shapes[path], leaf.dtype) for path, leaf in self._leaves.items()}
        return parameter_count(paths.nest(small))

    def macs(self, number: int) -> int:
        """Multiply-accumulates without the first `number` channels."""
        contractions, marks, starts, elsewhere = self._contractions
        gone = [start + channel for start, some in zip(starts, self.gone(number), strict=True) for channel in some]
        return elsewhere + contraction_macs(contractions, marks, gone)

    @functools.cached_property
    def _contractions(self) -> tuple[Any, ChannelMarks, list[int], int]:
        marks, starts = ChannelMarks(), channel_offsets(self._groups)
        every = [range(group.size) for group in self._groups]
        marked = mark_leaves(self._leaves, self._groups, every, starts, marks)
        partial = {path: unknown(np.shape(leaf), leaf.dtype, marked.get(path)) for path, leaf in self._leaves.items()}
        found = check_removal(program_of(self._fn, self._params, self._inputs), partial, marks).contractions
        total = macs(self._fn, self._params, *self._inputs)
        return found, marks, starts, total - contraction_macs(found, marks, ())

    def seconds(self, number: int) -> float:
        """Median time of a call without the first `number` channels."""
        leaves = {**self._leaves, **cut_leaves(self._leaves, self._groups, self.gone(number))}
        params, call = paths.replace(self._params, leaves), jax.jit(resized(self._fn))
        inputs = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), self._inputs)
        jax.block_until_ready(call(params, *inputs))
        times = []
        for _ in range(_REPEATS):
            start = time.perf_counter()
            jax.block_until_ready(call(params, *inputs))
            times.append(time.perf_counter() - start)
        return statistics.median(times)
