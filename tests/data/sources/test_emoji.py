"""emoji32, from the files that two Debian packages install."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from jaxticket import data
from jaxticket.core.errors import DataError
from jaxticket.data import registry
from jaxticket.data.__main__ import main
from jaxticket.data.sources.archives import check_archives, find_archives, read_archives
from jaxticket.data.sources.emoji import emoji_of

pytestmark = [pytest.mark.feature("data sets")]

SPEC = data.spec("emoji32")
needs_font = pytest.mark.skipif(
    not all(Path(archive.debian_path).is_file() for archive in SPEC.archives),
    reason=f"no emoji to draw: install Debian's {SPEC.debian_package}",
)


@needs_font
def test_counts_pixels_and_splits(tmp_path):
    emoji = data.load("emoji32", folder=tmp_path, val_fraction=0.0)
    assert np.bincount(emoji.train.labels).tolist() == [133, 290, 122, 106, 174, 68, 209, 178, 209]
    assert np.bincount(emoji.test.labels).tolist() == [33, 72, 30, 27, 44, 17, 52, 45, 52]
    assert emoji.train.labels[:12].tolist() == [6, 1, 8, 5, 1, 6, 6, 6, 6, 1, 6, 3]
    assert emoji.test.labels[:12].tolist() == [8, 8, 0, 1, 6, 1, 4, 0, 6, 1, 6, 6]
    images = np.concatenate([emoji.train.images, emoji.test.images])
    assert images.shape == (1861, 32, 32, 3)
    assert images.dtype == np.uint8
    flat = images.reshape(len(images), -1)
    assert len(np.unique(flat, axis=0)) == len(images), "no image is there twice"
    assert (flat.std(axis=1) > 5).all(), "none is blank"
    # Drawn on white, in colour.
    assert (images[:, 0, 0] == 255).all(axis=1).mean() > 0.8
    assert (np.ptp(images.astype(int), axis=-1).max(axis=(1, 2)) > 60).mean() > 0.8


@needs_font
def test_prepared_is_the_same_as_drawn(tmp_path):
    drawn = read_archives(SPEC, tmp_path)
    assert drawn is not None
    assert main(["prepare", "emoji32", "--folder", str(tmp_path)]) == 0
    prepared = data.load("emoji32", folder=tmp_path, val_fraction=0.0)
    for split in ("train", "test"):
        for ours, theirs in zip(getattr(prepared, split), drawn[split], strict=True):
            assert np.array_equal(ours, theirs)


def test_skin_tones_and_unqualified_forms_are_left_out(tmp_path):
    path = tmp_path / "emoji-test.txt"
    path.write_text(
        "# group: Smileys & Emotion\n1F600 ; fully-qualified # 😀 E1.0 grinning face\n"
        "263A ; unqualified # ☺ E0.6 smiling face\n"
        "# group: People & Body\n1F44B 1F3FB ; fully-qualified # 👋🏻 E1.0\n1F44B ; fully-qualified # 👋 E0.6\n"
        "# group: Component\n1F3FB ; component # 🏻 E1.0\n",
        encoding="utf-8",
    )
    assert emoji_of(path, SPEC.class_names) == [("\U0001f600", 0), ("\U0001f44b", 1)]


def test_another_version_of_files_is_refused_naming_packages(tmp_path):
    (tmp_path / "emoji32").mkdir()
    for archive in SPEC.archives:
        (tmp_path / "emoji32" / archive.name).write_bytes(b"of another version")
    paths = find_archives(SPEC, tmp_path)
    assert paths is not None
    with pytest.raises(DataError) as error:
        check_archives(SPEC, paths)
    assert "is not NotoColorEmoji.ttf of emoji32" in str(error.value)
    assert "install Debian's fonts-noto-color-emoji and unicode-data" in str(error.value)


@needs_font
def test_other_counts_are_refused_naming_the_packages(tmp_path, monkeypatch):
    row = dataclasses.replace(SPEC, train_size=1488)
    registry.DATASETS.replace(row)
    with pytest.raises(DataError, match="1,861 different emoji, emoji32 has 1,860; install fonts-noto"):
        data.load("emoji32", folder=tmp_path)
