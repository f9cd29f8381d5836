"""Matrix products and convolutions brought to one form, in NumPy: products of rows, batch by batch."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Change = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class RowProducts:
    """A contraction as `out[b, m, n] = sum over k of x[b, m, k] * y[b, n, k]`.

    Attributes:
        left: brings the first operand to [B, M, K]; what is not there (padding, gaps) is 0.
        right: brings the second operand to [B, N, K].
        result: brings [B, M, N] to the shape of the result.
    """

    left: Change
    right: Change
    result: Change


def row_products(name: str, params: dict[str, Any], x: Sequence[int], y: Sequence[int]) -> RowProducts | None:
    """The form of a contraction; None for other operations, and for convolutions that group the batch.

    Args:
        name: of the primitive.
        params: of the primitive.
        x: shape of the first operand.
        y: shape of the second operand.
    """
    if name == "dot_general":
        return _dot(params["dimension_numbers"], x, y)
    if name == "conv_general_dilated" and params["batch_group_count"] == 1:
        return _convolution(params, x, y)
    return None


def _dot(dimension_numbers: Any, x: Sequence[int], y: Sequence[int]) -> RowProducts:
    (x_summed, y_summed), (x_batch, y_batch) = dimension_numbers

    def rows(shape: Sequence[int], batch: Sequence[int], summed: Sequence[int]) -> tuple[Change, list[int]]:
        free = [axis for axis in range(len(shape)) if axis not in (*batch, *summed)]
        size = [math.prod(shape[axis] for axis in axes) for axes in (batch, free, summed)]
        return (lambda array: array.transpose([*batch, *free, *summed]).reshape(size)), [shape[axis] for axis in free]

    left, rows_x = rows(x, x_batch, x_summed)
    right, rows_y = rows(y, y_batch, y_summed)
    shape = [*(x[axis] for axis in x_batch), *rows_x, *rows_y]
    return RowProducts(left, right, lambda array: array.reshape(shape))


def _convolution(params: dict[str, Any], x: Sequence[int], y: Sequence[int]) -> RowProducts:
    numbers, groups = params["dimension_numbers"], params["feature_group_count"]
    lhs, rhs, out = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    sides = [y[axis] for axis in rhs[2:]]
    window = [1, 1, *sides]
    none = [(0, 0), (0, 0)]
    space = len(sides)

    def left(array: np.ndarray) -> np.ndarray:
        patches = windows(
            array.transpose(lhs),
            window,
            [1, 1, *params["window_strides"]],
            [*none, *params["padding"]],
            [1, 1, *(params["lhs_dilation"] or [1] * space)],
            [1, 1, *(params["rhs_dilation"] or [1] * space)],
            0,
        )  # [batch, channels, *places, 1, 1, *window]
        batch, channels, *places = patches.shape[: 2 + space]
        patches = patches.reshape(batch, groups, channels // groups, *places, *sides)
        order = [1, 0, *range(3, 3 + space), 2, *range(3 + space, 3 + 2 * space)]
        return patches.transpose(order).reshape(groups, batch * math.prod(places), -1)

    def right(array: np.ndarray) -> np.ndarray:
        return array.transpose(rhs).reshape(groups, y[rhs[0]] // groups, -1)

    def result(array: np.ndarray) -> np.ndarray:
        batch = x[lhs[0]]
        array = array.transpose(1, 0, 2).reshape(batch, -1, y[rhs[0]])
        places = _places([x[axis] for axis in lhs[2:]], params, sides)
        array = np.moveaxis(array.reshape(batch, *places, y[rhs[0]]), -1, 1)
        return array.transpose(np.argsort(out))

    return RowProducts(left, right, result)


def _places(sizes: Sequence[int], params: dict[str, Any], sides: Sequence[int]) -> list[int]:
    ones = [1] * len(sides)
    gaps, spread = params["lhs_dilation"] or ones, params["rhs_dilation"] or ones
    found = []
    for size, side, stride, (low, high), gap, wide in zip(
        sizes, sides, params["window_strides"], params["padding"], gaps, spread, strict=True
    ):
        filled = (size - 1) * gap + 1 + low + high
        found.append((filled - ((side - 1) * wide + 1)) // stride + 1)
    return found


def windows(
    array: np.ndarray,
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    gaps: Sequence[int],
    spread: Sequence[int],
    fill: Any,
) -> np.ndarray:
    """All windows of an array: [*places, *window], a view where it can be.

    Args:
        array: of any rank; all further arguments have an entry per axis.
        window: sizes.
        strides: steps from one window to the next.
        padding: numbers of `fill` before and behind; below zero elements are cut off.
        gaps: distance of the array's elements after `fill` has been put between them.
        spread: distance of the elements in a window.
        fill: what is put there.
    """
    array = padded(array, fill, [(low, high, gap - 1) for (low, high), gap in zip(padding, gaps, strict=True)])
    reach = [(size - 1) * step + 1 for size, step in zip(window, spread, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(array, reach)
    return views[(*(slice(None, None, step) for step in strides), *(slice(None, None, step) for step in spread))]


def padded(array: np.ndarray, fill: Any, config: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """What XLA's Pad makes: `(before, behind, between)` numbers of `fill` per axis; below zero elements are cut off."""
    if not any(any(numbers) for numbers in config):
        return array
    shape = [
        size + before + behind + max(size - 1, 0) * between
        for size, (before, behind, between) in zip(array.shape, config, strict=True)
    ]
    grown = [size + max(-low, 0) + max(-high, 0) for size, (low, high, _) in zip(shape, config, strict=True)]
    result = np.full(grown, fill, array.dtype)
    result[
        tuple(
            slice(max(low, 0), max(low, 0) + max(size - 1, 0) * (gap + 1) + min(size, 1), gap + 1)
            for size, (low, _, gap) in zip(array.shape, config, strict=True)
        )
    ] = array
    return result[
        tuple(slice(max(-low, 0), max(-low, 0) + size) for size, (low, _, _) in zip(shape, config, strict=True))
    ]
