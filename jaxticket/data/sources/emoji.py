"""emoji32: real colour images of 32x32 pixels that need no download, drawn from a font that Debian has.

One image per fully-qualified emoji of Unicode 15.0 without skin tones, drawn with Noto Color Emoji 2.042 at its own
size, 109 pixels, on white, and averaged down to 32x32. The nine groups of Unicode are the classes; images that
are equal to an earlier one are left out. Drawings, not photographs: good for trying colour and crops, no benchmark.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data.sources.records import Example
from jaxticket.data.sources.tar_zip import refusing
from jaxticket.data.specs import DatasetSpec
from jaxticket.data.splits import permutation

_FONT_SIZE = 109
_CANVAS = (136, 128)
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_TEST_SHARE = 0.2
_SPLIT_SEED = 0


def read_emoji(spec: DatasetSpec, paths: Mapping[str, Path], split: str) -> Iterator[Example]:
    """The emoji of a split, keyed by their code points; a fifth of each class is the test split.

    Raises:
        DataError: the files are of another version, or cannot be drawn here. See `records.Reader` too.
    """
    images, labels, keys = _draw(spec, paths)
    if len(keys) != spec.train_size + spec.test_size:
        raise DataError(
            f"{paths['NotoColorEmoji.ttf']}: draws {len(keys):,} different emoji, {spec.name} has "
            f"{spec.train_size + spec.test_size:,}; install {spec.debian_package} of Debian 12, "
            "and libfribidi0, without which Pillow cannot draw emoji of several characters"
        )
    for row in _split_rows(labels)[split]:
        yield Example(keys[row], images[row], int(labels[row]), {"id": keys[row]})


def emoji_of(path: Path, groups: tuple[str, ...]) -> list[tuple[str, int]]:
    """The fully-qualified emoji without skin tones in `emoji-test.txt`, each with the number of its group."""
    emoji, group = [], ""
    with refusing(path):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("# group:"):
                group = line.partition(":")[2].strip()
            elif "; fully-qualified" in line:
                points = [int(point, 16) for point in line.partition(";")[0].split()]
                if not any(point in _SKIN_TONES for point in points):
                    emoji.append(("".join(map(chr, points)), groups.index(group)))
    return emoji


def _draw(spec: DatasetSpec, paths: Mapping[str, Path]) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
    """Images, labels and keys of all emoji that look different, in the order of Unicode."""
    from PIL import Image, ImageDraw, ImageFont, features

    path = paths["NotoColorEmoji.ttf"]
    height, width, _ = spec.image_shape
    drawn: dict[bytes, tuple[int, str]] = {}
    with refusing(path):
        layout = ImageFont.Layout.RAQM if features.check_feature("raqm") else ImageFont.Layout.BASIC
        font = ImageFont.truetype(path, _FONT_SIZE, layout_engine=layout)
        for text, label in emoji_of(paths["emoji-test.txt"], spec.class_names):
            canvas = Image.new("RGB", _CANVAS, "white")
            ImageDraw.Draw(canvas).text((0, 0), text, font=font, embedded_color=True)
            pixels = np.asarray(canvas.resize((width, height), Image.Resampling.BOX))
            drawn.setdefault(pixels.tobytes(), (label, "-".join(f"{ord(char):x}" for char in text)))
    images = [np.frombuffer(pixels, np.uint8).reshape(spec.image_shape) for pixels in drawn]
    return images, np.array([label for label, _ in drawn.values()]), [key for _, key in drawn.values()]


def _split_rows(labels: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of each split: the last fifth of every class in a fixed permutation is the test split."""
    shuffled = permutation(len(labels), _SPLIT_SEED)
    test = []
    for label in np.unique(labels):
        rows = shuffled[labels[shuffled] == label]
        test.append(rows[len(rows) - round(_TEST_SHARE * len(rows)) :])
    tested = np.sort(np.concatenate(test))
    return {"train": np.setdiff1d(shuffled, tested), "test": tested}
