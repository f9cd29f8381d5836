"""Dense and convolutional layers of Flax as functions of their shape, with a dense or a sparse kernel."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxticket.core.errors import MaskError
from jaxticket.kernels.conv import block_conv, sides_of
from jaxticket.kernels.formats.conv_geometry import ConvGeometry, Pair
from jaxticket.kernels.formats.sparse_weight import SparseWeight
from jaxticket.kernels.layer_shape import LayerShape
from jaxticket.kernels.matmul import block_matmul


def shape_of_layer(module: Any, x: jax.Array, kernel: jax.Array | SparseWeight) -> LayerShape | str:
    """The shape of a call of a layer, or why it has to stay dense.

    Args:
        module: an `nn.Dense`, `nn.Conv`, `nnx.Linear` or `nnx.Conv`; Linen and NNX name their fields alike.
        x: its input, perhaps abstract.
        kernel: its kernel, perhaps abstract.
    """
    for name in ("precision", "dot_general", "dot_general_cls", "conv_general_dilated", "preferred_element_type"):
        own = getattr(module, name, None)
        if own is not None and own not in (lax.dot_general, lax.conv_general_dilated):
            return f"it has a {name} of its own"
    if not module.promote_dtype.__module__.startswith("flax."):
        return "it has a promote_dtype of its own"
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.dtype(module.dtype or jnp.promote_types(x.dtype, kernel.dtype))
    if not jnp.issubdtype(dtype, jnp.floating):
        return f"it computes in {dtype}"
    if not hasattr(module, "kernel_size"):
        return LayerShape(tuple(x.shape), tuple(kernel.shape), dtype.name)
    if len(kernel.shape) != 4 or len(x.shape) != 4:
        return f"it is no convolution of images: x {list(x.shape)}, kernel {list(kernel.shape)}"
    if module.feature_group_count != 1 or kernel.shape[2] != x.shape[3]:
        return "its channels are in groups"
    if module.mask is not None or _pair(module.input_dilation) != (1, 1):
        return "it has a mask or an input dilation"
    if isinstance(module.padding, str) and module.padding not in ("SAME", "VALID"):
        return f"its padding is {module.padding}"
    strides, dilation = _pair(module.strides), _pair(module.kernel_dilation)
    rows, columns = sides_of(module.padding, x.shape[1:3], kernel.shape[:2], ConvGeometry(strides, dilation))
    return LayerShape(tuple(x.shape), tuple(kernel.shape), dtype.name, ConvGeometry(strides, dilation, (rows, columns)))


def _pair(value: Any) -> Pair:
    value = 1 if value is None else value
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def run_module(
    module: Any, x: jax.Array, kernel: SparseWeight, bias: jax.Array | None, backend: str | None
) -> jax.Array:
    """What a dense or convolutional layer returns, computed with a sparse kernel.

    Raises:
        MaskError: the input is of another kind than the one for which the layer was converted.
    """
    layer = shape_of_layer(module, x, kernel)
    if isinstance(layer, str):
        raise MaskError(f"a layer with a sparse kernel cannot take this input: {layer}; give one like the sample")
    return run_sparse(layer, x, kernel, bias, backend)


def run_sparse(
    layer: LayerShape, x: jax.Array, weight: SparseWeight, bias: jax.Array | None = None, backend: str | None = None
) -> jax.Array:
    """The layer with a sparse weight, on an input of any float dtype."""
    x, weight = x.astype(layer.dtype), jax.tree.map(lambda values: values.astype(layer.dtype), weight)
    if layer.geometry is None:
        return block_matmul(x, weight, bias=bias, backend=backend)
    return block_conv(x, weight, bias=bias, backend=backend, **dataclasses.asdict(layer.geometry))


def run_dense(layer: LayerShape, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The layer with a dense kernel, without bias."""
    if layer.geometry is None:
        return jnp.dot(x, kernel)
    return lax.conv_general_dilated(
        x,
        kernel,
        layer.geometry.strides,
        layer.geometry.padding,
        rhs_dilation=layer.geometry.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
