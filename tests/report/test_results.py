"""The rows of experiments as a table."""

import pytest

from jaxticket import report
from jaxticket.core.errors import JaxticketError

pytestmark = [pytest.mark.feature("reports")]


def test_rows_of_a_workdir_with_columns_of_experiments(made, tmp_path):
    made.folder(tmp_path / "imp-1", made.imp_rows(levels=1, seeds=(0,)))
    made.folder(tmp_path / "sanity-1", [made.row("dense", 0, 0, lr=0.1)], experiment="sanity")
    results = report.load(tmp_path)
    assert [row.branch for row in results] == ["dense", "imp", "dense"]
    columns = results.to_dict()
    assert columns["folder"] == ["imp-1", "imp-1", "sanity-1"]
    assert columns["lr"] == [None, None, 0.1]
    assert len(report.load(tmp_path / "imp-1")) == 2


def test_a_folder_without_experiments_is_refused(tmp_path):
    with pytest.raises(JaxticketError, match="holds no experiment"):
        report.load(tmp_path)


def test_notes_are_on_the_comparison_page(made, tmp_path):
    made.folder(tmp_path / "imp-1", made.imp_rows(levels=1, seeds=(0,)), notes=["config.dense=x: other recipe"])
    page = report.write_comparison([tmp_path]).read_text()
    assert "quickstart: config.dense=x: other recipe." in page
