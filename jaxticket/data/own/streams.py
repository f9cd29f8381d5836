"""Images of one's own that are too many for memory: read and decoded one by one, as they are needed."""

import dataclasses

import numpy as np

from jaxticket.data.own.copies import OwnData
from jaxticket.data.own.decode import decode_named, in_colour
from jaxticket.data.own.schemes import LabelledImages


class OwnStreams:
    """The official splits of data of one's own; see `streaming.StreamSources`."""

    def __init__(self, data: OwnData) -> None:
        self.spec, self.content, self._data = data.spec, data.content, data

    def source(self, split: str) -> "OwnSource":
        """Its images, decoded when they are asked for."""
        return OwnSource(self._data.images[split], self.spec.name)

    def labels(self, split: str) -> np.ndarray:
        """Its labels, int32 [N]."""
        return self._data.images[split].labels


@dataclasses.dataclass(frozen=True)
class OwnSource:
    """Row -> (RGB pixels, label); may be read from several threads."""

    images: LabelledImages
    place: str

    def __getitem__(self, row: int, /) -> tuple[np.ndarray, int]:
        return in_colour(decode_named(self.images, self.place, 0, row)), int(self.images.labels[row])
