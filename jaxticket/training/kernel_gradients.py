"""Gradients of convolution kernels that are fast on a CPU.

Differentiated, a convolution gives for its kernel another convolution, whose window is as large as the image and whose
features are the images of the batch. XLA's code for that on a CPU takes up to seventeen times as long as the
convolution itself. The same sums are products of matrices: for every position in the kernel, the values that lie under
it times the gradients of the result. They are added up over a few images at a time, which fit into the processor's
cache.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Jaxpr, JaxprEqn

from jaxticket.tracing.jaxpr import bind, called, interpret, operand_shapes, result_shapes

# Of images and gradients, [batch, height, width, _], to a kernel [height, width, inputs, outputs].
_OF_KERNEL = lax.ConvDimensionNumbers((3, 0, 1, 2), (3, 0, 1, 2), (2, 3, 0, 1))
# With fewer positions in an image XLA's way is about as fast; with fewer multiplications it is fast enough, and
# compiles in half of the time.
_FEWEST_POSITIONS = 256
_FEWEST_MULTIPLICATIONS = 2**26
# Of the values under a kernel, in the images that are taken at once.
_BYTES_AT_ONCE = 2_500_000


def with_fast_kernel_gradients(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with other code for gradients of kernels, where it is compiled for a CPU; for use in `jit`.

    Those inside of `jit`, `remat` and other calls are found too. Gradients in loops and branches stay as they are, and
    those of grouped and of dilated convolutions.

    Args:
        function: positional arguments only, any pytrees.

    Returns:
        A function of the same arguments, whose results are the same up to rounding.
    """

    def rewritten(*args: Any) -> Any:
        traced, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
        results = interpret(traced, jax.tree.leaves(args), _rule, enter=_enter)
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return rewritten


def kernel_gradient(
    images: jax.Array,
    gradients: jax.Array,
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **how: Any,
) -> jax.Array:
    """The gradient of a convolution's kernel by products of matrices.

    Args:
        images: what was convolved, [batch, height, width, inputs].
        gradients: of the loss with respect to the result, [batch, height', width', outputs].
        window: height and width of the kernel.
        strides: of the convolution.
        padding: what is put around each image, before and after its rows and columns; taken away where negative.
        **how: `precision` and `preferred_element_type` of the products.

    Returns:
        [*window, inputs, outputs].
    """
    (batch, rows, columns, outputs), inputs = gradients.shape, images.shape[-1]
    images = lax.pad(images, jnp.zeros((), images.dtype), [(0, 0, 0), *((*sides, 0) for sides in padding), (0, 0, 0)])
    bytes_of_one = math.prod(window) * rows * columns * inputs * images.dtype.itemsize
    together = max(n for n in range(1, batch + 1) if not batch % n and (n == 1 or n * bytes_of_one <= _BYTES_AT_ONCE))

    def under(images: jax.Array, row: int, column: int) -> jax.Array:
        """What lies under one position of the kernel, [positions, inputs]."""
        ends = row + (rows - 1) * strides[0] + 1, column + (columns - 1) * strides[1] + 1
        return lax.slice(images, (0, row, column, 0), (together, *ends, inputs), (1, *strides, 1)).reshape(-1, inputs)

    def product(images: jax.Array, gradients: jax.Array) -> jax.Array:
        values = jnp.stack([under(images, row, column) for row in range(window[0]) for column in range(window[1])])
        return lax.dot_general(values, gradients.reshape(-1, outputs), (((1,), (0,)), ((), ())), **how)

    def add(total: jax.Array, part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        return total + product(*part), None

    parts = images.reshape(-1, together, *images.shape[1:]), gradients.reshape(-1, together, *gradients.shape[1:])
    zeros = jnp.zeros_like(jax.eval_shape(product, parts[0][0], parts[1][0]))
    return lax.scan(add, zeros, parts)[0].reshape(*window, inputs, outputs)


def _rule(equation: JaxprEqn, operands: Sequence[Any]) -> list[Any]:
    return [_faster(equation, *operands)] if _is_slow(equation) else bind(equation, operands)


def _enter(equation: JaxprEqn, operands: Sequence[Any]) -> Sequence[Any] | None:
    """The operands of a call in which there is something to rewrite; others stay calls."""
    inner = called(equation)
    if inner is None or not _has_slow(inner.jaxpr):
        return None
    # What `remat` computes again must not be merged with what was computed before: JAX puts the same barrier there.
    again = equation.params.get("differentiated") and np.any(equation.params.get("prevent_cse"))
    return lax.optimization_barrier(tuple(operands)) if again else operands


def _has_slow(jaxpr: Jaxpr) -> bool:
    inner = [program.jaxpr for program in map(called, jaxpr.eqns) if program is not None]
    return any(map(_is_slow, jaxpr.eqns)) or any(map(_has_slow, inner))


def _is_slow(equation: JaxprEqn) -> bool:
    if equation.primitive.name != "conv_general_dilated":
        return False
    how, gradients = equation.params, operand_shapes(equation)[1]
    positions, kernel = math.prod(gradients[1:3]), result_shapes(equation)[0]
    return (
        how["dimension_numbers"] == _OF_KERNEL
        and how["feature_group_count"] == how["batch_group_count"] == 1
        and tuple(how["window_strides"]) == tuple(how["lhs_dilation"]) == (1, 1)
        and positions >= _FEWEST_POSITIONS
        and gradients[0] * positions * math.prod(kernel) >= _FEWEST_MULTIPLICATIONS
    )


def _faster(equation: JaxprEqn, images: jax.Array, gradients: jax.Array) -> jax.Array:
    """The result of an equation, by products where it is lowered for a CPU."""
    how, window = equation.params, result_shapes(equation)[0][:2]
    types = {name: how[name] for name in ("precision", "preferred_element_type")}

    def by_products(images: jax.Array, gradients: jax.Array) -> jax.Array:
        return kernel_gradient(images, gradients, window, how["rhs_dilation"], how["padding"], **types)

    def as_it_is(images: jax.Array, gradients: jax.Array) -> jax.Array:
        return equation.primitive.bind(images, gradients, **how)

    return lax.platform_dependent(images, gradients, cpu=by_products, default=as_it_is)
