"""The `jaxticket` command: what each subcommand prints, and one line for what is wrong."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from jaxticket import data, models
from jaxticket.cli import COMMANDS, main
from jaxticket.experiments import names, resolve
from jaxticket.lab.config import config_hash

pytestmark = [pytest.mark.feature("commands and keys")]

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--config.train.epochs=1", "--config.train.batch_size=256", "--config.seeds=(0,)", "--config.levels=2"]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    """In an empty folder, where nothing but the package has config files; one module name is shared by them."""
    monkeypatch.delitem(sys.modules, "config_config", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def say(capsys, *arguments, code=0):
    found = main(arguments)
    captured = capsys.readouterr()
    assert found == code, captured
    return captured.out if code == 0 else captured.err


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A work folder with one small run, by a recipe of the package."""
    folder = tmp_path_factory.mktemp("cli")
    assert main(["run", "--config=imp:model=lenet300,dataset=digits", *SMALL, f"--workdir={folder}"]) == 0
    return folder


def ticket_of(runs, label):
    (folder,) = runs.glob(f"imp-*/tickets/{label}")
    return str(folder)


def test_help_names_every_command(capsys):
    assert say(capsys, "--help").startswith("usage: jaxticket COMMAND")
    assert all(f"  {name} " in say(capsys, "--help") for name in COMMANDS)
    for name in COMMANDS:
        assert f"jaxticket {name}" in say(capsys, name, "--help")
    assert main([]) == 2


def test_help_loads_nothing_heavy():
    code = "import sys; from jaxticket.cli import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "jax", "ml_collections", "rich", "absl"} & set(done.stdout.split())


def test_list_has_everything_registered(capsys):
    printed = say(capsys, "list")
    words = set(printed.split())
    assert {*names(), *models.names(), *data.names(), "magnitude", "wanda"} <= words
    assert "Frankle & Carbin (2019)" in printed
    assert "about 20 minutes on 2 cores" in printed
    assert "dataset=folder:PATH or npz:FILE" in printed
    assert "Networks" not in say(capsys, "list", "experiments")


def test_keys_have_type_default_and_meaning(capsys):
    printed = say(capsys, "keys", "imp", "train.lr")
    assert "train.lr = 0.1  float, more than 0\n    the learning rate after warm-up." in printed
    assert "train.lr_update = 'step'  one of step, epoch\n" in printed
    assert "levels" not in printed


@pytest.mark.parametrize("experiment", names())
def test_every_key_has_a_meaning(experiment, capsys):
    lines = say(capsys, "keys", experiment).splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r"[\w.]+ = ", line)]
    assert len(keys) > 70
    assert not [lines[number] for number in keys if not re.match(r" {4}\S", lines[number + 1])]


def test_help_of_a_config_shows_its_values(capsys):
    printed = say(capsys, "run", "--config=imp:model=lenet5,dataset=mnist", "--config.levels=3", "--help")
    assert "levels = 3 (default 8)  int, at least 1" in printed
    assert "data.name = 'mnist' (default 'digits')" in printed
    assert "model.options.variant = 'classic'  one of classic, colt" in printed


@pytest.mark.parametrize("experiment", names())
def test_config_is_a_config_file_again(experiment, tmp_path, capsys):
    changes = ["--config.model.options={'width': 0.5}", "--config.seed=3", "--config.train.lr=0.025"]
    given = [f"--config={experiment}:model=lenet300" if experiment != "transfer" else "--config=transfer", *changes]
    assert say(capsys, "config", *given, "--out=mine.py") == "config   mine.py\n"
    assert say(capsys, "config", "--config=mine.py") == Path("mine.py").read_text()
    namespace = {}
    exec(Path("mine.py").read_text(), namespace)
    found, options = resolve(namespace["get_config"]())
    assert options.model.options == {"width": 0.5}
    folder = say(capsys, "plan", *given).splitlines()[-1]
    assert folder.endswith(f"{experiment}-{config_hash(found.name, options)}")


def test_file_wins_over_recipe_of_its_name(tmp_path, capsys):
    assert "config.levels = 10" in say(capsys, "config", "--config=imp")
    Path("imp").write_text("from jaxticket.experiments import recipe_config as get_config\n")
    Path("imp").write_text(
        "from jaxticket.experiments import recipe_config\n"
        "def get_config(argument=None):\n    return recipe_config('imp', argument, levels=4)\n"
    )
    assert "config.levels = 4" in say(capsys, "config", "--config=imp")


