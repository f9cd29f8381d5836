import importlib.util
from pathlib import Path

import pytest

from jaxticket.core.errors import ConfigError
from jaxticket.data import names, registry, sources, spec


def test_names_are_sorted_and_their_facts_are_known_without_data():
    assert names() == ("digits", "fashion_mnist", "mnist")
    assert spec("digits").image_shape == (8, 8, 1)
    assert spec("mnist").image_shape == spec("fashion_mnist").image_shape == (28, 28, 1)
    assert [spec(name).num_classes for name in names()] == [10, 10, 10]
    assert spec("fashion_mnist").class_names[9] == "Ankle boot"
    assert round(spec("fashion_mnist").download_bytes / 1e6, 1) == 30.9
    assert spec("mnist").disk_bytes == 70_000 * (28 * 28 + 4)


@pytest.mark.parametrize("name", names())
def test_every_row_is_whole(name):
    row = spec(name)
    assert row.name == name
    assert set(row.sources) <= set(sources.SOURCES)
    assert len(set(row.class_names)) == row.num_classes
    assert bool(row.archives) == bool(row.url)
    assert all(len(a.sha256) == len(a.content_sha256) == 64 and a.size > 0 for a in row.archives)


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


def test_an_unknown_name_is_told_the_known_ones_and_the_nearest():
    with pytest.raises(ConfigError) as error:
        spec("fashon_mnist")
    assert str(error.value) == (
        "data set 'fashon_mnist': must be one of digits, fashion_mnist, mnist; did you mean 'fashion_mnist'?"
    )


@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_archives_are_those_of_tensorflow_datasets(name):
    found = importlib.util.find_spec("tensorflow_datasets")
    assert found is not None
    assert found.submodule_search_locations
    lines = (Path(found.submodule_search_locations[0]) / "url_checksums" / f"{name}.txt").read_text()
    theirs = {tuple(line.split("\t")[:3]) for line in lines.splitlines()}
    row = registry.spec(name)
    assert {(row.url + a.name, str(a.size), a.sha256) for a in row.archives} == theirs
