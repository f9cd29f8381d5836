"""Several experiments on one page: which are found, what is compared, and that the page needs nothing but itself."""

import csv
import re
import sys

import pytest

from jaxticket.core.errors import JaxticketError
from jaxticket.report import write_comparison
from jaxticket.report.__main__ import main
from jaxticket.report.comparison import differing, lines_of, read_experiments

pytestmark = [pytest.mark.feature("reports")]


def config(**chosen):
    return {"experiment": "imp", "config": chosen, "chosen": chosen}


@pytest.fixture(scope="module")
def workdir(made, tmp_path_factory):
    """Two of one name, and one of another name and data set that is not finished; beside them what is no experiment."""
    folder = tmp_path_factory.mktemp("runs")
    rows = [made.row("dense", 0, seed, test_accuracy=0.96) for seed in (0, 1)]
    rows += [made.row("imp", level, seed, test_accuracy=0.96 - 0.002 * level) for level in (1, 2, 3) for seed in (0, 1)]
    made.folder(folder / "imp-aaaa1111", rows, name="imp", config=config(levels=3))
    worse = [row | {"test_accuracy": row["test_accuracy"] - 0.1 * (row["level"] == 3)} for row in rows]
    made.folder(folder / "imp-bbbb2222", worse, name="imp", config=config(levels=3, reinit="random"))
    other = {"name": "fashion_mnist"}
    made.folder(folder / "deep-cccc3333", rows, name="deep", dataset=other, complete=False, config=config(levels=3))
    made.folder(folder / "empty-dddd4444", [], name="empty")
    (folder / "stages" / "train-0123").mkdir(parents=True)
    return folder


def test_experiments_are_found_in_folders_and_told_apart(workdir):
    found = read_experiments([workdir / "imp-bbbb2222", workdir])
    assert [experiment.label for experiment in found] == ["imp reinit=random", "deep", "imp-aaaa1111"]
    assert differing(found) == ["reinit"]
    assert {experiment.setting for experiment in found} == {"lenet300 on digits", "lenet300 on fashion_mnist"}


def test_line_begins_dense_and_knows_its_sparsest_match(workdir):
    worse, _, plain = (lines_of(experiment) for experiment in read_experiments([workdir / "imp-bbbb2222", workdir]))
    assert [line.label for line in plain] == ["imp-aaaa1111"]
    assert [group.level for group in plain[0].points] == [0, 1, 2, 3]
    # Mean differences of 0.002, 0.004 and 0.006 from dense, and a margin of 0.005.
    assert plain[0].best.level == 2
    assert plain[0].gap(plain[0].best) == pytest.approx(-0.004)
    assert worse[0].last.level == 3
    assert worse[0].gap(worse[0].last) == pytest.approx(-0.106)


def test_page_has_panels_and_rows(workdir, tmp_path):
    page = write_comparison([workdir], tmp_path / "all.html")
    text = page.read_text()
    assert re.findall(r'<figure id="([^"]+)"', text) == [
        "accuracy-lenet300-on-fashion_mnist",
        "accuracy-lenet300-on-digits",
        "near-lenet300-on-digits",
    ]
    assert len(re.findall(r'<tr><th scope="row">', text)) == 6  # three lines of numbers, three of options
    assert "Not finished" in text
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r'(?:src|href)="(?!#|data:|all\.csv)', text), "nothing is loaded from elsewhere"
    lines = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    assert len(lines) == 3 * 4
    assert {line["experiment"] for line in lines} == {"deep", "imp-aaaa1111", "imp reinit=random"}
    found = next(line for line in lines if line["folder"] == "imp-bbbb2222" and line["level"] == "3")
    assert float(found["test_accuracy"]) == pytest.approx(0.854)
    assert {"test_accuracy_pruned", "test_accuracy_balanced_std", "test_loss"} < set(found)
    assert page.read_bytes() == write_comparison([workdir], tmp_path / "all.html").read_bytes()


def test_dense_experiments_alone_are_compared_by_numbers(made, tmp_path):
    folder = made.folder(tmp_path / "train-1", [made.row("dense", 0, 0)], name="train", config=config())
    text = write_comparison([folder]).read_text()
    assert (tmp_path / "comparison.html").is_file()
    assert "<figure" not in text
    assert "as good as dense" in text


