"""The result of `plan`: one row for every array, as a table or as JSON has it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from jaxticket.core.text_table import text_table
from jaxticket.core.types import Mask, Path


@dataclass(frozen=True)
class PlanRow:
    """One array of the parameters.

    Attributes:
        path: its slash path.
        shape: its shape.
        dtype: the name of its dtype.
        size: how many weights it has.
        reason: why it is not prunable; None if it is.
        kept_before: how many weights are kept now; None if it is not prunable.
        kept_after: how many would be kept; None if it is not prunable, or where that depends on unknown scores.
        sparsity: the pruned share afterwards, in [0, 1]; None where `kept_after` is.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: str
    size: int
    reason: str | None
    kept_before: int | None
    kept_after: int | None
    sparsity: float | None


@dataclass(frozen=True)
class PruningPlan:
    """What `plan` found; `str()` of it is a table.

    Attributes:
        rows: one for every array, sorted by path.
        size: how many weights all arrays have.
        prunable: how many weights the prunable ones have.
        kept_before: how many of these are kept now.
        kept_after: how many would be kept; None where that depends on unknown scores.
        mask: what `prune` returns; None for abstract parameters.
    """

    rows: tuple[PlanRow, ...]
    size: int
    prunable: int
    kept_before: int
    kept_after: int | None
    mask: Mask | None = field(compare=False, repr=False)

    @property
    def sparsity(self) -> float | None:
        """The pruned share of the prunable weights afterwards, in [0, 1]; None where `kept_after` is."""
        return pruned_share(self.kept_after, self.prunable)

    def to_dict(self) -> dict[str, Any]:
        """All but the mask as dictionaries, lists, strings and numbers, as JSON has them."""
        return {
            "rows": [asdict(row) | {"shape": list(row.shape)} for row in self.rows],
            "size": self.size,
            "prunable": self.prunable,
            "kept_before": self.kept_before,
            "kept_after": self.kept_after,
            "sparsity": self.sparsity,
        }

    def __str__(self) -> str:
        """The rows as a table in plain text, with a line of totals."""
        header = ("path", "shape", "dtype", "size", "kept before", "kept after", "sparsity", "not prunable because")
        lines = [
            (
                *(row.path, "x".join(map(str, row.shape)) or "scalar", row.dtype, f"{row.size:,}"),
                *("-" if row.reason else text for text in _counts(row)),
                row.reason or "",
            )
            for row in self.rows
        ]
        total = ("all prunable", "", "", f"{self.prunable:,}", *_counts(self), f"of {self.size:,} in all")
        rule = tuple("-" * max(map(len, column)) for column in zip(header, *lines, total, strict=True))
        return "\n".join(text_table((header, rule, *lines, rule, total), left=(0, 1, 2, 7)))


def pruned_share(kept: int | None, size: int) -> float | None:
    """The pruned share, in [0, 1]."""
    return None if kept is None else (size - kept) / max(size, 1)


def _counts(counted: PlanRow | PruningPlan) -> tuple[str, str, str]:
    before, after, sparsity = counted.kept_before, counted.kept_after, counted.sparsity
    numbers = ["?" if number is None else f"{number:,}" for number in (before, after)]
    return numbers[0], numbers[1], "?" if sparsity is None else f"{sparsity:.4f}"
