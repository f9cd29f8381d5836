"""The shapes of one call of a layer: what its cost depends on."""

import dataclasses
import math

from jaxticket.kernels.formats.conv_geometry import ConvGeometry


@dataclasses.dataclass(frozen=True)
class LayerShape:
    """One call of a dense or convolutional layer.

    Attributes:
        x: shape of the input.
        kernel: shape of the kernel, [inputs, outputs] or [height, width, inputs, outputs].
        dtype: name of the dtype that it computes in.
        geometry: of a convolution; None for a dense layer.
    """

    x: tuple[int, ...]
    kernel: tuple[int, ...]
    dtype: str
    geometry: ConvGeometry | None = None

    @property
    def rows(self) -> int:
        """Rows of the matmul: examples, or positions of the output of all images."""
        if self.geometry is None:
            return math.prod(self.x[:-1])
        return self.x[0] * math.prod(self.geometry.positions(self.x[1:3], self.kernel[:2]))

    @property
    def matrix(self) -> tuple[int, int]:
        """(inputs, outputs) of the matmul; the inputs of a convolution are those of its window."""
        return math.prod(self.kernel[:-1]), self.kernel[-1]

    @property
    def has_window(self) -> bool:
        """Whether it is a convolution that is no matmul: its window has more than one pixel."""
        return self.geometry is not None and self.kernel[:2] != (1, 1)

    @property
    def images(self) -> int | None:
        """How many images a convolution with a window takes; None for a matmul."""
        return self.x[0] if self.has_window else None
