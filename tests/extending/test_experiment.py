"""The one-file experiment is planned, run, resumed and reported by the command line, like the package's own."""

import json
from pathlib import Path

import pytest

from jaxticket.lab.registry import experiments
from jaxticket.main import main

pytestmark = [pytest.mark.feature("extensions")]

FILE = Path(__file__).with_name("experiment.py")
SMALL = ["--config.seeds=(0,)", "--config.train.epochs=1", "--config.train.batch_size=128"]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("twin")


def run(workdir, *arguments):
    """The exit code."""
    return main([f"--config={FILE}", f"--workdir={workdir}", *SMALL, *arguments])


@pytest.fixture(scope="module")
def finished(workdir):
    """The folder of a run."""
    with experiments.restored():
        assert run(workdir) == 0
    return next(workdir.glob("random_twin-*"))


def rows_of(folder):
    return {row["branch"]: row for row in json.loads((folder / "summary.json").read_text())["rows"]}


def test_a_plan_names_its_networks(workdir, capsys):
    assert run(workdir, "--dry_run") == 0
    assert "random-1-0" in capsys.readouterr().out


def test_a_wrong_value_is_one_line(workdir, capsys):
    assert run(workdir, "--config.sparsity=1.5") == 2
    assert capsys.readouterr().err.startswith("error: config.sparsity=1.5: must be less than 1")


def test_rows_have_its_column(finished):
    rows = rows_of(finished)
    assert list(rows) == ["dense", "magnitude", "random"]
    assert rows["magnitude"]["layer_sparsity"] == rows["random"]["layer_sparsity"]
    assert rows["magnitude"]["agreement"] == 1
    assert 0.1 < rows["random"]["agreement"] < 0.3


def test_again_trains_nothing(finished, workdir):
    assert run(workdir) == 0
    assert all(row["cached"] for row in rows_of(finished).values())


def test_the_report_has_its_title_column_and_section(finished):
    page = (finished / "report.html").read_text()
    assert "Random twins" in page
    assert '<section id="agreement"' in page
    assert "agreement" in (finished / "tables" / "rows.csv").read_text().splitlines()[0]


def test_documentation_shows_the_file():
    document = FILE.parents[2] / "docs" / "extending.md"
    assert f"```python\n{FILE.read_text()}```" in document.read_text()
