"""Splits too large for memory: order, shares of processes, resuming, crops, and the folder they are read from."""

import dataclasses
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxticket import data
from jaxticket.core.errors import ConfigError, DataError
from jaxticket.data import registry
from jaxticket.data.availability import labels_are_at_hand
from jaxticket.data.decoding import centre_crop, crop_at_random, decode_colour
from jaxticket.data.sources.tfds_folder import PreparedSource
from jaxticket.data.streaming import Stream

pytestmark = [pytest.mark.feature("data sets")]

SIDE, SIZE, BATCH = 16, 40, 8


class Numbered:
    """Images of the size (20 + row, 30), all of the colour (row, 2 row, 3 row), labelled by their row."""

    def __getitem__(self, row):
        from PIL import Image

        file = io.BytesIO()
        Image.new("RGB", (30, 20 + row), (row, 2 * row, 3 * row)).save(file, "PNG")
        return file.getvalue(), row


@pytest.fixture(scope="module")
def stream():
    return Stream(Numbered(), np.arange(SIZE), SIDE, threads=2)


def labels(batches):
    return [batch.labels.tolist() for batch in batches]


def flat(batches):
    return [label for batch in batches for label in batch.labels.tolist()]


def test_an_epoch_is_a_permutation_in_batches(stream):
    first = list(stream.epoch(BATCH, seed=1))
    assert [batch.size for batch in first] == [BATCH] * (SIZE // BATCH)
    assert sorted(flat(first)) == list(range(SIZE))
    assert labels(first) == labels(stream.epoch(BATCH, seed=1))
    assert labels(first) != labels(stream.epoch(BATCH, seed=2))
    for batch in first:
        assert (batch.images.dtype, batch.images.shape) == (np.uint8, (BATCH, SIDE, SIDE, 3))
        colours = batch.labels[:, None] * np.array([1, 2, 3])
        np.testing.assert_array_equal(batch.images.mean((1, 2)), colours)


def test_epoch_continues_at_any_batch_with_same_images(stream):
    whole = list(stream.epoch(BATCH, seed=3))
    for first in (1, 4, 5):
        rest = list(stream.epoch(BATCH, seed=3, first=first))
        assert len(rest) == len(whole) - first
        for found, expected in zip(rest, whole[first:], strict=True):
            assert found.labels.tolist() == expected.labels.tolist()
            assert np.array_equal(found.images, expected.images)


def test_only_training_leaves_out_an_incomplete_batch(stream):
    assert [batch.size for batch in stream.epoch(12, seed=0)] == [12, 12, 12]
    in_order = list(stream.in_order(12))
    assert [batch.size for batch in in_order] == [12, 12, 12, 4]
    assert flat(in_order) == list(range(SIZE))


def test_evaluation_is_shared_among_processes_without_loss(stream):
    shares = [list(stream.in_order(12, process=(index, 4))) for index in range(4)]
    assert [label for batches in zip(*shares, strict=True) for label in flat(batches)] == list(range(SIZE))
    assert [[batch.size for batch in share] for share in shares] == [[3] * 4, [3, 3, 3, 1], [3, 3, 3, 0], [3, 3, 3, 0]]


def test_only_the_given_rows_belong_to_a_split():
    rows = np.array([3, 5, 7, 11])
    some = Stream(Numbered(), rows, SIDE, threads=1)
    assert some.size == 4
    assert sorted(flat(some.epoch(2, seed=0))) == rows.tolist()


CHILD = """
import sys
import numpy as np
sys.path.insert(0, {folder!r})
from test_streaming import BATCH, SIDE, SIZE, Numbered
from jaxticket.data.streaming import Stream
from jaxticket.data.sources.tfds_folder import PreparedSource
index, count, first = map(int, sys.argv[1:])
stream = Stream(Numbered(), np.arange(SIZE), SIDE, threads=2)
for seed in (10, 11):
    for batch in stream.epoch(BATCH, seed=seed, first=first, process=(index, count)):
        print(seed, *batch.labels, int(batch.images.astype(np.int64).sum()))
"""


def in_processes(count, first=0):
    """What each process saw: lines of an epoch's seed, the labels of a batch and the sum of its pixels."""
    program = CHILD.format(folder=str(Path(__file__).parent))
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(index), str(count), str(first)], stdout=subprocess.PIPE)
        for index in range(count)
    ]
    outputs = [process.communicate(timeout=120)[0].decode().splitlines() for process in running]
    assert [process.returncode for process in running] == [0] * count
    return [[list(map(int, line.split())) for line in output] for output in outputs]


def test_two_processes_see_disjoint_complete_epochs():
    one, two, again, late = in_processes(1)[0], in_processes(2), in_processes(2), in_processes(2, first=3)
    batches = SIZE // BATCH
    assert two == again
    for epoch in range(2):
        seen = [process[epoch * batches : (epoch + 1) * batches] for process in two]
        rows = [{label for line in process for label in line[1:-1]} for process in seen]
        assert not rows[0] & rows[1]
        assert rows[0] | rows[1] == set(range(SIZE))
        # Together they see the batches of a single process, with the same crops.
        for alone, left, right in zip(one[epoch * batches :], *seen, strict=False):
            assert sorted(left[1:-1] + right[1:-1]) == sorted(alone[1:-1])
            assert left[-1] + right[-1] == alone[-1]
        # A stop in mid-epoch continues with the same batches.
        rest = batches - 3
        for process, continued in zip(seen, late, strict=True):
            assert continued[epoch * rest : (epoch + 1) * rest] == process[3:]
    assert [line[1:] for line in two[0][:batches]] != [line[1:] for line in two[0][batches:]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 41}, "batch_size=41: must be at most the 40 training images"),
        ({"batch_size": 9, "process": (0, 2)}, "batch_size=9: must be a multiple of the 2 processes"),
    ],
)
def test_batches_that_cannot_be(stream, arguments, message):
    with pytest.raises(ConfigError, match=message):
        next(stream.epoch(seed=0, **arguments))