def test_ranges_and_lone_seeds(capsys):
    assert "config.seeds = (0, 1, 2, 3, 4)  " in say(capsys, "config", "--config=train", "--config.seeds=range(5)")
    assert "config.seeds = (2, 4)  " in say(capsys, "config", "--config=train", "--config.seeds=range(2, 6, 2)")
    assert main(["config", "--config=train", "--config.seeds=2"]) == 0
    captured = capsys.readouterr()
    assert main(["config", "--config=train", "--config.seeds=1"]) == 0
    assert capsys.readouterr().err == ""
    assert captured.err == "note: config.seeds=2: is the one seed number 2; for 2 seeds give range(2)\n"
    assert "config.seeds = (2,)  " in captured.out


def test_none_empties_what_is_empty_by_default(capsys):
    plain = say(capsys, "config", "--config=imp")
    for key in ("seed", "dense", "train_levels", "name"):
        assert say(capsys, "config", "--config=imp", f"--config.{key}=None") == plain


def test_sweep_and_plan_by_name(capsys):
    assert say(capsys, "sweep", "--config=train", "--count") == "6\n"
    assert "networks: 33, of which 33 to train" in say(capsys, "plan", "--config=imp:dataset=digits")
    assert not list(Path().iterdir())


def test_ticket_info_and_diff(runs, capsys):
    one, two = ticket_of(runs, "imp-1-0"), ticket_of(runs, "imp-2-0")
    info = say(capsys, "ticket", "info", two)
    assert re.search(r"^weights +rewind$", info, re.MULTILINE)
    assert re.search(r"^all prunable +31,872 +49,800|^all prunable +\S+ +\S+ +0\.36", info, re.MULTILINE)
    diff = say(capsys, "ticket", "diff", one, two)
    row = re.search(r"^fc1/kernel +([\d,]+) +([\d,]+) +(\d+) ", diff, re.MULTILINE)
    assert row[3] == "0"  # the second level only removes
    assert "distance 0.16" in diff


def test_stages_are_listed_explained_and_cleared(runs, capsys):
    workdir = f"--workdir={runs}"
    lines = say(capsys, "stages", "list", workdir).splitlines()
    kinds = [line.split("-")[0] for line in lines[1:]]
    assert kinds == sorted(kinds)
    assert kinds.count("train") == 3
    stage = next(line.split()[0] for line in lines if line.startswith("train"))
    why = say(capsys, "stages", "why", stage, workdir)
    assert "config.train.epochs" in why
    assert "is nearest, but for inputs.mask=" in why
    assert say(capsys, "stages", "adopt", workdir).startswith("0 of ")
    assert "0 stages, 0.0 MB" in say(capsys, "stages", "gc", workdir)


def test_report_and_data_are_commands(runs, capsys):
    assert "comparison.html" in say(capsys, "report", str(runs))
    assert "digits" in say(capsys, "data", "list", "--folder=nowhere")


COMPLETED = [
    ("jaxticket ke", ["keys"]),
    ("jaxticket run --wo", ["--workdir="]),
    ("jaxticket stages g", ["gc"]),
    ("jaxticket stages gc --r", ["--remove"]),
    ("jaxticket keys early", ["early_bird"]),
    ("jaxticket run --config=qu", ["--config=quickstart"]),
    ("jaxticket run --config=imp:da", ["--config=imp:dataset="]),
    ("jaxticket run --config=imp:model=lenet5,dataset=di", ["--config=imp:model=lenet5,dataset=digits"]),
    ("jaxticket run --config=imp --config.rewind_e", ["--config.rewind_epochs="]),
    ("jaxticket plan --config=imp --config.train.optimizer=ad", ["adam", "adamw", "adadelta"]),
    ("jaxticket run --config=imp --config.draw", []),
]


@pytest.mark.parametrize(("line", "expected"), COMPLETED, ids=lambda value: str(value)[:40])
def test_completion_of_words(line, expected, capsys):
    whole = say(capsys, "completion", "words", line).split()
    assert [one.rpartition("=")[2] if one.startswith("--config.train.opt") else one for one in whole] == expected
    parted = say(capsys, "completion", "words", line, "=:").split()
    assert parted == [one[1 + max(line.split()[-1].rfind(mark) for mark in "=:") :] for one in whole]


