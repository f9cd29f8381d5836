"""Constants that the channels of a network leave behind, put into the bias behind the sum to which they add."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxticket.core.types import Path
from jaxticket.structure.shrink.constant_rules import ARRANGEMENTS, arranged
from jaxticket.structure.shrink.contractions import RowProducts
from jaxticket.structure.shrink.partial import Partial
from jaxticket.structure.shrink.program import Operation, Program

_FOLLOWED = ARRANGEMENTS - {"concatenate", "pad", "slice"}
# Path and shape of a leaf, the sign with which it takes a constant, how the sum is arranged where it meets the leaf,
# and the position in the leaf that each element of the sum meets there.
_Target = tuple[Path, tuple[int, ...], int, Callable[[np.ndarray], np.ndarray], np.ndarray]
# Rounding differs between the positions at which a matrix product computes the same sum.
_ROUNDING = 1e-5


def may_be_nonzero(part: Partial) -> Any:
    """Where an array may have something other than zero."""
    return part.unknown | (part.value != 0)


class BiasFolding:
    """Finds the vector that is added behind a sum, or subtracted, such as a running mean, and what it has to take."""

    def __init__(self, program: Program) -> None:
        self._types = program.types
        self._leaves = {number: path for path, number in program.leaves.items()}
        self._makers = {number: operation for operation in program.operations for number in operation.results}
        self._readers: dict[int, list[Operation]] = {}
        for operation in program.operations:
            for number in operation.operands:
                self._readers.setdefault(number, []).append(operation)
        self._returned = set(program.results)

    def fold(
        self, operation: Operation, form: RowProducts, x: Partial, y: Partial, terms: np.ndarray
    ) -> tuple[Path, np.ndarray] | str:
        """What a leaf has to take for some terms of a contraction to go.

        Args:
            operation: the contraction.
            form: as which it is written.
            x: [B, M, K].
            y: [B, N, K].
            terms: bool [B, K], which terms go.

        Returns:
            The path of the leaf and what is added to it; or why no leaf can take it.
        """
        chosen = np.nonzero(terms.any(0))[0]
        taken = terms[:, None, chosen]
        left, right = (Partial(part.value[:, :, chosen], part.unknown[:, :, chosen]) for part in (x, y))
        if (taken & left.unknown).any() or (taken & right.unknown).any():
            return f"what it gives to `{operation.name}` is no constant"
        target = self._target(operation.results[0])
        if target is None:
            return "it gives a constant to a sum behind which there is no bias of its own"
        path, shape, sign, arrange, places = target
        products = np.matmul(np.where(taken, left.value, 0).astype(np.float64), right.value.swapaxes(1, 2))
        given = arrange(form.result(products))
        places = np.broadcast_to(places, given.shape)
        least, most = np.full(math.prod(shape), np.inf), np.full(math.prod(shape), -np.inf)
        np.minimum.at(least, places, given)
        np.maximum.at(most, places, given)
        if (most - least > _ROUNDING * np.maximum(np.abs(most), np.abs(least)).max(initial=0)).any():
            return "it gives a constant to a sum that differs by place, as zeros are padded at the borders"
        return path, (sign * (least + most) / 2).reshape(shape)

    def _target(self, number: int) -> _Target | None:
        """The leaf behind a sum that nothing else reads, if there is one."""
        steps: list[Operation] = []
        while True:
            readers = self._readers.get(number, [])
            if len(readers) != 1 or number in self._returned:
                return None
            reader = readers[0]
            if reader.name not in _FOLLOWED:
                break
            steps.append(reader)
            number = reader.results[0]
        if reader.name not in ("add", "add_any", "sub") or reader.operands.count(number) != 1:
            return None
        if reader.name == "sub" and reader.operands[0] != number:
            return None
        (other,) = (operand for operand in reader.operands if operand != number)
        back: list[Operation] = []
        while other not in self._leaves:
            maker = self._makers.get(other)
            if maker is None or maker.name not in _FOLLOWED or len(self._readers[other]) != 1:
                return None
            back.insert(0, maker)
            other = maker.operands[0]
        if len(self._readers[other]) != 1 or other in self._returned:
            return None
        shape = self._types[other].shape
        places = _arrange(back, np.arange(math.prod(shape)).reshape(shape))
        sign = -1 if reader.name == "sub" else 1
        return self._leaves[other], shape, sign, lambda array: _arrange(steps, array), places


def _arrange(steps: list[Operation], array: np.ndarray) -> np.ndarray:
    for step in steps:
        array = arranged(step, array)
    return array
