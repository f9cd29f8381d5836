"""A model on its way to running sparse: what the passes of `sparsify` take and return."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from jaxticket.core.types import Inputs, Mask, Path, PyTree
from jaxticket.kernels.convert.report import SparsifyReport
from jaxticket.kernels.formats.sparse_weight import SparseWeight
from jaxticket.kernels.layer_shape import LayerShape

Apply = Callable[..., Any]
LayerShapes = dict[Path, list[LayerShape | str]]
"""Path of a kernel -> the shapes of its calls, in order, with a reason in place of one that has to stay dense."""
ArrayFn = Callable[[jax.Array], jax.Array]
OnLayer = Callable[[Path, jax.Array], jax.Array]
"""(path of the kernel, what the layer returned) -> what it returns instead."""
OnNorm = Callable[[Path, Any, jax.Array, ArrayFn], jax.Array]
"""(path of the batch normalisation, the module, its input, the module as a function) -> what it returns."""
Watched = Callable[[OnLayer, OnNorm], Apply]
"""Gives a function (variables, x) -> outputs that runs the model with these two in between."""


class Fold(NamedTuple):
    """A batch normalisation that is folded into a layer.

    Attributes:
        norm: its path; its input becomes its output.
        bias: of the layer from then on, [outputs].
    """

    norm: Path
    bias: jax.Array


class Runnable(NamedTuple):
    """Variables, and the function (variables, x) -> outputs that takes them."""

    variables: PyTree
    apply: Apply


class ModelAdapter(NamedTuple):
    """What Linen and NNX models have in common here.

    Attributes:
        apply: (variables, x) -> outputs.
        layer_shapes: (variables, x) -> the calls of each layer.
        sparse: (variables, weights, what is folded into them) -> the model with them.
        watched: runs the model with something in between at layers and normalisations.
    """

    apply: Apply
    layer_shapes: Callable[[PyTree, Inputs], LayerShapes]
    sparse: Callable[[PyTree, Mapping[Path, SparseWeight], Mapping[Path, Fold]], Runnable]
    watched: Watched


@dataclasses.dataclass(frozen=True, eq=False)
class SparseModel:
    """A masked model, and how far its conversion is.

    Attributes:
        adapter: of Linen or NNX.
        masked: the variables with zeros where the mask removes weights.
        mask: path -> bool array, True = kept.
        sample: the input.
        variables: those of `masked`, perhaps without dead channels, or with channels in another order.
        result: what is to be returned.
        weights: path of a kernel -> the sparse weight that takes its place.
        folds: path of a kernel -> what is folded into it.
        report: so far.
    """

    adapter: ModelAdapter
    masked: PyTree
    mask: Mask
    sample: Inputs
    variables: PyTree
    result: Runnable
    weights: Mapping[Path, SparseWeight] = dataclasses.field(default_factory=dict)
    folds: Mapping[Path, Fold] = dataclasses.field(default_factory=dict)
    report: SparsifyReport = dataclasses.field(default_factory=SparsifyReport)

    @functools.cached_property
    def layer_shapes(self) -> LayerShapes:
        """What each layer is called with on the sample."""
        return self.adapter.layer_shapes(self.variables, self.sample)

    def dense(self, variables: PyTree) -> Runnable:
        """The model without sparse layers."""
        return self.adapter.sparse(variables, {}, {})


Pass = Callable[[SparseModel], SparseModel]


def insert_weights(model: SparseModel) -> SparseModel:
    """The pass that puts the chosen sparse weights in place of the kernels."""
    return dataclasses.replace(model, result=model.adapter.sparse(model.variables, model.weights, model.folds))
