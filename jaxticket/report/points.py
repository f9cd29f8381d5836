"""From what was measured to the points of lines."""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from jaxticket.report import theme
from jaxticket.report.panels import Line

if TYPE_CHECKING:
    import numpy as np

_T = TypeVar("_T")


def points_by(
    entries: Iterable[_T], x: Callable[[_T], float | None], y: Callable[[_T], float | None]
) -> list[tuple[float, list[float]]]:
    """The points of a line with its spread: (x, the values of y there), by x; entries without x or y are left out."""
    found: dict[float, list[float]] = {}
    for entry in entries:
        at, value = x(entry), y(entry)
        if at is not None and value is not None:
            found.setdefault(at, []).append(value)
    return sorted(found.items())


def lines_by(
    entries: Iterable[_T], x: Callable[[_T], float | None], y: Callable[[_T], float | None], by: Callable[[_T], object]
) -> list[Line]:
    """Lines of points with their spread, one for each value of `by`, in order of first appearance."""
    found: dict[object, list[_T]] = {}
    for entry in entries:
        found.setdefault(by(entry), []).append(entry)
    return [
        Line(str(name), points_by(own, x, y), theme.series(i), theme.marker(i))
        for i, (name, own) in enumerate(found.items())
    ]


def mean_points(points: Iterable[tuple[float, Collection[float]]]) -> list[tuple[float, float]]:
    """(x, the mean of the values there), for a line without spread."""
    return [(x, math.fsum(values) / len(values)) for x, values in points if values]


def symmetric(lines: Sequence[Sequence[float | None]]) -> "np.ndarray":
    """The symmetric matrix, float [N, N], of which `lines` is what lies under the diagonal; None is NaN.

    Raises:
        ValueError: a line has not one number more than the one before.
    """
    import numpy as np

    matrix = np.zeros((len(lines), len(lines)))
    for i, line in enumerate(lines):
        if len(line) != i:
            raise ValueError(f"line {i} has {len(line)} distances")
        matrix[i, :i] = matrix[:i, i] = [np.nan if distance is None else float(distance) for distance in line]
    return matrix
