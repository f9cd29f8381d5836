"""The mutation benchmark still fits the sources; whether the tests notice its changes, it says itself."""

import importlib
from pathlib import Path

import pytest

pytestmark = [pytest.mark.feature("documents and public names")]

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def promises(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.mutations").PROMISES


def test_every_mutation_applies_exactly_once(promises):
    mutations = [mutation for _, some in promises.values() for mutation in some]
    counts = {one: (ROOT / "jaxticket" / one.file).read_text().count(one.old) for one in mutations}
    assert mutations
    assert {(one.file, one.old): count for one, count in counts.items() if count != 1} == {}


def test_every_guarding_test_exists(promises):
    assert [test for tests, _ in promises.values() for test in tests if not (ROOT / "tests" / test).exists()] == []
