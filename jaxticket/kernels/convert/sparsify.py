"""A masked model that runs sparse where that is faster, and computes the same."""

import dataclasses
import functools
import sys
from typing import NoReturn

import jax
import jax.numpy as jnp

from jaxticket.core.checks import check_number
from jaxticket.core.errors import ConfigError, MaskError
from jaxticket.core.masks import apply_mask, is_traced
from jaxticket.core.types import Inputs, Mask, PyTree
from jaxticket.kernels.backends.dispatch import available_backend
from jaxticket.kernels.convert.choose_format import choose_formats
from jaxticket.kernels.convert.cut_channels import cut_channels
from jaxticket.kernels.convert.device_rates import Timings, known_timings
from jaxticket.kernels.convert.fold import fold_batch_norms
from jaxticket.kernels.convert.linen import linen_adapter
from jaxticket.kernels.convert.model import Pass, Runnable, SparseModel, insert_weights
from jaxticket.kernels.convert.nnx_layers import nnx_adapter
from jaxticket.kernels.convert.reorder import reorder_channels
from jaxticket.kernels.convert.report import Sparsified
from jaxticket.kernels.convert.time_model import time_model
from jaxticket.kernels.convert.verify import verify
from jaxticket.kernels.formats.block_sparse import check_block
from jaxticket.structure.shrink.slicing import full_paths


def sparsify(
    model: object,
    variables: PyTree,
    mask: Mask,
    sample: Inputs,
    *,
    block: tuple[int, int] = (16, 128),
    min_speedup: float = 1.05,
    shrink: bool = True,
    reorder: bool = False,
    fold_norms: bool = False,
    measure: bool = False,
    check_speed: bool = True,
    timings: Timings | None = None,
    backend: str | None = None,
) -> Sparsified:
    """Makes a masked Flax model run sparse where that is predicted to be faster; the rest of it stays dense.

    Channels without any weight are cut out first. Then every masked kernel of a dense or convolutional layer takes the
    fastest of its sparse forms, `BlockSparse` and `DenseGroups`, if what is known of this device says that it is at
    least `min_speedup` times as fast as the dense layer on an input like `sample`. At last the outputs on `sample` are
    compared with those of the masked dense model, and so are the times they take: if the model is slower with its
    sparse layers they stay dense, and if it is slower without its dead channels, they stay too. Single scattered
    weights make nothing faster: prune blocks (`granularity=jt.block(16, 128)`) or channels, or regroup.

    Args:
        model: a Linen or NNX module that is called with the input alone, in the way it is used for inference.
        variables: Linen's variables (`{"params": ..., "batch_stats": ...}`); for NNX an `nnx.State` of the model, or of
            a part of it such as its parameters, or None for those that it has. Concrete arrays; they are not changed.
        mask: path -> bool array, True = kept; the paths may lack the leading `params/`.
        sample: an input of the size that is to be fast.
        block: (inputs, outputs) of the blocks; best those of the pruner. Those of 16x128 are tried as well.
        min_speedup: by how much a sparse layer must be faster; 0 converts all that can be, and leaves it so.
        shrink: whether channels are cut out.
        reorder: whether channels are put in an order in which scattered ones fill fewer blocks. Of use where whole
            channels read the same few others without being next to each other; takes seconds for a large network.
        fold_norms: whether a batch normalisation that alone reads the output of a sparse layer becomes part of its
            weights and bias. For inference: there is nothing left of it to train.
        measure: also measures every layer that seems worth it, and keeps it dense if it is not faster by `min_speedup`
            in fact. Takes a second or two for each.
        check_speed: whether the whole model is measured at the end, in a few calls; without it predictions decide.
        timings: what layers cost on this device, from `jaxticket.kernels.tune`; None takes `known_timings(backend)`.
        backend: by which sparse layers run, as for `block_matmul`; None is the best one.

    Returns:
        The sparse model.

    Raises:
        MaskError: a model of another kind, a mask that does not fit, traced arguments, a `min_speedup` below zero, or
            outputs that differ.
        ConfigError: a backend that is not available, or timings of another one.

    Example:
        >>> from flax import nnx
        >>> model, x = nnx.Linear(32, 32, rngs=nnx.Rngs(0)), jnp.ones((4, 32))
        >>> mask = {"kernel": jnp.zeros((32, 32), bool).at[:16, :16].set(True)}  # one block of four
        >>> sparse = jt.sparsify(model, None, mask, x, block=(16, 16), min_speedup=0)
        >>> (layer,) = sparse.report.layers
        >>> layer.form, layer.bytes, layer.density
        ('blocks 16x16', (4096, 1024), 0.25)
    """
    if is_traced((variables, mask, sample)):
        raise MaskError("the variables, the mask or the sample are traced; call sparsify outside of jit")
    check_number("min_speedup", min_speedup, 0, sys.float_info.max)
    check_block(block)
    timings = _checked_timings(timings, backend)
    passes: list[Pass] = [
        *([cut_channels] if shrink else []),
        *([functools.partial(reorder_channels, block=block)] if reorder else []),
        functools.partial(
            choose_formats, block=block, min_speedup=min_speedup, timings=timings, measure=measure, backend=backend
        ),
        *([fold_batch_norms] if fold_norms else []),
        insert_weights,
        verify,
        *(
            [functools.partial(time_model, undo=min_speedup > 0)]
            if (check_speed and min_speedup > 0) or measure
            else []
        ),
    ]
    adapter, variables = (
        linen_adapter(model, variables, backend) or nnx_adapter(model, variables, backend) or _refuse(model)
    )
    mask = full_paths(variables, mask)
    masked = apply_mask(variables, mask)
    converted = SparseModel(adapter, masked, mask, sample, masked, Runnable(masked, adapter.apply))
    for step in passes:
        converted = step(converted)
    sizes = _bytes(variables), _bytes(converted.result.variables)
    report = dataclasses.replace(converted.report, bytes=sizes)
    sparse = {layer.path for layer in report.layers if layer.form != "dense"}  # not those that became dense again
    folded = {path: fold.norm for path, fold in converted.folds.items() if path in sparse}
    return Sparsified(*converted.result, report, folded, backend)


def _checked_timings(timings: Timings | None, backend: str | None) -> Timings:
    if backend is not None:
        available_backend(backend)
    if timings is not None and timings.backend != backend:
        raise ConfigError(
            f"timings of backend={timings.backend!r}, but backend={backend!r}; give those of tune(backend={backend!r})"
        )
    return timings or known_timings(backend)


def _refuse(model: object) -> NoReturn:
    raise MaskError(
        f"sparsify takes a Flax Linen or NNX module, got a {type(model).__name__}; "
        "for a function of your own use BlockSparse and block_matmul in it"
    )


def _bytes(tree: PyTree) -> int:
    return sum(
        leaf.size * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
        if hasattr(leaf, "size") and not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)
    )