def test_damaged_image_is_one_line():
    class Damaged:
        def __getitem__(self, row):
            return b"no image", 0

    with pytest.raises(DataError, match="an image of 8 bytes cannot be decoded; prepare the data set again"):
        next(Stream(Damaged(), np.arange(4), SIDE, threads=1).epoch(2, seed=0))


def ramp(height, width):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.zeros_like(rows)], -1).astype(np.uint8)


def test_random_crops_have_the_published_areas_and_ratios():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        crop = crop_at_random(ramp(120, 160), 20, rng)
        assert crop.shape == (20, 20, 3)
        rows, columns = (np.ptp(crop[..., axis].astype(float)) * 20 / 19 for axis in (0, 1))
        found.append((rows * columns / (120 * 160), columns / rows))
    area, ratio = np.array(found).T
    assert 0.06 < area.min() < 0.12
    assert 0.85 < area.max() < 1.03
    assert 0.7 < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 1.42


def test_image_without_fitting_window_is_cropped_centrally():
    long = np.zeros((4, 400, 3), np.uint8)
    long[:, 197:203] = 255
    crop = crop_at_random(long, 12, np.random.default_rng(0))
    assert crop.shape == (12, 12, 3)
    assert crop.max() == 255


def test_centre_crop_is_the_middle_of_scaled_image():
    crop = centre_crop(ramp(64, 96), 28)
    assert crop.shape == (28, 28, 3)
    assert abs(crop[..., 0].mean() - 31.5) < 0.6
    assert abs(crop[..., 1].mean() - 47.5) < 0.6
    assert np.ptp(crop[:, 14, 0].astype(int)) == pytest.approx(27 * 64 / 32, abs=2)


def test_grey_images_become_colour():
    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (5, 4), 7).save(file, "PNG")
    assert (decode_colour(file.getvalue()) == 7).all()
    assert decode_colour(file.getvalue()).shape == (4, 5, 3)
    assert decode_colour(Numbered()[9][0])[0, 0].tolist() == [9, 18, 27]


@pytest.fixture
def streamed(small, monkeypatch):
    """The small Fashion-MNIST in the role of a data set that is too large for memory."""
    spec = dataclasses.replace(small, image_shape=(32, 32, 3), stream=True, mean=(0.5,) * 3, std=(0.25,) * 3)
    registry.DATASETS.replace(spec)
    return spec


def test_a_prepared_folder_is_streamed(streamed, prepared, raw):
    found = data.load("fashion_mnist", folder=prepared, val_fraction=0.1)
    assert [split.size for split in (found.train, found.val, found.test)] == [270, 30, 120]
    assert (found.mean, found.num_classes) == ((0.5,) * 3, 10)
    seen = np.concatenate([batch.labels for part in (found.train, found.val) for batch in part.in_order(64)])
    assert np.array_equal(np.bincount(seen), np.bincount(raw["train-labels-idx1-ubyte"]))
    batch = next(found.train.epoch(16, seed=0))
    assert batch.images.shape == (16, 32, 32, 3)
    assert next(data.load("fashion_mnist", folder=prepared, side=24).test.in_order(8)).images.shape[1] == 24


def test_streamed_data_that_is_missing_is_one_line(streamed, tmp_path):
    with pytest.raises(DataError, match=r"fashion_mnist is not on this machine: .*jaxticket data prepare") as error:
        data.load("fashion_mnist", folder=tmp_path)
    assert "\n" not in str(error.value)


def test_without_grain_the_remedy_is_named(streamed, prepared, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(
        ConfigError, match="need grain, which is not installed; run `pip install grain opencv-python-headless`"
    ):
        data.load("fashion_mnist", folder=prepared)


def test_parts_of_streamed_classes_are_the_whole_relabelled(streamed, prepared, tmp_path, monkeypatch):
    """The labels that a part needs are read once, and again where their copy is damaged."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert not labels_are_at_hand(streamed, tmp_path)
    whole = data.load("fashion_mnist", folder=tmp_path, train_fraction=0.5)
    splits = {name: getattr(whole, name) for name in ("train", "val", "test")}
    label_of = {name: dict(zip(split.rows, flat(split.in_order(64)), strict=True)) for name, split in splits.items()}
    for order in ("label", "shuffled"):
        seen = dict.fromkeys(splits, 0)
        for i in (1, 2):
            part = data.load("fashion_mnist", folder=tmp_path, part=f"{i}/2", class_order=order, train_fraction=0.5)
            assert part.num_classes == 5
            for name, labels in label_of.items():
                split = getattr(part, name)
                seen[name] += split.size
                names = [part.class_names[label] for label in flat(split.in_order(64))]
                assert names == [streamed.class_names[labels[row]] for row in split.rows]
        assert seen == {name: split.size for name, split in splits.items()}
    assert labels_are_at_hand(streamed, tmp_path)
    kept = next(tmp_path.rglob("train_labels/labels.npy"))
    content = kept.read_bytes()
    size = sum(label < 5 for label in label_of["train"].values())
    with monkeypatch.context() as no_reading:
        no_reading.setattr(PreparedSource, "label", None)
        assert data.load("fashion_mnist", folder=tmp_path, part="1/2", train_fraction=0.5).train.size == size
    kept.write_bytes(content[:-4] + bytes((0, 0, 0, 7)))
    assert data.load("fashion_mnist", folder=tmp_path, part="1/2", train_fraction=0.5).train.size == size
    assert kept.read_bytes() == content
