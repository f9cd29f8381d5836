import contextlib
import csv
import importlib.util
import io
import json
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from jaxticket.core.errors import ConfigError
from jaxticket.experiments import default_config
from jaxticket.lab.sweep import make_entries, varying
from jaxticket.sweep import main

pytestmark = [pytest.mark.feature("sweeps and launch scripts")]

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """
from jaxticket.experiments import default_config
from jaxticket.lab.sweep import make_entries, varying
from jaxticket.lab.presets import apply_preset


def get_config(argument=None):
    config = default_config("imp")
    apply_preset(config, model="lenet300", dataset="digits")
    config.train.epochs = 1
    config.train.batch_size = 256
    config.seeds = (0, 1)
    return config

"""
LEVELS = """
def sweep(argument=None):
    yield {"levels": 1}
    yield {"levels": int(argument or 2)}
"""


@pytest.fixture(autouse=True)
def _fresh_config_module(monkeypatch):
    """Config files share one module name; in a process that loads many, the one before would shine through."""
    monkeypatch.delitem(sys.modules, "config_config", raising=False)


@pytest.fixture
def write(tmp_path):
    """Writes a config file with the given `sweep`, and returns the flag for it."""

    def write(text):
        (tmp_path / "config.py").write_text(CONFIG + text)
        return f"--config={tmp_path / 'config.py'}"

    return write


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The work folder of a finished sweep over two numbers of levels, its command and what was printed."""
    workdir = tmp_path_factory.mktemp("runs")
    file = tmp_path_factory.mktemp("config") / "config.py"
    file.write_text(CONFIG + LEVELS)
    command = [f"--config={file}:2", f"--workdir={workdir}"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(command) == 0
    return workdir, command, printed.getvalue()


def result(workdir, name="sweep.json"):
    (file,) = workdir.glob(f"imp-sweep-*/{name}")
    return file.read_bytes()


def test_every_entry_is_experiment_and_stages_are_shared(finished):
    workdir, _, printed = finished
    one, two = (workdir / f"{folder}/summary.json" for folder in folders(workdir))
    one, two = json.loads(one.read_text()), json.loads(two.read_text())
    assert [(row["level"], row["seed"], row["cached"]) for row in one["rows"]] == [
        (0, 0, False),
        (1, 0, False),
        (0, 1, False),
        (1, 1, False),
    ]
    assert {(row["level"], row["cached"]) for row in two["rows"]} == {(0, True), (1, True), (2, False)}
    assert one["command"].endswith("--index=0")
    assert two["command"].endswith("--index=1")
    assert "entry 0 of 2: levels=1\n" in printed
    assert "entry 1 of 2: levels=2\n" in printed
    assert printed.count("report ") == 2


def folders(workdir):
    return list(dict.fromkeys(row["folder"] for row in json.loads(result(workdir))["rows"]))


def test_results_are_means_over_seeds(finished):
    workdir, _, printed = finished
    content = json.loads(result(workdir))
    rows = content["rows"]
    assert content["complete"]
    assert content["varying"] == ["levels"]
    found = [(row["entry"], row["levels"], row["branch"], row["level"], row["n"]) for row in rows]
    assert found == [
        (0, 1, "dense", 0, 2),
        (0, 1, "imp", 1, 2),
        (1, 2, "dense", 0, 2),
        (1, 2, "imp", 1, 2),
        (1, 2, "imp", 2, 2),
    ]
    summary = json.loads((workdir / rows[-1]["folder"] / "summary.json").read_text())
    for quantity in ("test_accuracy", "val_accuracy", "test_accuracy_pruned", "test_accuracy_balanced", "test_loss"):
        values = [row[quantity] for row in summary["rows"] if row["level"] == 2]
        assert rows[-1][quantity] == pytest.approx(statistics.mean(values))
        assert rows[-1][f"{quantity}_std"] == pytest.approx(statistics.stdev(values))
    assert rows[-1]["remaining"] == pytest.approx(0.64, abs=1e-4)
    sheet = list(csv.DictReader(io.StringIO(result(workdir, "sweep.csv").decode())))
    assert [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows] == [
        dict(sorted(row.items())) for row in sheet
    ]
    table = [line.split() for line in printed[printed.rindex("entry ") :].splitlines()[1:-2]]
    assert [line[:4] for line in table] == [
        ["0", "1", "dense", "0"],
        ["0", "1", "imp", "1"],
        ["1", "2", "dense", "0"],
        ["1", "2", "imp", "2"],
    ]
    best = max((rows[1], rows[4]), key=lambda row: row["val_accuracy"])
    assert [line[1] for line in table if line[2] == "imp" and "*" in line[6]] == [str(best["levels"])]


def test_same_command_only_reports(finished, capsys):
    workdir, command, _ = finished
    before = result(workdir)
    assert main(command) == 0
    assert result(workdir) == before
    for folder in folders(workdir):
        assert all(row["cached"] for row in json.loads((workdir / folder / "summary.json").read_text())["rows"])


def test_tasks_of_an_array_job_make_same_sweep(finished, tmp_path, capsys):
    workdir, (config, _), _ = finished
    assert main([config, f"--workdir={tmp_path}", "--index", "1"]) == 0
    printed = capsys.readouterr().out
    assert "entry 0 of 2" not in printed
    assert "not complete" in printed
    assert list(tmp_path.glob("*-sweep-*")) == []
    assert main([config, f"--workdir={tmp_path}", "--index=0-0"]) == 0
    assert "not complete" not in capsys.readouterr().out
    assert (result(tmp_path), result(tmp_path, "sweep.csv")) == (result(workdir), result(workdir, "sweep.csv"))


def test_dry_run_and_count_do_nothing(finished, tmp_path, capsys):
    workdir, (config, _), _ = finished
    assert main([config, f"--workdir={tmp_path / 'new'}", "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:3]] == [["0", "1", "0", "4"], ["1", "2", "0", "6"]]
    assert lines[2].endswith(str(tmp_path / "new" / folders(workdir)[1]))
    assert lines[3] == "networks: 6 different ones, of which 6 to train"
    assert re.match(r"to train  6 networks, \d+ steps, .* multiply-accumulates, about .* on disk", lines[4])
    assert lines[5].startswith("time      not known")
    assert main([config, f"--workdir={tmp_path / 'new'}", "--count"]) == 0
    assert capsys.readouterr().out == "2\n"
    assert not (tmp_path / "new").exists()
    assert main([config.replace(":2", ":3"), f"--workdir={workdir}", "--dry_run", "--index=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:4] == ["1", "3", "6", "2"]
    assert lines[2] == "networks: 8 different ones, of which 2 to train"
    assert lines[4].endswith("at the rate of this network here before")


def test_command_line_goes_on_top_of_keys():
    config = default_config("imp")
    config.train.lr = 0.5
    entries = [
        {},
        {"train.lr": 1, "seed": 3},
        {"train": {"weight_decay": 0.1}, "model.options": {"activation": "swish"}},
        {"train.epochs": 7, "model.options.activation": "tanh"},
    ]
    made = make_entries(config, entries, {"train.epochs": 2, "prune.rate": 0.3})
    assert [entry.options.train.epochs for entry in made] == [2] * 4
    assert [entry.options.prune.rate for entry in made] == [0.3] * 4
    assert [entry.options.train.lr for entry in made] == [0.5, 1.0, 0.5, 0.5]
    assert [entry.options.train.weight_decay for entry in made] == [0, 0, 0.1, 0]
    assert [entry.options.model.options for entry in made] == [{}, {}, {"activation": "swish"}, {"activation": "tanh"}]
    assert [entry.options.seed for entry in made] == [None, 3, None, None]
    assert config.train.lr == 0.5
    keys = ["train.lr", "seed", "train.weight_decay", "model.options.activation"]
    assert varying(made) == keys  # not train.epochs, which the command line makes equal
    assert [made[2].value(key) for key in keys] == [0.5, None, 0.1, "swish"]
    assert varying(made[3:]) == ["train.epochs", "model.options.activation"]


# (the sweep function, arguments, what the one line must name)
WRONG = [
    ("", [], ["config.py", "no sweep()"]),
    ("sweep = 3", [], ["no sweep()"]),
    ("def sweep():\n    yield from ()", [], ["sweep() yields nothing"]),
    ("def sweep():\n    return 3", [], ["sweep(): TypeError", "not iterable"]),
    ("def sweep():\n    yield 1 / 0", [], ["sweep(): ZeroDivisionError"]),
    ("def sweep():\n    yield {}\n    yield 3", [], ["sweep entry 1: is 3", "dictionary"]),
    ("def sweep():\n    return {'levels': 1}", [], ["sweep entry 0: is 'levels'", "dictionary"]),
    ("def sweep():\n    yield {3: 1}", [], ["sweep entry 0: key 3", "string"]),
    ("def sweep():\n    yield {}\n    yield {'train.lrr': 1}", [], ["sweep entry 1: config.train.lrr", "'lr'"]),
    ("def sweep():\n    yield {'trian.lr': 1}", [], ["sweep entry 0: config.trian", "'train'"]),
    (
        "def sweep():\n    yield {'levels.lr': 1}",
        [],
        ["sweep entry 0: config.levels.lr", "config.levels is not a group"],
    ),
    ("def sweep():\n    yield {'train': 1}", [], ["sweep entry 0: config.train=1"]),
    ("def sweep():\n    yield {'train.lr': 'fast'}", [], ["sweep entry 0: config.train.lr='fast'", "finite number"]),
    ("def sweep():\n    yield {}\n    yield {'levels': 80}", [], ["sweep entry 1: config.levels=80"]),
    ("def sweep():\n    yield {'experiment': 'impp'}", [], ["sweep entry 0: config.experiment='impp'", "'imp'"]),
    (LEVELS, ["--index=2"], ["--index=2", "0 to 1"]),
    (LEVELS, ["--index="], ["--index=", "0 to 1"]),
    (LEVELS, ["--index=1-0"], ["--index=1-0", "0 to 1"]),
    (LEVELS, ["--index=-1"], ["--index=-1", "0 to 1"]),
    (LEVELS, ["--index=all"], ["--index=all", "0 to 1"]),
    (LEVELS, ["--config.train.lr=0"], ["sweep entry 0: config.train.lr=0.0"]),
    (LEVELS, ["--config.trian.lr=0"], ["config.trian.lr", "config.train.lr"]),
    (LEVELS, ["--indx=1"], ["indx"]),
    ("", ["--sweep=train.lr"], ["--sweep=train.lr: must be KEY=VALUES"]),
    ("", ["--sweep", "train.lr="], ["--sweep=train.lr=: must be KEY=VALUES"]),
    ("", ["--sweep=train lr=1"], ["--sweep=train lr=1: must be KEY=VALUES"]),
    ("", ["--sweep=train.lrr=1,2"], ["sweep entry 0: config.train.lrr", "'lr'"]),
    ("", ["--sweep=train.lr=fast,1"], ["sweep entry 0: config.train.lr='fast'", "finite number"]),
    ("", ["--sweep=levels=1", "--sweep=levels=2"], ["levels is swept twice"]),
    ("", ["--sweep=levels=1,2", "--config.levels=3"], ["--config.levels sets this key for all"]),
    ("", ["--sweep=levels=1,1"], ["--sweep=levels=1,1: a value is there twice"]),
    ("", ["--sweep=levels=1,,2"], ["--sweep=levels=1,,2: must be values with commas"]),
    ("", ["--sweep=seeds=(0,1"], ["--sweep=seeds=(0,1: must be values", "closed"]),
    ("", ["--sweep=train.lr=0.1..0.2"], ["--sweep=train.lr=0.1..0.2: is a range", "--search=optuna"]),
    ("", ["--sweep=train.lr=0.2..0.1"], ["--sweep=train.lr=0.2..0.1: the lower end must be less"]),
    ("", ["--sweep=train.lr=log:0..0.1"], ["the lower end must be more than 0"]),
    ("", ["--sweep=train.lr=log:0.1,0.2"], ["must be a range of numbers"]),
    ("", ["--search=grid", "--trials=2"], ["--search: 'grid' is no search", "--search=optuna"]),
    ("", ["--trials=2"], ["--search: is missing"]),
    ("", ["--search=optuna", "--trials=2"], ["--search=optuna: does not say what to draw"]),
    ("", ["--search=optuna", "--sweep=levels=1..2"], ["--trials=: must be a whole number", "--trials=20"]),
    ("", ["--search=optuna", "--sweep=levels=1..2", "--trials=many"], ["--trials=many: must be a whole number"]),
    ("", ["--search=optuna", "--sweep=levels=1..2", "--trials=2", "--index=0"], ["takes no --index"]),
    ("", ["--search=optuna", "--sweep=levels=1..2", "--trials=2", "--rerun"], ["takes no --rerun"]),
]


@pytest.mark.parametrize(("text", "arguments", "named"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_input_does_nothing_and_exits_2(text, arguments, named, write, tmp_path, capsys):
    assert main([write(text), f"--workdir={tmp_path / 'runs'}", *arguments]) == 2
    captured = capsys.readouterr()
    assert re.fullmatch(r"error: [^\n]+\n", captured.err), captured.err
    assert captured.out == ""
    for part in named:
        assert part in captured.err
    assert not (tmp_path / "runs").exists()


def test_something_else_than_a_configuration_is_refused():
    with pytest.raises(ConfigError, match=r"get_config\(\) returned 1; must be what default_config"):
        make_entries(1, [{"levels": 1}], {})


def test_one_failed_experiment_does_not_stop_others(write, tmp_path, capsys):
    config = write("def sweep():\n    yield {'train.lr': 1e30}\n    yield {}\n")
    arguments = [config, f"--workdir={tmp_path}", "--config.seeds=(0,)", "--config.levels=1"]
    assert main(arguments) == 1
    captured = capsys.readouterr()
    first, last = captured.err.splitlines()
    assert first.startswith("error: sweep entry 0: ")
    assert last == "error: 1 of 2 experiments failed: sweep entries 0"
    rows = [line.split() for line in captured.out[captured.out.rindex("entry ") :].splitlines()[1:-1]]
    assert [row[:4] for row in rows] == [
        ["0", "1e+30", "not", "complete"],
        ["1", "0.0012", "dense", "0"],
        ["1", "0.0012", "imp", "1"],
    ]
    assert list(tmp_path.glob("*-sweep-*")) == []


def test_sigterm_stops_the_sweep_with_exit_code_75(finished, monkeypatch, capsys):
    _, command, _ = finished
    ran = []

    def run_experiment(experiment, options, workdir, **_):
        ran.append(options.levels)
        os.kill(os.getpid(), signal.SIGTERM)
        return workdir, {"rows": []}

    monkeypatch.setattr("jaxticket.lab.run.run_experiment", run_experiment)
    monkeypatch.setattr("jaxticket.sweep.print_result", lambda *_: None)
    assert main(command) == 75
    assert ran == [1]
    assert "the same command continues" in capsys.readouterr().out


SWEEPS = [file for file in sorted((ROOT / "configs").glob("*.py")) if "def sweep(" in file.read_text()]


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
def test_every_sweep_is_planned_and_documented(file, tmp_path, capsys):
    assert main([f"--config={file}:model=conv2,dataset=cifar10", f"--workdir={tmp_path}", "--dry_run"]) == 0
    assert f"jaxticket sweep --config={file.stem}:" in file.read_text().split('"""')[1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("document", ["README.md", "docs/sweeps.md"])
def test_documented_commands_are_planned(document, tmp_path, capsys):
    commands = re.findall(r"^jaxticket sweep (.*)", (ROOT / document).read_text(), re.MULTILINE)
    assert commands
    for command in commands:
        if "--search" not in command or importlib.util.find_spec("optuna"):
            assert main([*shlex.split(command.replace("=runs", f"={tmp_path}")), "--dry_run"]) == 0


def test_usage_and_config_errors_load_nothing_heavy(write):
    code = f"""
import sys
from jaxticket.sweep import main
assert main([]) == 2
assert main(["--help"]) == 0
assert main([{write(LEVELS)!r}, "--count"]) == 0
assert main([{write(LEVELS)!r}, "--config.levels=0", "--config.train.lr=0"]) == 2
loaded = [name for name in ["jax", "flax", "orbax", "scipy", "matplotlib", "rich"] if name in sys.modules]
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: python -m jaxticket.sweep") == 2
    assert done.stderr.startswith("error: sweep entry 0: config.")