def test_command_prints_page_or_one_line_of_error(workdir, tmp_path, capsys):
    assert main([str(workdir), "--out", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"report   {tmp_path / 'page.html'}",
        f"table    {tmp_path / 'page.csv'}",
    ]
    for arguments, said in (
        ([str(tmp_path / "nowhere")], "holds no experiment"),
        ([str(workdir / "empty-dddd4444")] * 2, "no network is trained yet"),
        ([str(workdir), "--out", str(tmp_path / "page.html" / "x.html")], "cannot write"),
        ([str(workdir), "--out=page.pdf"], "--out=page.pdf: must be a page"),
        ([str(workdir), "--figures=gif"], "--figures=gif: 'gif' is no format; must be pdf, png or pdf,png"),
    ):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert said in line
    assert main([]) == 2


def test_figures_are_written_in_other_formats(made, tmp_path, capsys):
    rows = [made.row(branch, level, 0) for branch, level in (("dense", 0), ("imp", 1), ("imp", 2))]
    for name in ("imp-1", "imp-2"):
        made.folder(tmp_path / "runs" / name, rows, name=name, metrics=[])
    assert main([str(tmp_path / "runs"), "--figures=pdf", f"--out={tmp_path / 'two.html'}"]) == 0
    compared = tmp_path / "two-figures" / "accuracy-lenet300-on-digits.pdf"
    own = tmp_path / "runs" / "imp-1" / "figures" / "test_accuracy.pdf"
    first = {path: path.read_bytes() for path in (compared, own)}
    assert {data[:5] for data in first.values()} == {b"%PDF-"}
    assert compared.with_suffix(".svg").is_file()
    assert not own.with_suffix(".png").exists()
    # A later report writes again what is there, so that no file is of other numbers than its page.
    assert main([str(tmp_path / "runs" / "imp-1"), "--figures=png"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"report   {tmp_path / 'runs' / 'imp-1' / 'report.html'}"
    assert own.read_bytes() == first[own]
    assert own.with_suffix(".png").read_bytes()[1:4] == b"PNG"


def test_a_run_that_another_extends_is_no_curve(made, tmp_path):
    rows = [made.row("imp" if level else "dense", level, seed) for seed in (0, 1, 2) for level in (0, 1, 2)]
    parts = {
        "imp-seeds": ([row for row in rows if row["seed"] < 2], config(seeds=[0, 1], lr=0.1), True),
        "imp-levels": ([row for row in rows if row["level"] < 2], config(levels=1, seeds=[0, 1, 2], lr=0.1), False),
        "imp-other": ([row for row in rows if row["seed"] < 2], config(seeds=[0, 1], lr=0.2), True),
        "imp-whole": (rows, config(seeds=[0, 1, 2], lr=0.1), True),
    }
    for name, (own, how, complete) in parts.items():
        made.folder(tmp_path / name, own, config=how, complete=complete, metrics=[])
    said = []
    text = write_comparison([tmp_path], note=said.append).read_text()
    assert said == [
        "left out: imp-levels: its 6 networks are all in imp-whole, which has more",
        "left out: imp-seeds: its 6 networks are all in imp-whole, which has more",
    ]
    assert "<strong>Left out.</strong> imp-seeds: its 6 networks are all in imp-whole" in text
    assert {one.folder.name for one in read_experiments([tmp_path])} == {"imp-other", "imp-whole"}
    made.folder(tmp_path / "imp-whole", rows, config=parts["imp-whole"][1], complete=False, metrics=[])
    assert len(read_experiments([tmp_path])) == 4  # only a finished one takes the place of another


def test_a_broken_summary_is_named(workdir, tmp_path):
    (tmp_path / "imp-1").mkdir()
    (tmp_path / "imp-1" / "summary.json").write_text('{"rows": [{}]}')
    with pytest.raises(JaxticketError, match=r"imp-1/summary.json: rows\[0\]"):
        read_experiments([tmp_path])


def test_a_broken_experiment_is_left_out_and_said(made, tmp_path, capsys):
    made.folder(tmp_path / "train-1", [made.row("dense", 0, 0)], name="train", config=config())
    (tmp_path / "imp-1").mkdir()
    (tmp_path / "imp-1" / "summary.json").write_text("{")
    assert main([str(tmp_path)]) == 0
    note, *_ = capsys.readouterr().out.splitlines()
    assert note.startswith("note: left out: ")
    assert "imp-1/summary.json" in note
    text = (tmp_path / "comparison.html").read_text()
    assert re.search("<strong>Left out.</strong> .*imp-1/summary.json", text)
    assert "1 experiment<" in text


def test_command_does_not_load_jax_for_its_help(capsys):
    before = set(sys.modules)
    assert main(["--help"]) == 0
    assert "RUN" in capsys.readouterr().out
    assert not {name for name in set(sys.modules) - before if name.startswith("matplotlib")}
