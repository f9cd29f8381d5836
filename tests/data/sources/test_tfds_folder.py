import dataclasses
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from jaxticket.core.errors import DataError
from jaxticket.data.sources.archives import read_archives
from jaxticket.data.sources.tfds_folder import find_prepared, prepared_source, read_prepared
from jaxticket.data.sources.tfrecord import masked_crc32c

pytestmark = [pytest.mark.feature("data sets")]


@pytest.fixture
def array_record(prepared, tmp_path) -> Path:
    shutil.copytree(prepared / "fashion_mnist", tmp_path / "fashion_mnist")
    return tmp_path


@pytest.fixture
def tfrecord(array_record) -> Path:
    """The same folder with its examples in TFRecord files, as a user of TensorFlow has it."""
    from array_record.python.array_record_module import ArrayRecordReader

    version = array_record / "fashion_mnist" / "3.0.1"
    for shard in sorted(version.glob("*.array_record-*")):
        reader = ArrayRecordReader(str(shard))
        records = reader.read([*range(reader.num_records())])
        reader.close()
        lengths = [struct.pack("<Q", len(record)) for record in records]
        with shard.with_name(shard.name.replace("array_record", "tfrecord")).open("wb") as file:
            for parts in zip(lengths, masked_crc32c(lengths), records, masked_crc32c(records), strict=True):
                file.writelines(part if isinstance(part, bytes) else part.tobytes() for part in parts)
        shard.unlink()
    info = json.loads((version / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (version / "dataset_info.json").write_text(json.dumps(info))
    return array_record


@pytest.mark.parametrize("layout", ["array_record", "tfrecord"])
def test_prepared_folder_holds_what_archives_hold(request, layout, small, place_archives, tmp_path_factory):
    folder = request.getfixturevalue(layout)
    assert len(list((folder / "fashion_mnist" / "3.0.1").glob(f"*.{layout}-*"))) == 4
    from_tfds = read_prepared(small, folder)
    archives = tmp_path_factory.mktemp("archives")
    place_archives(archives / "fashion_mnist")
    from_idx = read_archives(small, archives)
    assert from_tfds is not None
    assert from_idx is not None
    for split in ("train", "test"):
        for ours, theirs in zip(from_tfds[split], from_idx[split], strict=True):
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours, theirs)


def test_the_users_own_folders_are_found(array_record, small, tmp_path_factory, monkeypatch):
    empty = tmp_path_factory.mktemp("empty")
    assert read_prepared(small, empty) is None
    monkeypatch.setenv("TFDS_DATA_DIR", str(array_record))
    assert read_prepared(small, empty) is not None
    monkeypatch.delenv("TFDS_DATA_DIR")
    (Path.home() / "tensorflow_datasets").symlink_to(array_record)
    assert read_prepared(small, empty) is not None


def test_an_unfinished_folder_is_not_there(array_record, small):
    (array_record / "fashion_mnist" / "3.0.1" / "features.json").unlink()
    assert read_prepared(small, array_record) is None


def test_folder_with_another_number_of_examples_is_refused(array_record, small):
    whole = dataclasses.replace(small, train_size=60_000)
    with pytest.raises(DataError, match="'train' holds 300 examples, fashion_mnist has 60,000"):
        read_prepared(whole, array_record)


def test_images_of_another_shape_are_refused(array_record, small):
    colour = dataclasses.replace(small, image_shape=(28, 28, 3))
    with pytest.raises(DataError, match=r"an image has shape \(28, 28\)"):
        read_prepared(colour, array_record)


def damage_json(version: Path, layout: str) -> None:
    (version / "dataset_info.json").write_text("{")


def lose_shard(version: Path, layout: str) -> None:
    next(version.glob(f"*train.{layout}-*")).unlink()


def cut_shard(version: Path, layout: str) -> None:
    shard = next(version.glob(f"*train.{layout}-*"))
    shard.write_bytes(shard.read_bytes()[:-1000])


def flip_byte(version: Path, layout: str) -> None:
    shard = next(version.glob(f"*train.{layout}-*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)


@pytest.mark.parametrize("damage", [damage_json, lose_shard, cut_shard, flip_byte])
@pytest.mark.parametrize("layout", ["array_record", "tfrecord"])
def test_a_damaged_folder_is_one_line(request, layout, damage, small):
    folder = request.getfixturevalue(layout)
    damage(folder / "fashion_mnist" / "3.0.1", layout)
    with pytest.raises(DataError) as error:
        read_prepared(small, folder)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_source_needs_array_record_format_and_right_size(tfrecord, small):
    folder = find_prepared(small, tfrecord)
    assert folder is not None
    with pytest.raises(DataError, match="is in the format tfrecord, which cannot be read in any order; prepare it"):
        prepared_source(small, folder, "train")


def test_a_source_has_one_example_at_a_time(array_record, small):
    folder = find_prepared(small, array_record)
    assert folder is not None
    whole = read_prepared(small, array_record)
    assert whole is not None
    source = prepared_source(small, folder, "test")
    assert len(source) == 120
    assert [label for _, label in source[5:9]] == whole["test"].labels[5:9].tolist()
    with pytest.raises(DataError, match="'test' holds 120 examples, fashion_mnist has 121; remove the folder"):
        prepared_source(dataclasses.replace(small, test_size=121), folder, "test")
