"""What the files of a folder become, and what is said of those that are broken."""

import json

import pytest

from jaxticket.core.errors import JaxticketError
from jaxticket.report.study import number, read_study


def test_reads_rows_curves_and_configuration(made, tmp_path):
    rows = made.imp_rows(levels=2, seeds=(0, 1))
    study = read_study(made.folder(tmp_path, rows))
    assert len(study.rows) == 6
    assert study.rows[1].branch == "imp"
    assert study.rows[1].remaining == pytest.approx(0.8)
    assert study.rows[1].layer_sparsity["fc2/kernel"] == pytest.approx(0.2)
    assert len(study.epochs) == 6 * 20
    assert study.epochs[0].train_loss is not None
    assert study.config["chosen"]["prune"] == {"rate": 0.2}
    assert study.complete


def test_numbers_that_are_not_finite_are_unknown(made, tmp_path):
    row = made.row("dense", 0, 0, test_accuracy=float("nan"), val_accuracy=None, train_loss=float("inf"))
    (row,) = read_study(made.folder(tmp_path, [row])).rows
    assert row.test_accuracy is row.val_accuracy is row.train_loss is None
    assert number(True) is None
    assert number("1") is None
    assert number(1) == 1.0


def test_rows_and_curves_know_their_case(made, tmp_path):
    rows = [made.row("dense", 0, 0), made.row("lt_imp", 1, 0, lr=0.1), made.row("sdt", 1, 0, lr=0.1, parameters=9000)]
    study = read_study(made.folder(tmp_path, rows))
    assert [row.case for row in study.rows] == [{}, {"lr": 0.1}, {"lr": 0.1}]
    assert [row.parameters for row in study.rows] == [None, None, 9000]
    assert [epoch.case for epoch in study.epochs[::20]] == [{}, {"lr": 0.1}, {"lr": 0.1}]


def test_only_a_summary_is_needed(made, tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps(made.summary([made.row("dense", 0, 0)])))
    study = read_study(tmp_path)
    assert len(study.rows) == 1
    assert study.epochs == ()
    assert study.config == {}


def test_half_a_last_line_is_what_a_killed_run_leaves(made, tmp_path):
    folder = made.folder(tmp_path, made.imp_rows(levels=1, seeds=(0,)))
    metrics = folder / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"branch": "imp", "lev')
    assert len(read_study(folder).epochs) == 40


def test_a_folder_without_a_summary_is_refused(tmp_path):
    with pytest.raises(JaxticketError, match=r"summary\.json: not found; .*WORKDIR"):
        read_study(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("summary.json", "{", r"summary\.json: is not JSON"),
        ("summary.json", "[]", r"summary\.json: is a list; must be an object"),
        ("summary.json", b"\xff\xfe", r"summary\.json: cannot be read"),
        ("summary.json", '{"rows": 3}', r"rows is a number; must be a list"),
        ("summary.json", '{"rows": [3]}', r"rows\[0\]: is a number; must be an object"),
        ("summary.json", '{"rows": [{"level": 1}]}', r"rows\[0\]: branch is None; must be a string"),
        ("summary.json", '{"rows": [{"branch": "a", "level": true}]}', r"level is True; must be a whole number"),
        ("summary.json", '{"rows": [{"branch": "a", "level": 1, "seed": 0}]}', r"sparsity is None; must be .*\[0, 1\]"),
        ("metrics.jsonl", "nonsense\n{}\n", r"metrics\.jsonl: line 1: is not JSON"),
        ("metrics.jsonl", '{"branch": "a", "level": 1, "seed": 0}\n', r"line 1: epoch is None"),
        ("config.json", "3", r"config\.json: is a number; must be an object"),
    ],
)
def test_broken_files_are_named_in_one_line(made, tmp_path, file, content, message):
    folder = made.folder(tmp_path, made.imp_rows(levels=1, seeds=(0,)))
    (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(JaxticketError, match=message) as error:
        read_study(folder)
    assert "\n" not in str(error.value)
