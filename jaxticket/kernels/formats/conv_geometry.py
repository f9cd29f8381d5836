"""How the window of a convolution moves over images."""

import dataclasses
from collections.abc import Sequence

from jaxticket.core.errors import MaskError

Pair = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class ConvGeometry:
    """Strides, dilation and padding of a convolution.

    Attributes:
        strides: of the window, (height, width).
        dilation: distance between the window's positions, (height, width).
        padding: zeros, ((above, below), (left, right)); none where images are padded already.
    """

    strides: Pair
    dilation: Pair
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))

    def span(self, window: Sequence[int]) -> Pair:
        """The part of an image that the window covers, (height, width)."""
        height, width = ((size - 1) * far + 1 for size, far in zip(window, self.dilation, strict=True))
        return height, width

    def positions(self, image: Sequence[int], window: Sequence[int]) -> Pair:
        """How many positions the window takes, (height, width).

        Raises:
            MaskError: the image is smaller than the window.
        """
        spans = self.span(window)
        image = [size + sum(sides) for size, sides in zip(image, self.padding, strict=True)]
        height, width = (
            (size - span) // stride + 1 for size, span, stride in zip(image, spans, self.strides, strict=True)
        )
        if min(height, width) < 1:
            raise MaskError(f"images of {tuple(image)} with padding are smaller than the window of {spans}")
        return height, width
