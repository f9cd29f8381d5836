"""Follows channels that are to go through a function, to see whether the function stays the same without them."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxticket.core.types import Path
from jaxticket.structure.shrink.bias_folding import BiasFolding, may_be_nonzero
from jaxticket.structure.shrink.channel_marks import ChannelMarks
from jaxticket.structure.shrink.constant_propagation import propagate
from jaxticket.structure.shrink.contraction_sizes import ContractionSize
from jaxticket.structure.shrink.contractions import RowProducts, row_products
from jaxticket.structure.shrink.partial import Partial, constant, unknown
from jaxticket.structure.shrink.program import Operation, Program


@dataclasses.dataclass(frozen=True, eq=False)
class Removal:
    """What became of the channels.

    Attributes:
        blocked: channel -> why it must stay.
        folds: channels, the path of a leaf, and what is added to it if any of the channels is removed.
        contractions: all matrix products and convolutions.
        marks: what the marks of `contractions` mean.
    """

    blocked: dict[int, str]
    folds: list[tuple[frozenset[int], Path, np.ndarray]]
    contractions: list[ContractionSize]
    marks: ChannelMarks


def check_removal(program: Program, leaves: Mapping[Path, Partial], marks: ChannelMarks) -> Removal:
    """Follows all values of a program, of which the leaves of the parameters are given.

    A term of a sum that is removed with a channel must be an exact zero, or one constant at all positions that a
    bias behind the sum can take; otherwise the channel is blocked. So is one whose values are added up,
    sorted or returned.

    Args:
        program: with a batch of one, if time matters.
        leaves: path -> what is known of the leaf, and the marks of its elements.
        marks: what the marks mean.
    """
    values: dict[int, Partial] = {program.leaves[path]: leaf for path, leaf in leaves.items()}
    for number, array in program.constants.items():
        values[number] = constant(array, program.types[number])
    folding = BiasFolding(program)
    last_use = {number: i for i, operation in enumerate(program.operations) for number in operation.operands}
    found = Removal(marks.blocked, [], [], marks)

    def read(number: int) -> Partial:
        if number not in values:  # an input
            values[number] = unknown(program.types[number].shape, program.types[number].dtype)
        return values[number]

    for i, operation in enumerate(program.operations):
        operands = [read(number) for number in operation.operands]
        types = [program.types[number] for number in operation.results]
        form = None
        if operation.name in ("dot_general", "conv_general_dilated"):
            x, y = operands
            form = row_products(operation.name, operation.params, x.value.shape, y.value.shape)
        if form is None:
            results = propagate(operation, operands, types, marks)
        else:
            results = [_contract(operation, form, operands, types[0], folding, found)]
        values.update(zip(operation.results, results, strict=True))
        for number in operation.operands:
            if last_use[number] == i and number not in program.results:
                values.pop(number, None)
    for number in program.results:
        if number in values and number not in program.updates:
            marks.block(values[number].marked, "it is part of the result")
    return found


def _contract(
    operation: Operation,
    form: RowProducts,
    operands: Sequence[Partial],
    kind: Any,
    folding: BiasFolding,
    found: Removal,
) -> Partial:
    x, y = (
        Partial(change(part.value), change(part.unknown), None if part.marked is None else change(part.marked))
        for change, part in zip((form.left, form.right), operands, strict=True)
    )
    batches, rows, terms = x.value.shape
    columns = y.value.shape[1]
    marks = found.marks
    row_marks, x_terms = _lines(x.marked, marks)
    column_marks, y_terms = _lines(y.marked, marks)
    term_marks = marks.join((batches, terms), [x_terms, y_terms])
    size = (batches, rows, columns, terms)
    parts = [None if part is None or not part.any() else part for part in (row_marks, column_marks, term_marks)]
    idle = math.prod(operation.params.get("lhs_dilation", ()))
    found.contractions.append(ContractionSize(size, parts[0], parts[1], parts[2], idle))
    if term_marks is not None and term_marks.any():
        _check_terms(operation, form, x, y, term_marks, folding, found)
    marked = marks.join(
        (batches, rows, columns),
        [
            None if row_marks is None else row_marks[:, :, None],
            None if column_marks is None else column_marks[:, None, :],
        ],
    )
    value, lost = _products(x, y)
    return Partial(
        form.result(np.asarray(value, kind.dtype)), form.result(lost), None if marked is None else form.result(marked)
    )


def _lines(marked: np.ndarray | None, marks: ChannelMarks) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Marks of lines [B, M, K] that go as a whole, [B, M], and of the terms that go in the others, [B, K]."""
    if marked is None:
        return None, None
    whole = marks.common(marked, [2])
    return whole[:, :, 0], (marked * (whole == 0)).max(1, initial=0)


def _check_terms(
    operation: Operation, form: RowProducts, x: Partial, y: Partial, term_marks: np.ndarray, folding: BiasFolding,
    found: Removal,
) -> None:  # fmt: skip
    """Blocks the channels of terms that are neither zero nor can be folded, and notes what is folded."""
    active = (term_marks > 0) & may_be_nonzero(x).any(1) & may_be_nonzero(y).any(1)
    for number in np.unique(term_marks[active]):
        taken = active & (term_marks == number)
        folded = folding.fold(operation, form, x, y, taken)
        if isinstance(folded, str):
            found.marks.block(np.asarray(number), folded)
        else:
            found.folds.append((found.marks.members(int(number)), *folded))


def _products(x: Partial, y: Partial) -> tuple[np.ndarray, np.ndarray]:
    """`x[b, m] . y[b, n]`, and what of it is unknown: what has a term of which only one factor or none is known."""
    x_shares, y_shares = may_be_nonzero(x), may_be_nonzero(y)
    # What is unknown in all rows, or in all columns, settles nearly everything without a product.
    columns = (x.unknown.all(1)[:, None, :] & y_shares).any(2)
    rows = (y.unknown.all(1)[:, None, :] & x_shares).any(2)
    lost = rows[:, :, None] | columns[:, None, :]
    value = np.zeros(lost.shape, np.float64)
    for batch in np.nonzero(~rows.all(1))[0]:
        chosen = np.nonzero(~columns[batch] & y_shares[batch].any(1))[0]
        if not len(chosen):
            continue
        pairs = ((x.unknown[batch], y_shares[batch, chosen]), (x_shares[batch], y.unknown[batch, chosen]))
        for one, other in pairs:
            if one.any() and other.any():
                lost[batch][:, chosen] |= one.astype(np.float32) @ other.astype(np.float32).T > 0
        if not lost[batch][:, chosen].all():
            sums = x.value[batch].astype(np.float64) @ y.value[batch, chosen].astype(np.float64).T
            value[batch][:, chosen] = np.where(lost[batch][:, chosen], 0, sums)
    return value, lost
