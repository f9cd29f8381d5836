"""What the files of a folder become, and what is said of those that are broken."""

import json
import random

import pytest

from jaxticket import storage
from jaxticket.core.errors import JaxticketError
from jaxticket.lab.row import number
from jaxticket.report import write_report
from jaxticket.report.__main__ import main as report_main
from jaxticket.report.files import read_study
from jaxticket.report.page import make_page

pytestmark = [pytest.mark.feature("reports")]


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


def test_what_is_no_number_is_unknown(made, tmp_path):
    row = made.row("dense", 0, 0, test_accuracy="nan", val_accuracy=None, train_loss=True)
    (row,) = read_study(made.folder(tmp_path, [row])).rows
    assert row.test_accuracy is row.val_accuracy is row.train_loss is None
    assert number(True) is None
    assert number("1") is None
    assert number(1) == 1.0


def test_rows_and_curves_know_their_case(made, tmp_path):
    rows = [made.row("dense", 0, 0), made.row("lt_imp", 1, 0, lr=0.1), made.row("sdt", 1, 0, lr=0.1, parameters=9000)]
    study = read_study(made.folder(tmp_path, rows, experiment="sanity"))
    assert [row.case for row in study.rows] == [{}, {"lr": 0.1}, {"lr": 0.1}]
    assert [row.extra.get("parameters") for row in study.rows] == [None, None, 9000]
    assert [epoch.case for epoch in study.epochs[::20]] == [{}, {"lr": 0.1}, {"lr": 0.1}]


def test_only_a_summary_is_needed(made, tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps(made.summary([made.row("dense", 0, 0)])))
    study = read_study(tmp_path)
    assert len(study.rows) == 1
    assert study.epochs == ()
    assert study.config == {}


def test_half_last_line_is_what_killed_run_leaves(made, tmp_path):
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
        ("summary.json", "{", r"summary\.json is not JSON"),
        ("summary.json", "[]", r"summary\.json: is a list; must be an object"),
        ("summary.json", b"\xff\xfe", r"summary\.json is not JSON"),
        ("summary.json", '{"rows": 3}', r"rows is a number; must be a list"),
        ("summary.json", '{"rows": [3]}', r"rows\[0\]: is a number; must be an object"),
        ("summary.json", '{"rows": [{"level": 1}]}', r"rows\[0\]: branch is None; must be a string"),
        ("summary.json", '{"rows": [{"branch": "a", "level": true}]}', r"level is True; must be a whole number"),
        ("summary.json", '{"rows": [{"branch": "a", "level": 1, "seed": 0}]}', r"sparsity is None; must be .*\[0, 1\]"),
        ("metrics.jsonl", "nonsense\n{}\n", r"metrics\.jsonl: line 1 is not JSON"),
        ("metrics.jsonl", '{"branch": "a", "level": 1, "seed": 0}\n', r"line 1: epoch is None"),
        ("summary.json", '{"rows": NaN}', r"summary\.json is not JSON \(NaN is not a JSON number\)"),
        ("summary.json", '{"rows": [1e400]}', "beyond what a float holds"),
        ("summary.json", f'{{"rows": {"9" * 5000}}}', "a whole number of 5,000 digits"),
        ("summary.json", "[" * 150 + "]" * 150, "nested in more than 100"),
        ("summary.json", '{"rows": [], "rows": []}', "the key 'rows' comes twice"),
        ("summary.json", '{"rows": [{"branch": "a", "level": 99999999999}]}', "must be a whole number from 0 to"),
        ("metrics.jsonl", f'{{"a": {"9" * 5000}}}\n{{}}\n', "line 1 is not JSON"),
        ("config.json", "3", r"config\.json: is a number; must be an object"),
    ],
)
def test_broken_files_are_named_in_one_line(made, tmp_path, file, content, message):
    folder = made.folder(tmp_path, made.imp_rows(levels=1, seeds=(0,)))
    (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(JaxticketError, match=message) as error:
        read_study(folder)
    assert "\n" not in str(error.value)


def sealed(folder):
    """As an experiment writes the files: the summary has checksums of all of them."""
    config, metrics = folder / "config.json", folder / "metrics.jsonl"
    files = {
        "config.json": {"sha256": storage.checksum(config)},
        "metrics.jsonl": {"sha256": storage.checksum(metrics), "size": metrics.stat().st_size},
    }
    summary = json.loads((folder / "summary.json").read_text())
    summary.pop("sha256", None)
    (folder / "summary.json").write_bytes(storage.checked_json({**summary, "files": files}, "it"))
    return folder


def test_files_as_an_experiment_wrote_them_are_believed(made, tmp_path):
    folder = made.folder(tmp_path, made.imp_rows(levels=1, seeds=(0,)))
    study = read_study(folder)
    assert (study.intact, study.warning) == (False, "")  # without checksums nothing can be told
    study = read_study(sealed(folder))
    assert (study.intact, study.changed, study.warning) == (True, (), "")
    assert "files" not in study.summary


def test_a_page_of_changed_files_says_so(made, tmp_path, capsys):
    folder = sealed(made.folder(tmp_path / "imp", made.imp_rows(levels=2, seeds=(0,))))
    assert "banner" not in write_report(folder).read_text().partition("<main>")[2]
    summary, metrics = folder / "summary.json", folder / "metrics.jsonl"
    summary.write_text(summary.read_text().replace('"epochs": 20', '"epochs": 21'))
    metrics.write_text(metrics.read_text().replace('"epoch": 1,', '"epoch": 1.5,', 1))
    study = read_study(folder)
    assert study.changed == ("summary.json", "metrics.jsonl")
    assert study.warning.startswith("summary.json, metrics.jsonl were changed after the experiment wrote them")
    assert study.warning in write_report(folder).read_text()
    assert report_main([str(folder), f"--out={tmp_path / 'page.html'}"]) == 0
    assert f"note: imp: {study.warning}" in capsys.readouterr().out
    assert study.warning in (tmp_path / "page.html").read_text()


def test_curves_may_go_past_the_last_summary(made, tmp_path):
    folder = sealed(made.folder(tmp_path, made.imp_rows(levels=1, seeds=(0,)), complete=False))
    metrics = folder / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"branch": "imp", "lev')
    assert read_study(folder).intact
    metrics.write_text(metrics.read_text().replace("20", "21", 1))
    assert read_study(folder).changed == ("metrics.jsonl",)


@pytest.mark.parametrize("file", ["summary.json", "metrics.jsonl", "config.json"])
def test_flipped_bits_and_cuts_are_said(made, tmp_path, file):
    folder = sealed(made.folder(tmp_path, made.imp_rows(levels=1, seeds=(0,)), metrics=[]))
    (folder / file).write_bytes((folder / file).read_bytes() or b"\n")
    data, rng = (folder / file).read_bytes(), random.Random(0)
    sealed(folder) if file == "metrics.jsonl" else None
    refused = said = 0
    for _ in range(150):
        position = rng.randrange(len(data))
        flipped = bytes([data[position] ^ 1 << rng.randrange(8)])
        changed = data[:position] if rng.random() < 0.2 else data[:position] + flipped + data[position + 1 :]
        (folder / file).write_bytes(changed)
        try:
            study = read_study(folder)
            with study.blamed(folder):
                page = make_page(study) if rng.random() < 0.05 else None
            assert study.intact or file in study.changed
            assert page is None or study.intact or study.warning in page.html
            said += 1
        except JaxticketError as error:
            refused += "\n" not in str(error)
    assert refused + said == 150
