import dataclasses
import importlib.util
from pathlib import Path

import pytest

from jaxticket.core.errors import ConfigError
from jaxticket.data import names, spec
from jaxticket.data.own.schemes import forms
from jaxticket.data.sources import find

pytestmark = [pytest.mark.feature("data sets")]


def test_names_are_sorted_and_known_without_data():
    assert names() == tuple(sorted(names()))
    assert len(names()) == 14
    assert spec("digits").image_shape == (8, 8, 1)
    assert spec("mnist").image_shape == spec("fashion_mnist").image_shape == (28, 28, 1)
    assert spec("cifar10").image_shape == spec("emoji32").image_shape == (32, 32, 3)
    classes = {name: spec(name).num_classes for name in names() if spec(name).num_classes != 10}
    assert classes == {
        "cifar100": 100,
        "cifar100_coarse": 20,
        "emnist": 47,
        "emoji32": 9,
        "imagenet2012": 1000,
        "imagenet_resized/32x32": 1000,
        "tiny_imagenet": 200,
    }
    assert spec("fashion_mnist").class_names[9] == "Ankle boot"
    assert round(spec("fashion_mnist").download_bytes / 1e6, 1) == 30.9
    assert spec("mnist").disk_bytes == 70_000 * (28 * 28 + 4)


@pytest.mark.parametrize("name", names())
def test_every_row_is_whole(name):
    row = spec(name)
    assert row.name == name
    assert set(row.sources) <= set(find.SOURCES)
    assert len(set(row.class_names)) == row.num_classes
    assert not row.archives or bool(row.url) != bool(row.access), "either an address, or how to do without"
    for archive in row.archives:
        assert len(archive.sha256) == (64 if archive.size else 0)
        assert len(archive.content_sha256) in (0, 64)
        assert not row.url or archive.sha256, "what is downloaded can be verified"
    channels = row.image_shape[2]
    assert len(row.mean) == len(row.std) in ((0,) if channels == 1 else (0, 3))
    assert all(0 < value < 1 for value in row.mean + row.std)
    assert set(row.augment) <= {"crop_padding", "flip", "rotation", "resized_crop"}
    with pytest.raises(TypeError):
        row.augment["flip"] = True  # type: ignore[index]
    assert hash(row) == hash(dataclasses.replace(row))


def test_the_customary_augmentation():
    found = {name: dict(spec(name).augment) for name in names() if spec(name).augment}
    assert found == {
        "cifar10": {"crop_padding": 4, "flip": True},
        "cifar100": {"crop_padding": 4, "flip": True},
        "cifar100_coarse": {"crop_padding": 4, "flip": True},
        "emoji32": {"crop_padding": 4},
        "imagenet2012": {"resized_crop": 224, "flip": True},
        "imagenet_resized/32x32": {"crop_padding": 4, "flip": True},
        "imagenette": {"resized_crop": 128, "flip": True},
        "svhn_cropped": {"crop_padding": 4},
        "tiny_imagenet": {"rotation": 20.0, "flip": True},
    }
    assert [name for name in names() if spec(name).stream] == ["imagenet2012"]


@pytest.mark.parametrize(
    ("name", "fraction", "sizes"),
    [
        ("digits", 0.1, (1293, 144, 360)),
        ("digits", 0.0, (1437, 0, 360)),
        ("fashion_mnist", 0.1, (54_000, 6_000, 10_000)),
        ("fashion_mnist", 1 / 12, (55_000, 5_000, 10_000)),
    ],
)
def test_split_sizes(name, fraction, sizes):
    assert spec(name).split_sizes(fraction) == sizes


@pytest.mark.parametrize("fraction", [1.0, -0.1, float("nan"), 0.9999])
def test_a_fraction_that_leaves_nothing_is_refused(fraction):
    with pytest.raises(ConfigError, match="val_fraction"):
        spec("digits").split_sizes(fraction)


def test_unknown_name_is_told_known_ones_and_nearest():
    with pytest.raises(ConfigError) as error:
        spec("fashon_mnist")
    assert str(error.value) == (
        f"data set 'fashon_mnist': must be one of {', '.join([*names(), *forms()])}; did you mean 'fashion_mnist'?"
    )


OFFICIAL = [name for name in names() if name not in ("digits", "emoji32", "tiny_imagenet")]


@pytest.mark.parametrize("name", OFFICIAL)
def test_archives_are_those_of_tensorflow_datasets(name):
    found = importlib.util.find_spec("tensorflow_datasets")
    assert found is not None
    assert found.submodule_search_locations
    package, row = Path(found.submodule_search_locations[0]), spec(name)
    lists = (
        package / "url_checksums" / f"{row.folder_name}.txt",
        package / "datasets" / row.folder_name / "checksums.tsv",
    )
    (path,) = [path for path in lists if path.is_file()]
    lines = [line.split()[:3] for line in path.read_text().splitlines()]
    theirs = {
        (url.rpartition("/")[2], size, sha256): url.replace("//Imagenet", "/Imagenet") for url, size, sha256 in lines
    }
    ours = {(archive.name, str(archive.size), archive.sha256) for archive in row.archives}
    assert ours <= theirs.keys()
    if row.url:
        # One list has a slash twice.
        assert {theirs[archive].rpartition("/")[0].rstrip("/") + "/" for archive in ours} == {row.url}


@pytest.mark.parametrize("name", OFFICIAL)
def test_facts_are_those_of_tensorflow_datasets(name, tmp_path):
    import tensorflow_datasets as tfds

    row = spec(name)
    builder = tfds.builder(row.prepared_name, data_dir=tmp_path)
    assert (str(builder.version), builder.data_path.parts[-1]) == (row.version, row.version)
    features = builder.info.features
    assert features is not None
    assert features[row.label_key].num_classes == row.num_classes
    assert features["image"].shape in (row.image_shape, (None, None, 3))
    names_of_classes = features[row.label_key].names
    if names_of_classes[0] not in ("0", "n01440764", "n02119789") and name not in ("cifar10", "cifar100"):
        assert tuple(names_of_classes) == row.class_names
    if name == "emnist":
        assert (builder.builder_config.train_examples, builder.builder_config.test_examples) == (112_800, 18_800)
