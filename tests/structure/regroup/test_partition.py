"""The partition finds rows that have their columns in common."""

import sys

import numpy as np
import pytest

import jaxticket as jt
from jaxticket.core.errors import MaskError
from jaxticket.structure.regroup.partition import partition

pytestmark = [pytest.mark.feature("refill and regroup")]


def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of 64 rows in four groups of 16, their clean mask [64, 80], and that with 3 % of it flipped."""
    random = np.random.default_rng(7)
    labels = random.permutation(np.repeat(np.arange(4), 16))
    clean = np.arange(80) // 20 == labels[:, None]
    return labels, clean, clean ^ (random.random((64, 80)) < 0.03)


def test_planted_groups_are_found():
    """Planted groups: four pure parts, and 'min_count' returns the planted mask."""
    labels, clean, noisy = planted()
    parts = partition(noisy, 4)
    assert [len(part) for part in parts] == [16, 16, 16, 16]
    assert [len(set(labels[part])) for part in parts] == [1, 1, 1, 1]

    found = jt.regroup({"fc/kernel": noisy.T}, groups=4, rule="min_count", t2=8)
    assert np.array_equal(found.mask["fc/kernel"], clean.T)
    layer = found.report.layers["fc/kernel"]
    assert layer.new_density == 0.25
    assert round(layer.density, 4) == 0.2652
    assert round(layer.coverage, 3) == 0.918


@pytest.mark.parametrize("groups", [1, 2, 3, 5, 8, 20, 30])
def test_parts_are_disjoint_complete_and_alike_in_size(groups):
    kept = np.random.default_rng(0).random((20, 30)) < 0.3
    parts = partition(kept, groups)
    assert len(parts) == min(groups, 20)
    assert sorted(np.concatenate(parts)) == list(range(20))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 2
    for again, part in zip(partition(kept, groups), parts, strict=True):
        assert np.array_equal(again, part)


def test_rows_that_are_all_alike_are_halved():
    assert [len(part) for part in partition(np.ones((9, 4), bool), 4)] == [3, 2, 2, 2]


def test_swaps_mend_a_bad_start(monkeypatch):
    """With halves by row number to begin with, the swaps alone find the planted groups."""
    labels, _, noisy = planted()
    module = sys.modules[partition.__module__]
    monkeypatch.setattr(module, "_start", lambda shared, size, random: np.arange(len(shared)) < size)
    assert [len(set(labels[part])) for part in partition(noisy, 4)] == [1, 1, 1, 1]


def test_a_missing_partitioner_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "mtkahypar", None)
    with pytest.raises(MaskError, match="the package is not installed; install mtkahypar or use"):
        jt.regroup({"fc/kernel": planted()[2].T}, groups=4, partitioner="mtkahypar")


def test_mtkahypar_finds_the_planted_groups():
    pytest.importorskip("mtkahypar", reason="an optional partitioner")
    labels, _, noisy = planted()
    parts = partition(noisy, 4, partitioner="mtkahypar")
    assert [len(set(labels[part])) for part in parts] == [1, 1, 1, 1]
    for again, part in zip(partition(noisy, 4, partitioner="mtkahypar"), parts, strict=True):
        assert np.array_equal(again, part)
