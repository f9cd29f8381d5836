import dataclasses
import gzip

import numpy as np
import pytest

from jaxticket.core.errors import DataError
from jaxticket.data import registry
from jaxticket.data.sources.archives import find_archives, read_archives
from jaxticket.data.sources.tfds_order import hash_order

pytestmark = [pytest.mark.feature("data sets")]


def test_rows_come_in_hash_order(small, raw, place_archives, tmp_path):
    place_archives(tmp_path / "fashion_mnist")
    splits = read_archives(small, tmp_path)
    assert splits is not None
    rows = hash_order("test", 120)
    assert np.array_equal(splits["test"].images[..., 0], raw["t10k-images-idx3-ubyte"][rows])
    assert np.array_equal(splits["test"].labels, raw["t10k-labels-idx1-ubyte"][rows])
    assert splits["train"].images.shape == (300, 28, 28, 1)
    assert splits["train"].labels.dtype == np.int32


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("place", ["fashion_mnist", "downloads/manual", "debian"])
def test_every_place_plain_or_compressed(small, place_archives, tmp_path, place, plain):
    row = dataclasses.replace(small, debian_folder=str(tmp_path / "debian"))
    assert read_archives(row, tmp_path) is None
    place_archives(tmp_path / place, plain=plain)
    assert read_archives(row, tmp_path) is not None


def test_own_folder_comes_before_incomplete_one(small, place_archives, tmp_path):
    own = place_archives(tmp_path / "fashion_mnist")
    manual = place_archives(tmp_path / "downloads" / "manual")
    found = find_archives(small, tmp_path)
    assert found is not None
    assert {path.parent for path in found.values()} == {own}
    (own / "t10k-labels-idx1-ubyte.gz").unlink()
    found = find_archives(small, tmp_path)
    assert found is not None
    assert {path.parent for path in found.values()} == {manual}


def test_a_file_with_other_content_is_refused(small, raw, place_archives, tmp_path):
    own = place_archives(tmp_path / "fashion_mnist")
    path = own / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(DataError, match=r"is not t10k-labels-idx1-ubyte\.gz of fashion_mnist; put"):
        read_archives(small, tmp_path)


def test_the_files_of_another_data_set_are_named(small, registered, place_archives, tmp_path):
    place_archives(tmp_path / "mnist")
    renamed = dataclasses.replace(
        small,
        name="mnist",
        archives=tuple(
            dataclasses.replace(archive, content_sha256=real.content_sha256)
            for archive, real in zip(small.archives, registry.spec("mnist").archives, strict=True)
        ),
    )
    with pytest.raises(DataError, match=r"of mnist but train-images-idx3-ubyte\.gz of fashion_mnist"):
        read_archives(renamed, tmp_path)
