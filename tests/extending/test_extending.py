"""Each example is one file outside of the package that the command line runs, and that the documentation shows."""

import json
from pathlib import Path

import pytest

from jaxticket.main import main

pytestmark = pytest.mark.feature("extensions")

FOLDER = Path(__file__).parent
EXAMPLES = [path for path in sorted(FOLDER.glob("*.py")) if not path.name.startswith("test_")]
DOCUMENT = FOLDER.parents[1] / "docs" / "extending.md"
LENET300 = {"fc1/kernel": 64 * 300, "fc2/kernel": 300 * 100}
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


def test_loss(tmp_path, capsys):
    rows = run("loss.py", tmp_path)["rows"]
    assert all(0 <= row["test_covered"] <= 1 and row["test_mean_absolute_error"] > 0 for row in rows)
    assert rows[0]["test_accuracy"] < 1
    assert "what this run calls accuracy is r2" in capsys.readouterr().out


@pytest.fixture(scope="module")
def oneshot(tmp_path_factory):
    """Runs an example of pruning once; all share the dense network."""
    workdir = tmp_path_factory.mktemp("oneshot")

    def run_example(example, *arguments):
        """The row of the pruned network, and what its stage was made from."""
        short = ("--config.train.epochs=1", "--config.sparsities=(0.5,)", f"--workdir={workdir}", *arguments)
        before = set(workdir.glob("*/summary.json"))
        assert main([f"--config={FOLDER / example}", *short]) == 0
        (summary,) = set(workdir.glob("*/summary.json")) - before
        row = next(row for row in json.loads(summary.read_text())["rows"] if row["level"] == 1)
        stage = max(workdir.glob("stages/prune-*/manifest.json"), key=lambda path: path.stat().st_mtime_ns)
        return row, json.loads(stage.read_text())["made"]["from"]

    return run_example


@pytest.mark.smoke
def test_criterion(oneshot):
    row, made = oneshot("criterion.py")
    assert row["sparsity"] == 0.5
    assert made["inputs"]["initial"].startswith("init-")
    assert made["config"]["source"]


def test_scope(oneshot):
    row, made = oneshot("scope.py")
    assert row["sparsity"] == 0.5
    kept = {path: (1 - row["layer_sparsity"][path]) * size for path, size in LENET300.items()}
    shares = [kept[path] / size**0.5 for path, size in LENET300.items()]
    assert shares == pytest.approx([shares[0]] * 2, rel=1e-3)
    assert made["config"]["source"]


def test_granularity(oneshot):
    row, made = oneshot("granularity.py")
    units = [row["layer_sparsity"][path] * inputs / 4 for path, inputs in (("fc1/kernel", 64), ("fc2/kernel", 300))]
    assert units == [round(number) for number in units]
    assert made["config"]["source"]


def test_a_mistaken_granularity_is_named(tmp_path, capsys):
    mistake = "--config.prune.granularity=inputs:0"
    assert main([f"--config={FOLDER / 'granularity.py'}", f"--workdir={tmp_path}", mistake]) == 2
    assert "config.prune.granularity='inputs:0': must be 'unstructured', " in capsys.readouterr().err
