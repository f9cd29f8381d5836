"""Each example is one file outside of the package that the command line runs, and that the documentation shows."""

import json
from pathlib import Path

import pytest

from jaxticket.main import main

FOLDER = Path(__file__).parent
EXAMPLES = [path for path in sorted(FOLDER.glob("*.py")) if not path.name.startswith("test_")]
DOCUMENT = FOLDER.parents[1] / "docs" / "extending.md"
examples = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)


@examples
def test_documentation_shows_the_file(example):
    assert f"`tests/extending/{example.name}`" in DOCUMENT.read_text()
    assert f"```python\n{example.read_text()}```" in DOCUMENT.read_text()


def run(example, workdir, *arguments):
    """The summary of one short run."""
    short = ("--config.train.epochs=1", "--config.levels=1", f"--workdir={workdir}", *arguments)
    assert main([f"--config={FOLDER / example}", *short]) == 0
    (summary,) = workdir.glob("*/summary.json")
    return json.loads(summary.read_text())


def test_linen_network(tmp_path):
    rows = run("linen_network.py", tmp_path, "--config.model.options={'depth': 1}")["rows"]
    assert sorted(rows[1]["layer_sparsity"]) == ["fc1/kernel"]


def test_a_mistaken_option_of_a_network(tmp_path, capsys):
    mistake = "--config.model.options={'depth': 0}"
    assert main([f"--config={FOLDER / 'linen_network.py'}", f"--workdir={tmp_path}", mistake]) == 2
    assert "config.model.options.depth=0: must be at least 1" in capsys.readouterr().err


def test_nnx_network(tmp_path):
    rows = run("nnx_network.py", tmp_path)["rows"]
    assert sorted(rows[1]["layer_sparsity"]) == ["conv/kernel"]
    assert rows[1]["sparsity"] == pytest.approx(0.2, abs=0.001)


def test_data_set(tmp_path):
    rows = run("data_set.py", tmp_path)["rows"]
    assert rows[1]["test_accuracy"] > 0.5
