"""The report as a whole: files, bytes, and a page that needs nothing but itself."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from jaxticket.core.errors import JaxticketError
from jaxticket.report import write_report

pytestmark = [pytest.mark.feature("reports")]

_VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """Checks that tags nest, and collects elements and ids."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.ids = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    folder = made.folder(tmp_path_factory.mktemp("report") / "run", made.imp_rows(seeds=(0, 1)))
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "report.html").read_text()


def test_page_and_figures_are_written(made, tmp_path):
    folder = made.folder(tmp_path / "run", made.imp_rows(levels=2, seeds=(0, 1)))
    assert write_report(folder) == folder / "report.html"
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {
        "test_accuracy.svg",
        "val_accuracy.svg",
        "train_loss_imp.svg",
        "val_accuracy_imp.svg",
        "layers_imp.svg",
    }
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "figures",
        "metrics.jsonl",
        "report.html",
        "summary.json",
        "tables",
    ]


def test_the_page_is_well_formed(text):
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert [tag for tag, _ in page.elements].count("h1") == 1
    assert [tag for tag, _ in page.elements].count("section") == 6


def test_the_page_needs_nothing_but_itself(text):
    for tag, attributes in Page(text).elements:
        assert tag not in {"script", "iframe", "object", "embed", "img"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href", "srcset", "data", "action", "poster"}:
                assert value.startswith(("#", "data:", "tables/" if tag == "a" else "#"))
    assert "@import" not in text
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert "default-src 'none'" in text


def test_references_within_figures_hold(text):
    ids = set(Page(text).ids)
    used = set(re.findall(r'xlink:href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
    assert used
    assert used <= ids


def test_figures_can_be_read_without_eyes_and_scale(text):
    figures = [attributes for tag, attributes in Page(text).elements if tag == "svg" and "role" in attributes]
    assert len(figures) == 7
    for attributes in figures:
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"]) > 20
        assert "viewbox" in attributes
        assert not {"width", "height"} & attributes.keys()


def test_figures_are_files_with_text_that_stays_text(folder):
    for path in (folder / "figures").iterdir():
        root = ET.parse(path).getroot()
        assert root.get("width")
        texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
        assert any(letters.isalpha() for letters in texts)
        assert "var(--" not in path.read_text()


def test_every_colour_of_a_figure_has_dark_twin(text):
    body = text[text.index("<main>") :]
    assert not re.search(r"[ :]#[0-9a-f]{6}\b", body)
    light, dark = re.findall(r":root \{ (--ink.*?) \}", text)
    names = set(re.findall(r"(--\w+):", light))
    assert names == set(re.findall(r"(--\w+):", dark))
    assert set(re.findall(r"var\((--\w+)", body)) <= names


def test_the_same_files_give_the_same_bytes(folder):
    before = {path: path.read_bytes() for path in [folder / "report.html", *(folder / "figures").iterdir()]}
    # Another process, hash seed, time zone and date must not matter; neither must the user's matplotlib settings.
    settings = folder.parent / "matplotlibrc"
    settings.write_text("font.size: 30\naxes.ymargin: 0.4\nsvg.fonttype: path\n")
    changes = {"PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1", "TZ": "Asia/Tokyo", "MATPLOTLIBRC": str(settings)}
    code = "import sys; from jaxticket.report import write_report; write_report(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env={**os.environ, **changes})
    assert {path: path.read_bytes() for path in before} == before


def test_everything_from_the_files_is_escaped(made, tmp_path):
    evil = "<script>alert('$x$')</script>&\"x"
    row = {"stage": evil, "ticket": evil, "layer_sparsity": {evil: 0.5}}
    rows = [made.row(evil if level else "dense", level, 0, **row) for level in range(3)]
    config = {"chosen": {evil: evil}, "config": {evil: {evil: evil}}}
    changes = {
        "name": evil,
        "experiment": evil,
        "command": evil,
        "commit": evil,
        "config_hash": evil,
        "versions": {evil: evil, "jaxticket": evil},
        "device": {"kind": evil, "machine": evil},
        "dataset": {"name": evil, "image_shape": [evil]},
        "model": {"name": evil},
        "correlation": [{"lr": 0.1, "level": 1, "mask": evil, "start": "init", "seed": 0, "correlation": 0.2}],
        "instability": [{"lr": 0.1, "level": 1, "branch": evil, "seed": 0, "positions": [0], "errors": [0.1]}],
        "overlap": [{"lr": 0.1, "level": 1, "between": "seeds", "kind": evil, "jaccard": 0.2}],
        "verdict": {
            "kind": "none",
            "missing": [evil],
            "conditions": {"1": evil},
            "cells": [{"ticket": evil, "level": 1, "kind": "none", "by_lr": [{"lr": 0.1}], "conditions": {"1": False}}],
        },
    }
    text = write_report(made.folder(tmp_path / "run", rows, config=config, complete=False, **changes)).read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    Page(text)
    for path in (tmp_path / "run" / "figures").iterdir():
        assert re.fullmatch(r"[a-z0-9_-]+\.svg", path.name)
        ET.parse(path)


CASES = {
    "empty": [],
    "dense": [("dense", 0, 0), ("dense", 0, 1)],
    "one": [("dense", 0, 0), ("imp", 1, 0)],
    "no_dense": [("imp", 1, 0), ("imp", 2, 0), ("imp", 2, 1)],
    "other_names": [("dense", 0, 0), ("lt_imp", 1, 0), ("Ünïcode", 1, 0), ("_x", 1, 0), ("lt imp", 1, 0)],
}


@pytest.mark.parametrize("case", CASES)
def test_there_is_always_a_page(made, tmp_path, case):
    rows = [made.row(*key) for key in CASES[case]]
    Page(write_report(made.folder(tmp_path / "run", rows)).read_text())


@pytest.mark.parametrize("value", [None, True])
def test_numbers_nobody_knows_leave_a_page(made, tmp_path, value):
    names = ("val_accuracy", "test_accuracy", "train_loss", "seconds", "epochs", "sparsity_total")
    lost = dict.fromkeys(names, value)
    rows = [made.row("dense", 0, 0), made.row("imp", 1, 0, **lost), made.row("imp", 2, 0, **lost)]
    metrics = [
        {"branch": "imp", "level": 1, "seed": 0, "epoch": epoch, "train_loss": value, "val_accuracy": value}
        for epoch in (1, 2)
    ]
    text = write_report(made.folder(tmp_path / "all", rows, metrics=metrics)).read_text()
    Page(text)
    assert "nan" not in text.lower()
    dense_lost = [made.row("dense", 0, 0, **lost), made.row("imp", 1, 0)]
    Page(write_report(made.folder(tmp_path / "dense", dense_lost, metrics=metrics)).read_text())


def test_an_unfinished_experiment_says_so(made, tmp_path, text):
    assert "Not finished." not in text
    rows = made.imp_rows(levels=1, seeds=(0,))
    unfinished = write_report(made.folder(tmp_path / "run", rows, complete=False)).read_text()
    assert "Not finished." in unfinished
    assert "the 2 networks trained so far.\nThe same command continues" in unfinished
    assert "python -m jaxticket.main --config=configs/quickstart.py" in unfinished


def test_figures_of_an_earlier_report_go(made, tmp_path):
    folder = made.folder(tmp_path / "run", made.imp_rows(levels=2, seeds=(0,)))
    write_report(folder)
    made.folder(folder, [made.row("dense", 0, 0)])
    (folder / "figures" / "mine.txt").write_text("kept")
    write_report(folder)
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {"train_loss_dense.svg", "val_accuracy_dense.svg", "mine.txt"}


def test_tables_of_earlier_report_and_its_verdict_go(made, tmp_path):
    summary = made.sanity({"dense": {0.1: 0.92}, "lt_imp": {0.1: 0.92}})
    folder = made.folder(tmp_path / "run", **summary)
    write_report(folder)
    names = ["correlation", "differences", "instability", "overlap", "rows", "verdict", "verdict_by_lr"]
    assert sorted(path.stem for path in (folder / "tables").glob("*.csv")) == names
    assert json.loads((folder / "tables" / "verdict.json").read_text()) == summary["verdict"]
    made.folder(folder, [made.row("dense", 0, 0)])
    write_report(folder)
    assert [path.name for path in (folder / "tables").iterdir()] == ["rows.csv"]


def test_a_failure_leaves_old_page_and_no_litter(made, tmp_path, monkeypatch):
    folder = made.folder(tmp_path / "run", [])
    report = write_report(folder)
    before = report.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    made.folder(folder, [], complete=False)
    with pytest.raises(JaxticketError, match=r"cannot write .*: No space left on device"):
        write_report(folder)
    assert report.read_bytes() == before
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_the_users_matplotlib_is_left_alone(made, tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    write_report(made.folder(tmp_path / "run", made.imp_rows(levels=1, seeds=(0,))))
    assert dict(matplotlib.rcParams) == before


def test_importing_the_report_is_cheap():
    code = (
        "import sys, jaxticket.report, jaxticket.report.terminal\n"
        "heavy = {'matplotlib', 'jinja2', 'rich', 'numpy', 'jax'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from jaxticket.report import write_report\n"
        "heavy = {'matplotlib', 'jax'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_templates_come_with_the_package():
    from importlib.resources import files

    names = {path.name for path in files("jaxticket.report").joinpath("templates").iterdir()}
    assert {"page.html.jinja", "style.css"} <= names


def test_figures_never_start_pyplot(made, tmp_path):
    folder = made.folder(tmp_path / "run", made.imp_rows(levels=1, seeds=(0,)))
    code = (
        "import sys, json; from jaxticket.report import write_report; write_report(sys.argv[1])\n"
        "print(json.dumps('matplotlib.pyplot' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) is False
