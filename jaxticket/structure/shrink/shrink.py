"""Networks that get smaller: masked channels are cut out of the arrays, and what the network computes stays."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core import paths
from jaxticket.core.checks import check_function
from jaxticket.core.errors import MaskError
from jaxticket.core.masks import check_fit, is_traced
from jaxticket.core.types import Inputs, Mask, Params, Path
from jaxticket.structure.channel_groups.channels import ChannelGroup
from jaxticket.structure.channel_groups.trace import channel_groups
from jaxticket.structure.macs import macs
from jaxticket.structure.shrink.channel_marks import ChannelMarks
from jaxticket.structure.shrink.masked_channels import (
    candidates_of,
    leaf_name,
    masked_channels,
    with_biases,
    with_dead_norms,
)
from jaxticket.structure.shrink.partial import Partial, known, unknown
from jaxticket.structure.shrink.program import program_of
from jaxticket.structure.shrink.removal import Removal, check_removal
from jaxticket.structure.shrink.report import GroupReport, ShrinkReport, parameter_count
from jaxticket.structure.shrink.resized import resized
from jaxticket.structure.shrink.slicing import channel_offsets, check_concrete, cut_leaves, full_paths, mark_leaves


@dataclasses.dataclass(frozen=True, eq=False)
class Shrunk:
    """A network with fewer channels.

    Attributes:
        params: the smaller parameters, a tree of the same structure.
        apply: (params, *inputs) -> what `fn` returns, for parameters of the smaller shapes; keyword arguments are
            passed on. A pure function, for `jit` and `grad`.
        report: what is removed, what stays and why, what it saves; `print` it.
        masked: the full-size parameters that compute the same: those given, with zeros where the mask has none, and
            where a channel's scale is masked the bias too.

    Example:
        >>> fn, params = lambda params, x: x @ params["a"] @ params["b"], {"a": jnp.ones((3, 4)), "b": jnp.ones((4, 2))}
        >>> shrunk = jt.shrink(fn, params, {"a": jnp.ones((3, 4), bool).at[:, 2].set(False)}, jnp.ones((1, 3)))
        >>> print(shrunk.report)
        20 -> 15 (75.0%) parameters, 20 -> 15 (75.0%) multiply-accumulates
          a: 4 -> 3 channels
    """

    params: Params
    apply: Callable[..., Any]
    report: ShrinkReport
    masked: Params


def shrink(fn: Callable[..., Any], params: Params, mask: Mask, *inputs: Inputs, mask_bn: bool = False) -> Shrunk:
    """Cuts masked channels out of a network, which computes the same afterwards with less work.

    A channel is removed if every kernel slice that produces it is masked (or the scales that multiply it are) and if
    what it then gives to the layers that read it is exactly zero, or a constant that can be added to a bias or
    subtracted from a running mean behind the reading layer. Values are followed through the traced function element by
    element, so that a constant that padding makes different at the borders of an image is seen to be none. Every other
    channel stays, and the report says why. Of a group whose channels could all be removed, the first stays.

    Args:
        fn: a function that JAX can trace: (params, *inputs) -> any pytree. It uses normalisations as they are used
            for inference; `Shrunk.apply` passes keyword arguments on, so that `lambda variables, x, **how:
            model.apply(variables, x, **how)` serves for training too.
        params: pytree of concrete arrays; for a network with running statistics the whole tree of variables.
        mask: path -> bool array, True = kept, of any leaves: kernels, scales, biases. Of a tree with a collection
            `params` the paths may lack the leading `params/`. A mask of a normalisation's `scale` masks the
            `bias` of the same normalisation too.
        *inputs: pytrees of arrays or `jax.ShapeDtypeStruct`s; only their shapes count, a batch of 1 is enough.
        mask_bn: first sets scale and bias to zero in channels whose kernel slices are all masked, so that no constant
            is in their way. The masked network to compare with is then `Shrunk.masked`.

    Returns:
        The smaller network, equal to `fn` with `Shrunk.masked` up to rounding.

    Raises:
        MaskError: a mask that does not fit `params`, traced or abstract arguments, or an `fn` that has sizes as numbers
            and so does not run with fewer channels.

    Example:
        >>> def net(params, x):
        ...     return jax.nn.relu(x @ params["hidden"]["kernel"]) @ params["head"]["kernel"]
        >>> params = {"hidden": {"kernel": jnp.ones((3, 4))}, "head": {"kernel": jnp.ones((4, 2))}}
        >>> mask = {"hidden/kernel": jnp.ones((3, 4), bool).at[:, 1].set(False)}
        >>> shrunk = jt.shrink(net, params, mask, jnp.ones((1, 3)))
        >>> shrunk.params["hidden"]["kernel"].shape, shrunk.params["head"]["kernel"].shape
        ((3, 3), (3, 2))
        >>> print(shrunk.apply(shrunk.params, jnp.ones((1, 3))))
        [[9. 9.]]
    """
    check_function("fn", fn)
    if is_traced((params, mask)):
        raise MaskError("params or mask are traced, so no array can become smaller; call shrink outside of jit")
    check_concrete(params)
    mask = full_paths(params, mask)
    check_fit(params, mask)
    kept = with_biases(params, {path: np.asarray(array) for path, array in mask.items()})
    groups = channel_groups(fn, params, *inputs)
    candidates = [candidates_of(group, kept) for group in groups.prunable]
    if mask_bn:
        kept = with_dead_norms(params, kept, groups.prunable)
    given = paths.leaves(params)
    masked = paths.replace(
        params,
        {
            path: jnp.asarray(np.where(array, given[path], np.zeros((), given[path].dtype)))
            for path, array in kept.items()
        },
    )
    leaves = paths.leaves(masked)

    marks = ChannelMarks()
    starts = channel_offsets(groups.prunable)
    marked = mark_leaves(leaves, groups.prunable, candidates, starts, marks)
    partial = {path: _partial(path, leaf, kept, groups.prunable, marked.get(path)) for path, leaf in leaves.items()}
    followed = check_removal(program_of(fn, masked, inputs), partial, marks)
    gone = [
        _spared([channel for channel in channels if start + channel not in followed.blocked], group.size)
        for group, channels, start in zip(groups.prunable, candidates, starts, strict=True)
    ]
    new = {**leaves, **_folded(leaves, gone, starts, followed)}
    new = {**new, **cut_leaves(new, groups.prunable, gone)}
    small = paths.replace(masked, new)
    apply = resized(fn)
    report = ShrinkReport(
        groups=tuple(
            _report(group, channels, gone_of, start, followed, kept)
            for group, channels, gone_of, start in zip(groups.prunable, candidates, gone, starts, strict=True)
        ),
        fixed=tuple(group for group in groups.groups if group.reason),
        shapes={
            path: (tuple(np.shape(leaf)), tuple(np.shape(new[path])))
            for path, leaf in leaves.items()
            if np.shape(leaf) != np.shape(new[path])
        },
        parameters=(parameter_count(params), parameter_count(small)),
        macs=(macs(fn, params, *inputs), _macs_after(apply, small, inputs)),
    )
    return Shrunk(small, apply, report, masked)


def _partial(path: Path, leaf: Any, mask: Mask, groups: Sequence[ChannelGroup], marked: np.ndarray | None) -> Partial:
    """What is known of a leaf: all of it, but for zeros in kernels and scales that no mask holds at zero."""
    if not isinstance(leaf, np.ndarray | jax.Array) or jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
        return unknown(np.shape(leaf), jnp.result_type(leaf) if np.isscalar(leaf) else leaf.dtype, marked)
    array = np.asarray(leaf)
    produces = any(part.path == path and part.role == "output" for group in groups for part in group.slices)
    if not produces and leaf_name(path) != "scale":
        return known(array, marked)
    by_chance = (array == 0) & mask.get(path, np.True_)
    return Partial(array, by_chance, marked)


def _spared(channels: list[int], size: int) -> list[int]:
    return channels[1:] if len(channels) == size else channels


def _folded(
    leaves: Mapping[Path, Any], gone: Sequence[Sequence[int]], starts: Sequence[int], followed: Removal
) -> dict[Path, jax.Array]:
    """The leaves that take the constants of the channels that go."""
    going = {start + channel for channels, start in zip(gone, starts, strict=True) for channel in channels}
    found: dict[Path, Any] = {}
    for channels, path, constant in followed.folds:
        if not going.isdisjoint(channels):
            found[path] = found.get(path, np.asarray(leaves[path])) + constant
    return {path: jnp.asarray(array, leaves[path].dtype) for path, array in found.items()}


def _macs_after(apply: Callable[..., Any], small: Any, inputs: Sequence[Any]) -> int:
    try:
        return macs(apply, small, *inputs)
    except Exception as error:  # whatever the function raises about shapes
        reason = str(error).strip().partition("\n")[0]
        raise MaskError(
            f"the function does not run with fewer channels ({type(error).__name__}: {reason}); "
            "compute sizes from the arrays in it, such as x.shape[-1] in a reshape"
        ) from error


def _report(
    group: ChannelGroup, candidates: Sequence[int], gone: Sequence[int], start: int, followed: Removal, mask: Mask
) -> GroupReport:
    produced = [part for part in group.slices if part.role == "output"]
    masked = np.stack([masked_channels(part, mask) for part in produced])
    kept: dict[str, int] = {}
    for channel in sorted(set(range(group.size)) - set(gone)):
        if channel in candidates:
            reason = followed.blocked.get(start + channel, "one channel has to stay")
        elif masked[:, channel].any():
            other = next(part.path for part, row in zip(produced, masked, strict=True) if not row[channel])
            reason = f"{other} makes it too and is not masked"
        else:
            continue
        kept[reason] = kept.get(reason, 0) + 1
    return GroupReport(produced[0].path, group.size, group.size - len(gone), kept)
