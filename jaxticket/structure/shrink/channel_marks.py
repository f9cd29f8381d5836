"""Marks on the elements of arrays: with which channels an element is removed."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

# int array of the shape of what it marks: 0 stays, any other number is that of a set of channels. None: all stay.
Marked = np.ndarray | None


class ChannelMarks:
    """Numbers for sets of channels, and which channels cannot go, with the reason.

    An element is removed if any channel of its set is: one that lies in two channels, such as a dimension of one
    attention head, is marked with both.

    Attributes:
        blocked: channel -> the first reason found why it must stay.
    """

    def __init__(self) -> None:
        self.blocked: dict[int, str] = {}
        self._sets: list[frozenset[int]] = [frozenset()]
        self._numbers: dict[frozenset[int], int] = {frozenset(): 0}

    def number(self, channels: Iterable[int]) -> int:
        """The number of a set of channels."""
        channels = frozenset(channels)
        if channels not in self._numbers:
            self._numbers[channels] = len(self._sets)
            self._sets.append(channels)
        return self._numbers[channels]

    def channels(self, marked: np.ndarray) -> set[int]:
        """All channels among marks."""
        return set().union(*(self._sets[number] for number in np.unique(marked)))

    def members(self, number: int) -> frozenset[int]:
        """The set of channels that a mark stands for."""
        return self._sets[number]

    def lookup(self, gone: Collection[int]) -> np.ndarray:
        """Bool per mark: whether it is removed with the channels `gone`."""
        gone = frozenset(gone)
        return np.asarray([not gone.isdisjoint(channels) for channels in self._sets])

    def block(self, marked: Marked, reason: str) -> None:
        """None of the marked channels can go."""
        if marked is not None and marked.any():
            for channel in self.channels(marked):
                self.blocked.setdefault(channel, reason)

    def join(self, shape: Sequence[int], marked: Sequence[Marked]) -> Marked:
        """Marks of elements that are computed from others: of a shape, to which all are broadcast."""
        found: Marked = None
        for other in marked:
            if other is None:
                continue
            if found is None:
                found = np.broadcast_to(other, shape)
                continue
            first, second = np.broadcast_arrays(found, other)
            joined = np.where(first == 0, second, first)
            differ = (first != second) & (first != 0) & (second != 0)
            for one, two in {*zip(first[differ].tolist(), second[differ].tolist(), strict=True)}:
                joined[differ & (first == one) & (second == two)] = self.number(self._sets[one] | self._sets[two])
            found = joined
        return found

    def common(self, marked: np.ndarray, axes: Sequence[int]) -> np.ndarray:
        """The channels with which everything along `axes` is removed, which are kept with size 1."""
        axes = tuple(axes)
        least, most = marked.min(axes, keepdims=True, initial=2**30), marked.max(axes, keepdims=True, initial=0)
        found = np.where(least == most, most, 0)
        mixed = (least != most) & (least > 0)
        if mixed.any():
            lines = np.moveaxis(np.broadcast_to(mixed, marked.shape), axes, range(-len(axes), 0))
            kept = lines[(..., *(0,) * len(axes))]
            sets = np.moveaxis(marked, axes, range(-len(axes), 0))[kept].reshape(int(kept.sum()), -1)
            shared = [self.number(frozenset.intersection(*(self._sets[n] for n in np.unique(line)))) for line in sets]
            found[np.nonzero(mixed)] = shared
        return found
