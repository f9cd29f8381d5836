"""A search by Optuna: what it goes by, how it goes on, and how tasks share it."""

import json
import re
import shlex
import sys
import threading

import pytest

from jaxticket import search as search_command
from jaxticket.core.errors import ConfigError, TrainingError
from jaxticket.lab.search import Search
from jaxticket.lab.swept_keys import SweptKey
from jaxticket.report.search import validation_score
from jaxticket.sweep import main

pytestmark = [pytest.mark.feature("sweeps and launch scripts")]

KEYS = [SweptKey("train.lr", low=0.001, high=0.1, log=True), SweptKey("seeds", ((0,), (0, 1)))]
SMALL = ["--config=train:model=lenet300,dataset=digits", "--config.train.epochs=1"]
SEARCH = ["--search=optuna", "--sweep=train.lr=log:0.001..0.1", "--sweep=train.batch_size=128,256"]


@pytest.fixture(autouse=True)
def _fresh_config_module(monkeypatch):
    monkeypatch.delitem(sys.modules, "config_config", raising=False)


def test_without_optuna_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"needs the package optuna.*pip install optuna"):
        Search(tmp_path, KEYS, 3)


def test_score_is_of_the_last_level_of_tickets(made, tmp_path):
    scores = {("dense", 0): 0.99, ("imp", 1): 0.95, ("imp", 2): 0.9, ("rr_imp", 2): 0.97, ("other", 2): 0.8}
    rows = [made.row(*key, seed, val_accuracy=val + seed / 50) for key, val in scores.items() for seed in (0, 1)]
    assert validation_score(made.folder(tmp_path / "imp", rows, metrics=[])) == pytest.approx(0.91)
    dense = [made.row("dense", 0, 0, val_accuracy=0.7)]
    assert validation_score(made.folder(tmp_path / "dense", dense, metrics=[])) == pytest.approx(0.7)
    losses = [made.row("dense", 0, 0, val_accuracy=None, val_loss=0.3)]
    assert validation_score(made.folder(tmp_path / "loss", losses, metrics=[])) == pytest.approx(-0.3)
    with pytest.raises(ConfigError, match="no validation scores"):
        validation_score(made.folder(tmp_path / "none", [made.row("dense", 0, 0, val_accuracy=None)], metrics=[]))


def drawn_in(folder, stops=()):
    """What a search draws that is stopped while it runs these trials."""
    pytest.importorskip("optuna")
    found = []
    while True:
        search = Search(folder, KEYS, 6)
        while trial := search.take():
            if trial.number in stops and trial.number not in found[-1:]:
                found.append(trial.number)
                search.release()
                break
            search.tell(trial.number, -abs(trial.overrides["train.lr"] - 0.01))
        else:
            return [(one.number, one.overrides, one.score) for one in search.trials()]


def test_a_stopped_search_draws_the_same(tmp_path):
    whole = drawn_in(tmp_path / "a")
    assert [number for number, *_ in whole] == list(range(6))
    assert len({overrides["train.lr"] for _, overrides, _ in whole}) == 6
    assert all(overrides["seeds"] in ((0,), (0, 1)) for _, overrides, _ in whole)
    assert drawn_in(tmp_path / "b", stops=(2, 4)) == whole
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["optuna.log"]


def test_tasks_share_the_trials(tmp_path):
    pytest.importorskip("optuna")
    taken = []

    def task():
        search = Search(tmp_path, KEYS, 8)
        while trial := search.take():
            taken.append((trial.number, trial.overrides["train.lr"]))
            search.tell(trial.number, trial.overrides["train.lr"])

    tasks = [threading.Thread(target=task) for _ in range(3)]
    for one in tasks:
        one.start()
    for one in tasks:
        one.join()
    assert sorted(number for number, _ in taken) == list(range(8))
    assert len({lr for _, lr in taken}) == 8


def test_another_journal_is_named(tmp_path):
    pytest.importorskip("optuna")
    (tmp_path / "optuna.log").write_text("no journal\n{}\n")
    with pytest.raises(ConfigError, match=r"optuna\.log: is no journal of this search"):
        Search(tmp_path, KEYS, 3).take()


def test_search_runs_goes_on_and_names_the_best(tmp_path, monkeypatch, capsys):
    pytest.importorskip("optuna")
    command, run = [*SMALL, *SEARCH, f"--workdir={tmp_path}", "--trials=3"], search_command._run_trial
    assert main([*command, "--dry_run"]) == 0
    assert "trials      3, of which 0 are drawn" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())

    def fails(*arguments):
        monkeypatch.setattr(search_command, "_run_trial", run)
        raise TrainingError("the loss is not finite")

    monkeypatch.setattr(search_command, "_run_trial", fails)
    assert main(command) == 0
    captured = capsys.readouterr()
    assert captured.err == "error: trial 0: the loss is not finite\n"
    (folder,) = tmp_path.glob("train-search-*")
    rows = json.loads((folder / "sweep.json").read_text())["rows"]
    assert [(row["entry"], row["n"]) for row in rows] == [(0, 0), (1, 1), (2, 1)]
    best = max(rows, key=lambda row: row["val_accuracy"] or 0)
    number, score, overrides = re.search(r"best     trial (\d), (\S+): (.*)", captured.out).groups()
    assert (int(number), float(score)) == (best["entry"], pytest.approx(best["val_accuracy"], abs=1e-4))
    assert f"--config.train.lr={best['train.lr']}" in shlex.split(overrides)
    assert main(command) == 0  # nothing is left to draw
    printed = capsys.readouterr().out
    assert "trial 0 of 3" not in printed
    assert overrides in printed


def test_end_of_a_range_is_checked_first(tmp_path, capsys):
    pytest.importorskip("optuna")
    arguments = [SMALL[0], f"--workdir={tmp_path}", "--search=optuna", "--trials=2"]
    wrong = {
        "--sweep=train.lr=0..1": "config.train.lr=0.0",
        "--sweep=data.val_fraction=0..0.5": "goes by the validation accuracy",
        "--sweep=train.epochs=1..2.5": "config.train.epochs",
    }
    for argument, said in wrong.items():
        assert main([*arguments, argument]) == 2
        captured = capsys.readouterr()
        assert re.fullmatch(rf"error: [^\n]*{re.escape(said)}[^\n]*\n", captured.err)
    assert not list(tmp_path.iterdir())


def test_an_impossible_work_folder_is_named(tmp_path, capsys):
    pytest.importorskip("optuna")
    (tmp_path / "runs").touch()
    assert main([*SMALL, *SEARCH, "--trials=1", f"--workdir={tmp_path}/runs"]) == 2
    assert re.fullmatch(r"error: --workdir='\S+/runs': cannot be written to \(\w[^\n]+\)\n", capsys.readouterr().err)
