"""CIFAR in its official binary layout, from an archive of a few random images to arrays and to a prepared folder."""

import dataclasses
import hashlib
import io
import shutil
import tarfile
from typing import NamedTuple

import numpy as np
import pytest

from jaxticket import data
from jaxticket.core.errors import DataError
from jaxticket.data import registry
from jaxticket.data.__main__ import main
from jaxticket.data.sources.archives import read_archives
from jaxticket.data.specs import Archive

pytestmark = [pytest.mark.feature("data sets")]

TRAIN, TEST = 40, 12


class Raw(NamedTuple):
    archive: bytes
    images: dict[str, np.ndarray]
    labels: dict[str, dict[str, np.ndarray]]


def write_tar(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def make(folder: str, batches: dict[str, list[str]], names: dict[str, tuple[str, tuple[str, ...]]]) -> Raw:
    """`names`: the label, its file and its classes, in the order of the label bytes."""
    rng = np.random.default_rng(1)
    files: dict[str, bytes] = {}
    images, labels = {}, {}
    for split, size in (("train", TRAIN), ("test", TEST)):
        images[split] = rng.integers(0, 256, (size, 32, 32, 3)).astype(np.uint8)
        labels[split] = {key: rng.integers(0, len(classes), size) for key, (_, classes) in names.items()}
        per_batch = size // len(batches[split])
        for number, batch in enumerate(batches[split]):
            content = b""
            for row in range(number * per_batch, (number + 1) * per_batch):
                content += bytes(int(labels[split][key][row]) for key in names)
                content += b"".join(images[split][row, :, :, channel].tobytes() for channel in range(3))
            files[f"{folder}/{batch}"] = content
    for file, classes in names.values():
        files[f"{folder}/{file}"] = "\n".join(classes).encode() + b"\n\n"
    files[f"{folder}/readme.html"] = b"<html>"
    # The order in the official archive is not that of the batches.
    return Raw(write_tar(dict(sorted(files.items(), reverse=True))), images, labels)


@pytest.fixture(scope="session")
def cifar10() -> Raw:
    batches = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    names = {"label": ("batches.meta.txt", data.spec("cifar10").class_names)}
    return make("cifar-10-batches-bin", batches, names)


@pytest.fixture(scope="session")
def cifar100() -> Raw:
    names = {
        "coarse_label": ("coarse_label_names.txt", data.spec("cifar100_coarse").class_names),
        "label": ("fine_label_names.txt", data.spec("cifar100").class_names),
    }
    return make("cifar-100-binary", {"train": ["train.bin"], "test": ["test.bin"]}, names)


@pytest.fixture
def small(monkeypatch, cifar10, cifar100):
    """The small archives' facts in the place of the real ones'."""
    for name, raw in {"cifar10": cifar10, "cifar100": cifar100, "cifar100_coarse": cifar100}.items():
        real = data.spec(name)
        checksum = hashlib.sha256(raw.archive).hexdigest()
        archive = Archive(real.archives[0].name, len(raw.archive), checksum)
        row = dataclasses.replace(real, train_size=TRAIN, test_size=TEST, archives=(archive,))
        registry.DATASETS.replace(row)


def official_order(split: str, size: int) -> list[int]:
    return sorted(range(size), key=lambda key: int(hashlib.md5(f"{split}{key}".encode()).hexdigest(), 16))


def place(raw: Raw, folder, name: str):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / data.spec(name).archives[0].name
    path.write_bytes(raw.archive)
    return path


@pytest.mark.usefixtures("small")
def test_cifar10_is_that_of_tensorflow_datasets(cifar10, tmp_path, capsys):
    import tensorflow_datasets as tfds

    path = place(cifar10, tmp_path / "elsewhere", "cifar10").rename(tmp_path / "elsewhere" / "my copy.tgz")
    prepared = tmp_path / "prepared"
    assert main(["prepare", "cifar10", "--archive", str(path), "--folder", str(prepared)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"cifar10: {prepared}/cifar10/3.0.2",
        f"decoded copy: {prepared}/cache/cifar10-3.0.2",
    ]
    assert err == ""
    place(cifar10, tmp_path / "direct" / "cifar10", "cifar10")
    by_hand = data.load("cifar10", folder=tmp_path / "direct", val_fraction=0.0)
    from_copy = data.load("cifar10", folder=prepared, val_fraction=0.0)
    shutil.rmtree(prepared / "cache")
    from_folder = data.load("cifar10", folder=prepared, val_fraction=0.0)
    for split, size in (("train", TRAIN), ("test", TEST)):
        rows = official_order(split, size)
        theirs = tfds.data_source("cifar10", split=split, data_dir=prepared)
        assert [example["id"].decode() for example in theirs] == [f"{split}_{row:05d}" for row in rows]
        images = np.stack([example["image"] for example in theirs])
        labels = [example["label"] for example in theirs]
        assert np.array_equal(images, cifar10.images[split][rows])
        assert labels == cifar10.labels[split]["label"][rows].tolist()
        for ours in (by_hand, from_copy, from_folder):
            assert np.array_equal(getattr(ours, split).images, images)
            assert getattr(ours, split).labels.tolist() == labels
    names = tfds.builder_from_directory(prepared / "cifar10" / "3.0.2").info.features["label"].names
    assert tuple(names) == data.spec("cifar10").class_names


@pytest.mark.usefixtures("small")
def test_cifar100_has_fine_and_coarse_labels(cifar100, tmp_path):
    place(cifar100, tmp_path / "cifar100", "cifar100")
    rows = official_order("test", TEST)
    direct = {name: data.load(name, folder=tmp_path).test for name in ("cifar100", "cifar100_coarse")}
    assert main(["prepare", "cifar100_coarse", "--folder", str(tmp_path / "new"), "--archive", str(tmp_path)]) == 2
    assert (
        main(["prepare", "cifar100_coarse", "--folder", str(tmp_path / "new"), "--archive", str(tmp_path / "cifar100")])
        == 0
    )
    prepared = {name: data.load(name, folder=tmp_path / "new").test for name in ("cifar100", "cifar100_coarse")}
    for splits in (direct, prepared):
        for name, key in (("cifar100", "label"), ("cifar100_coarse", "coarse_label")):
            assert np.array_equal(splits[name].images, cifar100.images["test"][rows])
            assert splits[name].labels.tolist() == cifar100.labels["test"][key][rows].tolist()


@pytest.mark.usefixtures("small")
def test_a_foreign_archive_is_refused_by_its_checksum(cifar10, cifar100, tmp_path):
    path = place(cifar10, tmp_path / "cifar10", "cifar10")
    same_size = cifar10.archive[:-1] + bytes([cifar10.archive[-1] ^ 1])
    for content in (cifar100.archive, same_size):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"is not cifar-10-binary\.tar\.gz of cifar10 .*; put the right file there"):
            data.load("cifar10", folder=tmp_path)


def unchecked(name: str):
    """The facts without a checksum, so that only the content can tell."""
    row = data.spec(name)
    return dataclasses.replace(row, archives=(Archive(row.archives[0].name, 0, ""),))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("share", [0.3, 0.9, 0.0])
def test_a_truncated_archive_is_one_line(cifar10, tmp_path, share):
    path = place(cifar10, tmp_path / "cifar10", "cifar10")
    path.write_bytes(cifar10.archive[: int(share * len(cifar10.archive))])
    with pytest.raises(DataError) as error:
        read_archives(unchecked("cifar10"), tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"other/file": b""}, "has no cifar-10-batches-bin/batches.meta.txt"),
        ({"cifar-10-batches-bin/batches.meta.txt": b"cat\ndog\n"}, "does not list the classes of cifar10"),
        ({"cifar-10-batches-bin/data_batch_2.bin": bytes(3073 * 8 - 1)}, "data_batch_2.bin ends within an image"),
        ({"cifar-10-batches-bin/data_batch_2.bin": bytes(3073 * 7)}, "'train' holds 39 images, cifar10 has 40"),
        ({"cifar-10-batches-bin/data_batch_2.bin": bytes(3073 * 9)}, "holds more than 40 images"),
        ({"cifar-10-batches-bin/data_batch_2.bin": b"\x0a" + bytes(3072)}, "has the label 10, expected 0 to 9"),
    ],
)
def test_an_archive_with_other_content_is_one_line(cifar10, tmp_path, files, message):
    contents = {}
    with tarfile.open(fileobj=io.BytesIO(cifar10.archive)) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            contents[member.name] = content.read()
    (tmp_path / "cifar10").mkdir()
    path = tmp_path / "cifar10" / "cifar-10-binary.tar.gz"
    path.write_bytes(write_tar(files if "other/file" in files else contents | files))
    with pytest.raises(DataError) as error:
        read_archives(unchecked("cifar10"), tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("small")
def test_a_damaged_archive_leaves_no_prepared_folder(cifar10, tmp_path, monkeypatch, capsys):
    registry.DATASETS.replace(unchecked("cifar10"))
    path = place(cifar10, tmp_path / "in", "cifar10")
    path.write_bytes(cifar10.archive[:-20000])
    assert main(["prepare", "cifar10", "--archive", str(path), "--folder", str(tmp_path / "out")]) == 2
    _, err = capsys.readouterr()
    assert err.startswith(f"error: {path}: ")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out" / "cifar10" / "3.0.2").exists()
    assert (
        main(
            [
                "prepare",
                "cifar10",
                "--archive",
                str(place(cifar10, path.parent, "cifar10")),
                "--folder",
                str(tmp_path / "out"),
            ]
        )
        == 0
    )
