"""A data set of one's own: the digits with half as many pixels on a side.

jaxticket run --config=tests/extending/data_set.py --workdir=runs
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxticket import data
from jaxticket.experiments import default_config
from jaxticket.lab.presets import apply_preset


def read_halved(spec: data.DatasetSpec, folder: Path) -> Mapping[str, data.Split]:
    """The official splits: uint8 images [N, 4, 4, 1] and int32 labels [N]; means of 2x2 pixels."""
    digits = data.load("digits", val_fraction=0)

    def halve(images: np.ndarray) -> np.ndarray:
        return images.reshape(-1, 4, 2, 4, 2, 1).mean(axis=(2, 4)).round().astype(np.uint8)

    return {
        name: data.Split(halve(split.images), split.labels)
        for name, split in (("train", digits.train), ("test", digits.test))
        if isinstance(split, data.Split)
    }


data.register(
    data.DatasetSpec(
        name="digits4",
        version="1.0.0",
        image_shape=(4, 4, 1),
        class_names=tuple("0123456789"),
        train_size=1437,
        test_size=360,
        sources=(read_halved,),
    )
)


def get_config():
    config = default_config("imp")
    apply_preset(config, "lenet300", "digits4")
    return config