def test_bash_completes_a_command(capsys):
    script = say(capsys, "completion", "bash")
    program = f"""jaxticket() {{ {sys.executable} -m jaxticket "$@"; }}
{script}
COMP_LINE="jaxticket run --config=imp:mod"; COMP_POINT=30; COMP_WORDBREAKS="=:"
compopt() {{ echo "$@"; }}
_jaxticket; echo "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split("\n")[:2] == ["-o nospace", "model="]
    assert "compdef _jaxticket jaxticket" in say(capsys, "completion", "zsh")


# (arguments, what the one line must name)
WRONG = [
    (["rnu"], ["command 'rnu'", "did you mean 'run'"]),
    (["run", "--config=impp"], ["--config=impp", "no such file", "imp"]),
    (["run", "--config=there/imp.py"], ["--config=there/imp.py", "give --config=imp"]),
    (["run", "--config=imp:lenet5,digits"], ["'lenet5'", "NAME=VALUE", "model=lenet300,dataset=digits"]),
    (["plan", "--config=train", "--config.draw_epochs=1"], ["config.draw_epochs", "in train", "a key of early_bird"]),
    (["plan", "--config=imp", "--config.partitions=2"], ["config.partitions", "in imp", "a key of colt"]),
    (["plan", "--config=imp", "--config.model.options.width=2"], ["config.model.options.width", "{'width': VALUE}"]),
    (["plan", "--config=imp", "--config.model.name.x=2"], ["config.model.name.x", "config.model.name is a value"]),
    (["plan", "--config=imp", "--config.train.nesterov=yes"], ["config.train.nesterov=yes", "True or False"]),
    (["plan", "--config=imp", "--config.levels=2.5"], ["config.levels=2.5", "int, at least 1"]),
    (["plan", "--config=imp", "--config.seeds=range(x)"], ["config.seeds[0]='range(x)'"]),
    (["run", "imp"], ["--config: is missing", "--config=imp"]),
    (["plan", "--config=imp", "--lr=0.1"], ["--lr", "did you mean --config.train.lr?"]),
    (["plan", "--config=imp", "--train.lr=0.1"], ["--train.lr", "did you mean --config.train.lr?"]),
    (["plan", "--config=imp", "train.lr=0.1"], ["'train.lr=0.1'", "such as --config.train.lr=0.1"]),
    (["plan", "--config=imp", "--config.train.lr"], ["config.train.lr"]),
    (["keys", "imp", "train.lrr"], ["config.train.lrr", "did you mean 'train.lr'?"]),
    (["keys"], ["EXPERIMENT", "jaxticket keys --help"]),
    (["keys", "impp"], ["'impp'", "did you mean 'imp'"]),
    (["list", "netwroks"], ["netwroks", "experiments"]),
    (["config", "--config=imp", "--config.levels=0"], ["config.levels=0", "at least 1"]),
    (["config", "--config=imp", "--out=no/such/folder.py"], ["--out=no/such/folder.py", "No such file"]),
    (["config", "--config=imp", "--uot=x.py"], ["uot"]),
    (["ticket", "info", "nothing"], ["nothing holds no ticket"]),
    (["ticket", "diff", "nothing"], ["OTHER", "jaxticket ticket diff --help"]),
    (["export", "nothing", "--out=never-written"], ["nothing holds no ticket"]),
    (["export", "nothing"], ["--out"]),
    (["export", "nothing", "--out=never-written", "--shrink", "--sparsify"], ["--sparsify", "--shrink"]),
    (["stages", "list", "--workdir=nothing"], ["nothing: has no folder of stages"]),
    (["stages", "gc", "--workdir=nothing", "--remove"], ["nothing: has no folder of stages"]),
    (["completion", "fish"], ["fish", "bash"]),
]


@pytest.mark.parametrize(("arguments", "named"), WRONG, ids=lambda value: " ".join(value))
def test_wrong_input_is_one_line(arguments, named, capsys):
    error = say(capsys, *arguments, code=2)
    assert re.fullmatch(r"error: [^\n]+\n", error), error
    for text in named:
        assert text in error
    assert not list(Path().iterdir())


def test_wrong_stages_and_tickets_of_runs(runs, capsys):
    for arguments, named in (
        (["stages", "why", "train-00", f"--workdir={runs}"], "stage 'train-00': must be one of"),
        (["stages", "adopt", "train-00", f"--workdir={runs}"], "train-00: is no stage"),
        (["ticket", "info", str(next(runs.glob("imp-*")))], "is a run; give one of its tickets"),
        (["config", "--config=imp", f"--out={runs}"], "cannot be written"),
    ):
        assert named in say(capsys, *arguments, code=2)
