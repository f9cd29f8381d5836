"""Tiny-ImageNet, Imagenette and ImageNet from small archives of the official layouts."""

import dataclasses
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxticket import data
from jaxticket.core.errors import DataError
from jaxticket.data import registry
from jaxticket.data.__main__ import main
from jaxticket.data.sources.archives import read_archives, read_examples
from jaxticket.data.sources.find import official_splits
from jaxticket.data.sources.tfds_folder import prepared_source

pytestmark = [pytest.mark.feature("data sets")]

# In the order of wnids.txt, which is not the order of the labels.
WNIDS = ("n03400000", "n01400000", "n02400000")
GREY = "n01400000_1.JPEG"


def jpeg(seed: int, size: tuple[int, int] = (64, 64), mode: str = "RGB") -> bytes:
    """A smooth image, so that what is near in it is near after compression too."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3)).astype(np.uint8))
    file = io.BytesIO()
    coarse.resize(size, Image.Resampling.BICUBIC).convert(mode).save(file, "JPEG")
    return file.getvalue()


def pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def official_order(split: str, keys: list[str]) -> list[str]:
    return sorted(keys, key=lambda key: int(hashlib.md5(f"{split}{key}".encode()).hexdigest(), 16))


def register(monkeypatch, name: str, train: int, test: int, **changes):
    row = data.spec(name)
    archives = tuple(dataclasses.replace(archive, size=0, sha256="") for archive in row.archives)
    changes = {"train_size": train, "test_size": test, "archives": archives} | changes
    registry.DATASETS.replace(dataclasses.replace(row, **changes))
    return data.spec(name)


def tar_of(files: dict[str, bytes], mode: str = "w") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The path of a small tiny-imagenet-200.zip, and what is in it: file name -> (JPEG, label), by split."""
    register(monkeypatch, "tiny_imagenet", 12, 6, class_names=("0", "1", "2"))
    path = tmp_path / "in" / "tiny-imagenet-200.zip"
    path.parent.mkdir()
    content: dict[str, dict[str, tuple[bytes, int]]] = {"train": {}, "validation": {}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny-imagenet-200/wnids.txt", "\n".join(WNIDS) + "\n")
        archive.writestr("tiny-imagenet-200/words.txt", "n01400000\tsomething\n")
        annotations = []
        for wnid in WNIDS:
            archive.writestr(f"tiny-imagenet-200/train/{wnid}/{wnid}_boxes.txt", "0 0 1 1")
            for i in range(4):
                name = f"{wnid}_{i}.JPEG"
                image = jpeg(len(content["train"]), mode="L" if name == GREY else "RGB")
                archive.writestr(f"tiny-imagenet-200/train/{wnid}/images/{name}", image)
                content["train"][name] = (image, sorted(WNIDS).index(wnid))
        for i in range(6):
            name, wnid = f"val_{i}.JPEG", WNIDS[i % 3]
            image = jpeg(100 + i)
            archive.writestr(f"tiny-imagenet-200/val/images/{name}", image)
            annotations.append(f"{name}\t{wnid}\t0\t0\t62\t62\n")
            content["validation"][name] = (image, sorted(WNIDS).index(wnid))
        archive.writestr("tiny-imagenet-200/val/val_annotations.txt", "".join(annotations))
        archive.writestr("tiny-imagenet-200/test/images/test_0.JPEG", jpeg(7))
    return path, content


def test_tiny_imagenet_prepared_and_loaded_directly_is_same(tiny, tmp_path):
    import tensorflow_datasets as tfds

    path, content = tiny
    prepared = tmp_path / "prepared"
    assert main(["prepare", "tiny_imagenet", "--archive", str(path), "--folder", str(prepared)]) == 0
    (tmp_path / "direct").mkdir()
    path.parent.rename(tmp_path / "direct" / "tiny_imagenet")
    loaded = [data.load("tiny_imagenet", folder=folder, val_fraction=0.0) for folder in (prepared, tmp_path / "direct")]
    for ours, split in (("train", "train"), ("test", "validation")):
        keys = official_order(split, list(content[split]))
        theirs = tfds.data_source("tiny_imagenet", split=split, data_dir=prepared)
        assert [example["file_name"].decode() for example in theirs] == keys
        images = np.stack([pixels(content[split][key][0]) for key in keys])
        labels = [content[split][key][1] for key in keys]
        # Grey files too come out in colour, whoever reads the folder.
        assert np.array_equal(np.stack([example["image"] for example in theirs]), images)
        assert [example["label"] for example in theirs] == labels
        for dataset in loaded:
            assert np.array_equal(getattr(dataset, ours).images, images)
            assert getattr(dataset, ours).labels.tolist() == labels


def test_a_damaged_tiny_imagenet_is_one_line(tiny, tmp_path):
    path, _ = tiny
    (tmp_path / "tiny_imagenet").mkdir()
    damaged = tmp_path / "tiny_imagenet" / path.name
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    for bad in (bytes(content), bytes(content[:-50]), b"not a zip"):
        damaged.write_bytes(bad)
        with pytest.raises(DataError) as error:
            read_archives(data.spec("tiny_imagenet"), tmp_path)
        assert str(damaged) in str(error.value)
        assert "\n" not in str(error.value)


def test_imagenette_is_scaled_and_cropped_in_middle(tmp_path, monkeypatch):
    spec = register(monkeypatch, "imagenette", 3, 2)
    sizes = {
        "a.JPEG": (160, 160),
        "b.JPEG": (213, 160),
        "c.JPEG": (80, 120),
        "d.JPEG": (160, 200),
        "e.JPEG": (160, 160),
    }
    wnids = {
        "a.JPEG": "n01440764",
        "b.JPEG": "n03888257",
        "c.JPEG": "n02102040",
        "d.JPEG": "n03000684",
        "e.JPEG": "n01440764",
    }
    files = {name: jpeg(i, size, "L" if name == "d.JPEG" else "RGB") for i, (name, size) in enumerate(sizes.items())}
    contents = {
        f"imagenette2-160/{'train' if name < 'd' else 'val'}/{wnids[name]}/{name}": files[name] for name in files
    }
    (tmp_path / "imagenette").mkdir()
    path = tmp_path / "imagenette" / "imagenette2-160.tgz"
    path.write_bytes(tar_of({"imagenette2-160/noisy.csv": b"", **contents}, "w:gz"))
    direct = read_archives(spec, tmp_path)
    assert direct is not None
    assert main(["prepare", "imagenette", "--folder", str(tmp_path)]) == 0
    assert (tmp_path / "imagenette" / "160px-v2" / "1.0.0" / "dataset_info.json").is_file()
    prepared = data.load("imagenette", folder=tmp_path, val_fraction=0.0)
    label = {"n01440764": 0, "n02102040": 1, "n03000684": 3, "n03888257": 9}
    for split, theirs, names in (("train", "train", "abc"), ("test", "validation", "de")):
        keys = official_order(theirs, [f"{name}.JPEG" for name in names])
        images, labels = direct[split]
        assert np.array_equal(images, getattr(prepared, split).images)
        assert labels.tolist() == getattr(prepared, split).labels.tolist() == [label[wnids[key]] for key in keys]
        for image, key in zip(images, keys, strict=True):
            whole = pixels(files[key])
            if key == "b.JPEG":
                assert np.array_equal(image, whole[:, 26:186])
            elif key == "d.JPEG":
                assert np.array_equal(image, whole[20:180])
            elif key == "c.JPEG":
                assert np.abs(image[::2, ::2].astype(int) - whole[20:100]).mean() < 8
            else:
                assert np.array_equal(image, whole)


@pytest.fixture
def imagenet(tmp_path, monkeypatch) -> tuple[Path, dict[str, bytes]]:
    register(monkeypatch, "imagenet2012", 4, 3)
    files = {f"{wnid}_{i}.JPEG": jpeg(i, (50 + i, 40)) for wnid in ("n01440764", "n01443537") for i in range(2)}
    inner = {
        f"{wnid}.tar": tar_of({name: content for name, content in files.items() if name.startswith(wnid)})
        for wnid in ("n01443537", "n01440764")
    }
    validation = {f"ILSVRC2012_val_0000000{i}.JPEG": jpeg(i, (30, 30 + i)) for i in (2, 1, 3)}
    folder = tmp_path / "tars"
    folder.mkdir()
    (folder / "ILSVRC2012_img_train.tar").write_bytes(tar_of(inner))
    (folder / "ILSVRC2012_img_val.tar").write_bytes(tar_of(validation))
    return folder, files | validation


def test_imagenet_keeps_its_jpeg_files_as_they_are(imagenet, tmp_path, capsys):
    import tensorflow_datasets as tfds

    folder, files = imagenet
    out = tmp_path / "out"
    assert main(["prepare", "imagenet2012", "--archive", str(folder), "--folder", str(out)]) == 0
    assert capsys.readouterr().out == f"imagenet2012: {out}/imagenet2012/5.1.0\n"
    # The first three lines of the official labels of the validation images: n01751748, n09193705, n02105855.
    labels = {"n01440764": 0, "n01443537": 1, "ILSVRC2012": {"1": 65, "2": 970, "3": 230}}
    for split in ("train", "validation"):
        decoders = {"image": tfds.decode.SkipDecoding()}
        theirs = list(tfds.data_source("imagenet2012", split=split, data_dir=out, decoders=decoders))
        keys = [example["file_name"].decode() for example in theirs]
        wanted = [name for name in files if name.startswith("ILSVRC2012") == (split == "validation")]
        assert keys == official_order(split, wanted)
        for key, example in zip(keys, theirs, strict=True):
            assert example["image"] == files[key]
            label = labels[key.split("_")[0]]
            assert example["label"] == (label if isinstance(label, int) else label[key[-6]])
        # What training reads.
        source = prepared_source(
            data.spec("imagenet2012"), out / "imagenet2012" / "5.1.0", "train" if split == "train" else "test"
        )
        assert [source[row][0] for row in range(len(source))] == [files[key] for key in keys]
        assert [label for _, label in source[:]] == [int(example["label"]) for example in theirs]
    with pytest.raises(DataError, match="it is streamed from the folder that `jaxticket data"):
        official_splits(data.spec("imagenet2012"), out)


def test_a_truncated_imagenet_is_one_line(imagenet):
    folder, _ = imagenet
    path = folder / "ILSVRC2012_img_train.tar"
    paths = {file.name: file for file in folder.iterdir()}
    whole = path.read_bytes().rstrip(b"\0")
    for share in (0.0, 0.1, 0.4, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(DataError) as error:
            list(read_examples(data.spec("imagenet2012"), paths, "train"))
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)
