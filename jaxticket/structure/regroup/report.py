"""What regrouping did to every layer and to the whole."""

from dataclasses import dataclass

import numpy as np

from jaxticket.core.types import Path

Block = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class RegroupedLayer:
    """What became of one layer; shares are in [0, 1].

    Attributes:
        shape: output channels and weights of each, the shape of the matrix view.
        kept: weights kept before.
        new_kept: weights kept now.
        survivors: weights kept before and now.
        blocks: rows and columns of each block.
        structured: whether every weight kept now lies in a block.
        dead_channels: rows that keep nothing now.
        emptied_channels: those of them that kept something before.
        note: why no block was found; empty if some were.
    """

    shape: tuple[int, int]
    kept: int
    new_kept: int
    survivors: int
    blocks: tuple[tuple[int, int], ...]
    structured: bool
    dead_channels: int
    emptied_channels: int
    note: str = ""

    @property
    def density(self) -> float:
        """The kept share before."""
        return self.kept / (self.shape[0] * self.shape[1])

    @property
    def new_density(self) -> float:
        """The kept share now."""
        return self.new_kept / (self.shape[0] * self.shape[1])

    @property
    def coverage(self) -> float:
        """The share of the survivors of before that are still kept; 1 where there were none."""
        return self.survivors / self.kept if self.kept else 1.0

    @property
    def holes(self) -> float:
        """The share of the weights kept now that were not kept before; 0 where there are none."""
        return (self.new_kept - self.survivors) / self.new_kept if self.new_kept else 0.0


@dataclass(frozen=True)
class RegroupReport:
    """The report of each layer by path, and their totals; `str` gives a table."""

    layers: dict[Path, RegroupedLayer]

    @property
    def density(self) -> float:
        """The kept share of all weights before."""
        return self._sum("kept") / self._size()

    @property
    def new_density(self) -> float:
        """The kept share of all weights now."""
        return self._sum("new_kept") / self._size()

    @property
    def coverage(self) -> float:
        """The share of all survivors of before that are still kept; 1 where there were none."""
        kept = self._sum("kept")
        return self._sum("survivors") / kept if kept else 1.0

    @property
    def structured_share(self) -> float:
        """The share of the weights kept now that lie in a block; 1 where there are none."""
        in_blocks = sum(layer.new_kept for layer in self.layers.values() if layer.structured)
        new = self._sum("new_kept")
        return in_blocks / new if new else 1.0

    def __str__(self) -> str:
        wide = max(len("layer"), *(len(path) for path in self.layers))
        head = f"{'layer':{wide}} {'rows x columns':>14} {'before':>7} {'after':>7} {'blocks':>6} "
        lines = [head + f"{'cover':>6} {'holes':>6} {'emptied':>7}"]
        for path, layer in self.layers.items():
            size = f"{layer.shape[0]} x {layer.shape[1]}"
            lines.append(
                f"{path:{wide}} {size:>14} {layer.density:7.2%} {layer.new_density:7.2%} {len(layer.blocks):>6} "
                f"{layer.coverage:6.1%} {layer.holes:6.1%} {layer.emptied_channels:>7}  {layer.note}".rstrip()
            )
        lines.append(
            f"{self.density:.2%} kept before, {self.new_density:.2%} after, {self.structured_share:.2%} of it in "
            f"blocks, {self.coverage:.2%} of the survivors covered"
        )
        return "\n".join(lines)

    def _sum(self, name: str) -> int:
        return sum(getattr(layer, name) for layer in self.layers.values())

    def _size(self) -> int:
        return sum(layer.shape[0] * layer.shape[1] for layer in self.layers.values())


def report_layer(before: np.ndarray, after: np.ndarray, blocks: list[Block], note: str) -> RegroupedLayer:
    """The report of one layer.

    Args:
        before: bool matrix [rows, columns].
        after: bool matrix of the same shape.
        blocks: rows and columns of each block of `after`.
        note: why no block was found.
    """
    sizes = tuple((len(rows), len(columns)) for rows, columns in blocks)
    new_kept = int(np.count_nonzero(after))
    dead = ~after.any(axis=1)
    return RegroupedLayer(
        shape=before.shape,
        kept=int(np.count_nonzero(before)),
        new_kept=new_kept,
        survivors=int(np.count_nonzero(before & after)),
        blocks=sizes,
        structured=new_kept == sum(rows * columns for rows, columns in sizes),
        dead_channels=int(dead.sum()),
        emptied_channels=int((dead & before.any(axis=1)).sum()),
        note=note,
    )
