import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jaxticket import data, models
from jaxticket.lab.stages import fingerprint
from jaxticket.main import main
from jaxticket.storage import checksum

pytestmark = [pytest.mark.feature("options and registries")]

ROOT = Path(__file__).resolve().parents[1]
IMP = f"--config={ROOT / 'configs' / 'imp.py'}"
TRAIN = f"--config={ROOT / 'configs' / 'train.py'}"
SMALL = ["--config.train.epochs=1", "--config.train.batch_size=256", "--config.seeds=(0,)"]


@pytest.fixture(autouse=True)
def _fresh_config_module(monkeypatch):
    """Config files share one module name; in a process that loads many, the one before would shine through."""
    monkeypatch.delitem(sys.modules, "config_config", raising=False)


MILESTONES = ["--config.train.schedule=milestones"]
STEPS = ["--config.train.epochs=0", "--config.train.steps=100"]  # 21 of them are an epoch

# (arguments after the config file and --workdir, what the one line must name)
WRONG = [
    ([], ["--config.levles=3"], ["levles", "levels"]),
    ([], ["--config.zzzzz=0"], ["config.zzzzz", "config has aids, data"]),
    ([], ["--config.train.lrr=0"], ["config.train.lrr", "did you mean config.train.lr?"]),
    ([], ["--config.train.learning_rate=0.1"], ["config.train.learning_rate", "it is now config.train.lr"]),
    ([], ["--config.train.lr_every=2"], ["no such key; it is now config.train.lr_update"]),
    ([], ["--config.aids.scales.steps=2"], ["it is now config.aids.rescale_init_options.steps"]),
    ([], ["--config.cells=2"], ["config.cells", "config has aids"]),
    ([], ["--config.lr=0.1"], ["config.lr", "did you mean config.train.lr?"]),
    ([], ["--config.prune.rates=0.1"], ["config.prune.rates", "did you mean config.prune.rate?"]),
    ([], ["--config.prun.rate=0.1"], ["config.prun.rate", "did you mean config.prune.rate?"]),
    ([], ["--config.levels.first=1"], ["config.levels.first", "config.levels is a value"]),
    ([], ["--config.levels=None"], ["config.levels=None"]),
    ([], ["--config.model.options={'depth': 3}"], ["config.model.options.depth", "width"]),
    ([], ["--config.model.options={'activation': 'rleu'}"], ["config.model.options.activation='rleu'", "relu"]),
    ([], ["--config.model.options.padding=same"], ["config.model.options.padding"]),
    ([], ["--config.model.name=lenet5"], ["lenet5", "8x8", "padding"]),
    ([], ["--config.prune=3"], ["config.prune=3"]),
    ([], ["--config.levels=0"], ["config.levels=0", "at least 1"]),
    ([], ["--config.levels=x"], ["config.levels", "x"]),
    ([], ["--config.levels=1.5"], ["config.levels", "1.5"]),
    ([], ["--config.levels=80"], ["config.levels=80", "would remove nothing"]),
    ([], ["--config.prune.granularity=block:301x1"], ["config.prune.granularity='block:301x1'", "at most 300 inputs"]),
    ([], ["--config.prune.max_layer_sparsity=0.5"], ["config.prune.max_layer_sparsity=0.5", "config.levels=10"]),
    (
        [],
        ["--config.prune.rules=(('fc1/kernel', True), ('fc9/.*', False), ('.*', False))"],
        ["config.prune.rules: rule 'fc9/.*' matches nothing", "fc1/bias, fc1/kernel"],
    ),
    (
        [],
        ["--config.prune.rules=(('.*/kernel', True), ('head/kernel', False), ('.*', False))"],
        ["config.prune.rules: rule 'head/kernel' comes too late"],
    ),
    (
        [],
        ["--config.mesh.fsdp=2", "--config.mesh.rules=(('fc7', 0),)"],
        ["config.mesh.rules: rule 'fc7' matches nothing"],
    ),
    ([], ["--config.mesh.rules=(('fc1/kernel', 0),)"], ["config.mesh.rules", "fsdp above 1"]),
    ([], ["--config.mesh.fsdp=2", "--config.mesh.rules=(('(', 0),)"], ["config.mesh.rules", "'('"]),
    ([], ["--config.model.options={'width': 1e9}"], ["config.model.options.width=1000000000.0", "at most 256"]),
    ([":model=preresnet"], ["--config.model.options={'depth': 90002}"], ["config.model.options.depth=90002"]),
    ([], ["--config.train.lr=1e-46"], ["config.train.lr=1e-46", "float32"]),
    ([], ["--config.train.lr=1e39"], ["config.train.lr=1e+39", "float32"]),
    ([], ["--config.train.weight_decay=1e-60"], ["config.train.weight_decay=1e-60", "float32"]),
    ([], ["--config.train.batch_size=99999999999"], ["config.train.batch_size=99999999999", "at most 2147483647"]),
    ([], ["--config.data.augment.crop_padding=8"], ["config.data.augment.crop_padding=8", "less than the side"]),
    ([], ["--config.data.augment.cutout=9"], ["config.data.augment.cutout=9", "at most the side"]),
    ([], ["--config.data.augment.mixup=1e300"], ["config.data.augment.mixup=1e+300", "float32"]),
    ([], ["--config.data.augment.mixup=101"], ["config.data.augment.mixup=101", "at most 100"]),
    ([], ["--config.profile_steps=841"], ["config.profile_steps=841", "at most the 840 steps"]),
    ([], ["--config.writers=('wandb','wandb')"], ["config.writers=('wandb', 'wandb')", "different"]),
    (
        [],
        ["--config.train.schedule=cosine_restarts", "--config.train.restart_factor=1e30"],
        ["config.train.restart_factor=1e+30", "at most 1000"],
    ),
    ([], [*STEPS, "--config.rewind_steps=100"], ["config.rewind_steps=100", "less than the 100 steps"]),
    ([], ["--config.rewind_steps=840"], ["config.rewind_steps=840", "less than the 840 steps"]),
    ([], [*STEPS, "--config.rewind_epochs=5"], ["config.rewind_epochs=5", "less than the 4.762 epochs"]),
    ([], ["--config.prune.rate=1.2"], ["config.prune.rate=1.2", "less than 1"]),
    ([], ["--config.prune.rate=0"], ["config.prune.rate=0.0", "more than 0"]),
    ([], ["--config.prune.scope=world"], ["config.prune.scope='world'", "global, layer"]),
    ([], ["--config.prune.criterion=taste"], ["config.prune.criterion='taste'", "magnitude"]),
    ([], ["--config.prune.rules=(('(', True),)"], ["config.prune.rules", "'('"]),
    (
        [],
        ["--config.prune.rules=(('nothing', True),)"],
        ["config.prune.rules: rule 'nothing'", "fc1/bias, fc1/kernel"],
    ),
    (
        [],
        ["--config.prune.rules=(('.*', False),)"],
        ["config.prune.rules", "nothing in lenet300 is prunable"],
    ),
    ([], ["--config.model.name=lenet3000"], ["config.model.name='lenet3000'", "lenet300"]),
    ([":model=tests/own/nowhere.py:Net"], [], ["there is no file", "nowhere.py"]),
    ([":model=tests/own/raises.py:Net"], [], ["ZeroDivisionError", "(raises.py, line 3)"]),
    ([":model=tests/own/wrong_nets.py"], [], ["must be FILE.py:NAME; it has FiveWide, NeedsHidden"]),
    ([":model=tests/own/wrong_nets.py:SixWide"], [], ["there is no SixWide in", "it has FiveWide"]),
    ([":model=tests/own/wrong_nets.py:number"], [], ["must be a Network or a function or class, found 3"]),
    ([":model=tests/own/wrong_nets.py:FiveWide"], [], ["gives logits [60, 5]", "with an argument num_classes"]),
    ([":model=tests/own/wrong_nets.py:NeedsHidden"], [], ["config.model.options", "needs hidden"]),
    ([":model=tests/own/wrong_nets.py:Crooked"], [], ["TypeError: dot_general", "(wrong_nets.py, line 35)"]),
    ([":model=tests/own/wrong_nets.py:CrookedInTraining"], [], ["'unheard' is not defined (wrong_nets.py, line 45)"]),
    ([":model=tests/own/wrong_nets.py:WithoutRngs"], [], ["takes no rngs"]),
    ([":model=tests/own/wrong_nets.py:layers"], [], ["must be a class of Linen or NNX modules"]),
    (
        [":model=tests/own/linen_net.py:LinenNet"],
        ["--config.model.options={'feature': 9}"],
        ["did you mean 'features'"],
    ),
    (
        [":model=tests/own/linen_net.py:LinenNet"],
        ["--config.train.compute_dtype=bfloat16"],
        ["config.train.compute_dtype", "no option dtype"],
    ),
    ([], ["--config.prune.criterion=tests/own/wrong_nets.py:of_images"], ["takes (images); must take params, mask"]),
    *(
        ([":model=conv3,dataset=digits"], [f"--config.init={given}"], said)
        for given, said in (
            ("README.md", ["config.init='README.md'", "is not a file of torch.save; give a .pth"]),
            ("tests/golden/torch_resnet20.pth", ["torch_resnet20.pth", "'conv3' cannot be converted from PyTorch"]),
            ("tests/golden/torch_resnet20.pth:weights", ["no entry 'weights'; its entries are 'arch'"]),
            ("tests/golden/torch_resnet20.pth:state_dict/x", ["no entry 'state_dict/x'; its entries are 'arch'"]),
            ("tests/golden/torch_resnet20.pth:epoch", ["its entry 'epoch' is no state dict; its entries are 'arch'"]),
            ("tests/golden", ["config.init='tests/golden'", "is no finished stage and no ticket"]),
            ("nowhere.bin", ["config.init='nowhere.bin'", "there is no such file or folder", ".th or .bin"]),
        )
    ),
    ([], ["--config.data.name=digit"], ["config.data.name='digit'", "digits"]),
    ([], ["--config.data.val_fraction=1.0"], ["config.data.val_fraction=1.0"]),
    ([], ["--config.train.epochs=0"], ["config.train.epochs=0"]),
    ([], ["--config.train.steps=5"], ["config.train.steps=5", "set one of them to 0"]),
    ([], ["--config.train.clip_norm=-1"], ["config.train.clip_norm=-1.0", "at least 0"]),
    ([], ["--config.train.accumulate_steps=0"], ["config.train.accumulate_steps=0", "at least 1"]),
    ([], [*STEPS, "--config.train.accumulate_steps=101"], ["config.train.accumulate_steps=101", "the 100 steps"]),
    ([], ["--config.train.ema_decay=1"], ["config.train.ema_decay=1.0", "less than 1"]),
    (
        [],
        ["--config.train.ema_decay=0.9", "--config.aids.ghost_skips=True", "--config.aids.permanent=True"],
        ["config.train.ema_decay=0.9", "ghost skips are not averaged"],
    ),
    ([], ["--config.train.lr=0"], ["config.train.lr=0.0", "more than 0"]),
    ([], ["--config.train.lr=fast"], ["config.train.lr", "fast"]),
    ([], ["--config.train.optimizer=adma"], ["config.train.optimizer='adma'", "adam"]),
    ([], ["--config.train.batch_size=100000"], ["config.train.batch_size=100000", "training images"]),
    ([], ["--config.train.nesterov=True"], ["config.train.nesterov", "sgd"]),
    ([], ["--config.train.schedule=milestones"], ["config.train.milestones", "at least one"]),
    ([], ["--config.train.milestones=(3.0,)"], ["config.train.milestones", "schedule"]),
    ([], [*MILESTONES, "--config.train.milestones=(0.75,0.5)"], ["config.train.milestones=(0.75, 0.5)", "increasing"]),
    ([], [*MILESTONES, "--config.train.milestones=(0.5,8.0)"], ["config.train.milestones=(0.5, 8.0)", "all shares"]),
    (
        [],
        [*MILESTONES, "--config.train.milestones=(20.0,40.0)"],
        ["milestones=(20.0, 40.0)", "less than the 40 epochs"],
    ),
    (
        [],
        [*MILESTONES, *STEPS, "--config.train.milestones=(1.0,5.0)"],
        ["milestones=(1.0, 5.0)", "less than the 4.762 epochs", "shares of training"],
    ),
    ([], [*MILESTONES, *STEPS, "--config.train.milestones=(0.5,0.501)"], ["to the steps 50, 50 of 100"]),
    (
        [],
        [*MILESTONES, "--config.train.milestones=(0.1,)", "--config.train.warmup_epochs=5"],
        ["config.train.warmup_epochs=5.0", "of train.milestones=(0.1,)"],
    ),
    ([], ["--config.train.warmup_epochs=40"], ["config.train.warmup_epochs=40.0", "less than the 40 epochs"]),
    ([], ["--config.train.eval_epochs=41"], ["config.train.eval_epochs=41", "at most the 40 epochs"]),
    ([], ["--config.train.checkpoint_epochs=41"], ["config.train.checkpoint_epochs=41", "at most the 40 epochs"]),
    ([], [*STEPS, "--config.train.warmup_steps=100"], ["config.train.warmup_steps=100", "less than the 100 steps"]),
    ([], ["--config.train.schedule=step", "--config.train.step_epochs=40"], ["step_epochs=40.0", "less than the 40"]),
    (
        [],
        ["--config.train.schedule=cosine_restarts", "--config.train.restart_epochs=40"],
        ["config.train.restart_epochs=40.0", "less than the 40 epochs"],
    ),
    (
        [],
        ["--config.train.schedule=cyclic", "--config.train.cycle_down_epochs=36"],
        ["config.train.cycle_down_epochs=36.0", "at most the 40 epochs"],
    ),
    (
        [],
        ["--config.train.schedule=plateau", "--config.train.plateau_patience=38"],
        ["config.train.plateau_patience=38", "evaluations of training"],
    ),
    ([], ["--config.train.patience=39"], ["config.train.patience=39", "less than the 40 evaluations"]),
    (
        [],
        ["--config.train.select_checkpoint=best_val", "--config.data.val_fraction=0."],
        ["config.train.select_checkpoint", "val_fraction"],
    ),
    ([], ["--config.seeds=()"], ["config.seeds=()", "at least one"]),
    ([], ["--config.seeds=(1,1)"], ["config.seeds=(1, 1)", "different"]),
    ([], ["--config.seed=-1"], ["config.seed=-1", "at least 0"]),
    ([], ["--config.name=a/b"], ["config.name='a/b'", "letters"]),
    ([], ["--config.reinit=half"], ["config.reinit='half'", "init, none, random"]),
    ([], ["--config.rewind_epochs=99"], ["config.rewind_epochs=99", "less than"]),
    ([], ["--config.retrain=remaining"], ["config.retrain", "rewind_epochs"]),
    ([], ["--config.experiment=impp"], ["config.experiment='impp'", "'imp'"]),
    ([], ["--wordkir=x"], ["wordkir"]),
    ([], ["stray"], ["'stray'"]),
    ([":model"], [], ["'model'", "model=lenet300"]),
    ([":modle=conv2"], [], ["'modle=conv2'"]),
    ([":model=conv9"], [], ["config.model.name='conv9'", "conv2"]),
    ([":dataset=mnist"], ["--config.data.folder=/nowhere"], ["mnist", "config.data.download=True"]),
    (
        [":dataset=cifar10"],
        ["--config.data.folder=/nowhere"],
        ["cifar-10-binary.tar.gz", "170.1 MB", "/nowhere", "jaxticket data prepare cifar10", "data.download=True"],
    ),
    (
        [":dataset=imagenet2012"],
        ["--config.data.folder=/nowhere"],
        ["ILSVRC2012_img_train.tar", "154.6 GB", "account", "jaxticket data prepare imagenet2012"],
    ),
    ([":dataset=cifar11"], [], ["config.data.name='cifar11'", "did you mean 'cifar10"]),
    ([":model=vgg16"], [], ["a VGG takes images of 16x16 or more, got 8x8"]),
    ([], ["--config.data.part=1/3"], ["config.data.part='1/3'", "use 2, 5, 10 parts"]),
    ([], ["--config.data.part=half"], ["config.data.part='half'", "'1/2'"]),
    ([], ["--config.data.train_fraction=0."], ["config.data.train_fraction=0.0", "more than 0"]),
    ([], ["--config.data.label_noise=1.5"], ["config.data.label_noise=1.5", "at most 1"]),
    ([], ["--config.data.augment.resized_crop=9"], ["config.data.augment.resized_crop=9", "digits, 8"]),
    (
        [],
        ["--config.data.augment.resized_crop=8", "--config.data.augment.crop_padding=1"],
        ["config.data.augment.crop_padding=1", "set one of them to 0"],
    ),
    (
        [":dataset=imagenet2012"],
        ["--config.data.label_noise=0.1"],
        ["config.data.label_noise=0.1", "imagenet2012 is streamed"],
    ),
]


@pytest.mark.parametrize(("suffix", "arguments", "named"), WRONG, ids=lambda value: " ".join(value) or "-")
def test_wrong_input_is_exit_code_2(suffix, arguments, named, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    config = IMP + "".join(suffix)
    assert main([config, *SMALL[:0], f"--workdir={tmp_path / 'runs'}", *arguments]) == 2
    captured = capsys.readouterr()
    assert re.fullmatch(r"error: [^\n]+\n", captured.err), captured.err
    for text in named:
        assert text in captured.err
    rows = list((tmp_path / "runs").glob("*/tickets")) + list((tmp_path / "runs").glob("stages/train-*/last*"))
    assert rows == []


def test_none_puts_a_default_none_back(tmp_path, capsys):
    folders = []
    for overrides in ([], ["--config.seed=None"], ["--config.seed=3", "--config.seed=None"]):
        assert main([TRAIN, f"--workdir={tmp_path}", "--dry_run", *overrides]) == 0
        folders.append(re.search(r"results in +(.+)", capsys.readouterr().out)[1])
    assert len(set(folders)) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--workdir=runs"], "--config: is missing"),
        (["--config=nowhere/no.py"], "nowhere/no.py"),
        ([f"--config={ROOT / 'pyproject.toml'}"], "pyproject.toml"),
    ],
)
def test_missing_or_foreign_config_file(arguments, named, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: [^\n]+\n", error)
    assert named in error


IMP_CONFIG = "from jaxticket.experiments import default_config\nconfig = default_config('imp')\n"


@pytest.mark.parametrize(
    ("text", "argument", "said"),
    [
        ("def get_config(:\n", "", "SyntaxError: .* \\(FILE, line 1\\)"),
        ("x = 1\n", "", "has no get_config\\(\\); define get_config\\(\\)"),
        ("def get_config():\n    return 1\n", "", "get_config\\(\\) returned 1"),
        ("import nothing_like_it\n", "", "ModuleNotFoundError: .*'nothing_like_it' \\(FILE, line 1\\)"),
        ("def get_config():\n    return 1 + 'a'\n", "", "TypeError: unsupported operand .* \\(FILE, line 2\\)"),
        ("def get_config():\n    int('a')\n", ":model=lenet5", "TypeError: .*; leave out ':model=lenet5', or define"),
        ("import sys\nsys.exit(3)\n", "", "SystemExit: 3 \\(FILE, line 2\\)"),
        ("def get_config():\n    return {}['a']\n", "", "KeyError: a \\(FILE, line 2\\)"),
        ("def get_config():\n    open('nothing/here')\n", "", "FileNotFoundError: .*nothing/here.* \\(FILE, line 2\\)"),
        (
            IMP_CONFIG + "config.lr_every = 2\n",
            "",
            "no such key: 'lr_every'; it is now config.train.lr_update \\(FILE, line 3",
        ),
        (IMP_CONFIG + "config.levles = 2\n", "", "no such key: 'levles'; did you mean 'levels'\\? \\(FILE, line 3\\)"),
        ("open('nothing/here')\n", "", "nothing/here"),
        ("b'\\xff'.decode()\n", "", "UnicodeDecodeError: .* \\(FILE, line 1\\)"),
    ],
)
def test_config_file_that_is_broken(text, argument, said, tmp_path, capsys):
    file = tmp_path / "broken.py"
    file.write_text(text)
    assert main([f"--config={file}{argument}", f"--workdir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: [^\n]+\n", error)
    assert re.search(said.replace("FILE", re.escape(str(file))), error)
    assert "Traceback" not in error


def test_damaged_missing_and_foreign_tickets(small_ticket, tmp_path, capsys):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in small_ticket.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    content = (damaged / "ticket.safetensors").read_bytes()
    (damaged / "ticket.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 255]))
    for folder, extra in (
        (damaged, []),
        (tmp_path / "absent", []),
        (tmp_path, []),
        (small_ticket, ["--config.model.name=conv2"]),
    ):
        arguments = [TRAIN, f"--config.ticket={folder}", f"--workdir={tmp_path / 'runs'}", *extra]
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert re.fullmatch(r"error: [^\n]+\n", error), error
        assert str(folder) in error or folder.name in error


def test_work_folder_that_cannot_be_written(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    assert main([IMP, f"--workdir={file / 'runs'}"]) == 2
    assert re.fullmatch(r"error: --workdir=[^\n]+\n", capsys.readouterr().err)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The work folder of a small IMP run made by the command line, and what was printed."""
    workdir = tmp_path_factory.mktemp("runs")
    command = [
        sys.executable,
        "-m",
        "jaxticket.main",
        IMP,
        *SMALL,
        "--config.levels=2",
        f"--workdir={workdir}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    (folder,) = workdir.glob("imp-*")
    return workdir, folder, done.stdout


@pytest.fixture(scope="module")
def small_ticket(finished):
    return finished[1] / "tickets" / "imp-2-0"


def test_run_folder_has_everything(finished):
    workdir, folder, printed = finished
    assert re.fullmatch(r"imp-[0-9a-f]{8}", folder.name)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["complete"]
    assert summary["experiment"] == "imp"
    assert summary["config_hash"] == folder.name[-8:]
    assert [row["branch"] for row in summary["rows"]] == ["dense", "imp", "imp"]
    assert {"commit", "versions", "device", "command"} <= set(summary)
    assert sorted(path.name for path in (folder / "tickets").iterdir()) == ["imp-1-0", "imp-2-0"]
    assert (folder / "report.html").stat().st_size > 10_000
    assert list((folder / "figures").glob("*.svg"))
    for row in summary["rows"]:
        assert (workdir / "stages" / row["stage"] / "manifest.json").exists()
        assert not (workdir / "stages" / row["stage"] / "checkpoints").exists()
    assert f"{folder / 'report.html'}" in printed.replace("\n", "")


def test_same_command_only_reports(finished, capsys):
    workdir, folder, _ = finished
    assert main([IMP, *SMALL, "--config.levels=2", f"--workdir={workdir}"]) == 0
    assert all(row["cached"] for row in json.loads((folder / "summary.json").read_text())["rows"])
    assert capsys.readouterr().out.count("cached") >= 3


def test_of_key_that_is_given_twice_last_counts(capsys):
    def planned(*overrides):
        assert main([IMP, *SMALL, "--dry_run", *overrides]) == 0
        return re.search(r"results in +(.+)", capsys.readouterr().out)[1]

    twice = planned("--config.seeds=(0,)", "--config.levels=2", "--config.seeds=(1,)")
    assert twice == planned("--config.levels=2", "--config.seeds=(1,)")


def test_output_that_nothing_reads_ends_in_one_line(finished):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "jaxticket.main", IMP, *SMALL, "--config.levels=2", f"--workdir={finished[0]}"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    os.close(writer)
    assert done.returncode == 75
    assert done.stderr == "stopped, nothing reads the output any more; the same command continues\n"


def test_dry_run_prints_the_plan_and_writes_nothing(finished, tmp_path, capsys):
    workdir, _, _ = finished
    assert main([IMP, *SMALL, "--config.levels=3", f"--workdir={workdir}", "--dry_run"]) == 0
    printed = capsys.readouterr().out
    assert "fc1/kernel" in printed
    assert "networks: 4, of which 1 to train" in printed
    assert printed.count("to do") == 3  # pruning, the accuracy right after it, and training
    assert "to train    1 networks, " in printed
    assert main([IMP, f"--workdir={tmp_path / 'new'}", "--dry_run"]) == 0
    assert not (tmp_path / "new").exists()


def test_rerun_repeats_with_the_same_bits(finished, capsys, monkeypatch):
    workdir, folder, _ = finished
    command = [IMP, *SMALL, "--config.levels=2", f"--workdir={workdir}"]
    weights = {file: checksum(file) for file in workdir.glob("stages/*/*.safetensors")}
    written = {file: file.stat().st_ino for file in workdir.glob("stages/*/manifest.json")}
    edited = {**fingerprint.package_files(), "core/prune.py": "edited"}
    with monkeypatch.context() as patch:
        patch.setattr(fingerprint, "package_files", lambda: edited)
        assert main(command) == 0
        line = "stages were made by other sources of jaxticket (core/prune.py); --rerun=changed does that again\n"
        assert capsys.readouterr().out.count(line) == 1
        (note,) = json.loads((folder / "summary.json").read_text())["notes"]
        assert f"{note}\n".endswith(line)
        assert note in html.unescape((folder / "report.html").read_text())
        assert main([*command, "--dry_run", "--rerun=train"]) == 0
        printed = capsys.readouterr().out
        assert printed.count("to do") == 3
        assert "(dense-0-0): is done, and is done again" in printed
        assert main([*command, "--rerun=train"]) == 0
        printed = capsys.readouterr().out
        assert printed.count("stages were made by other sources") == 1  # those that are not trained
        assert not re.search(r"test 0\.\d+ +cached", printed)
    again = {file.parent.name.partition("-")[0] for file, node in written.items() if file.stat().st_ino != node}
    assert again == {"train"}
    assert {file: checksum(file) for file in weights} == weights
    assert main([*command, "--rerun=changed"]) == 0  # by the edited ones
    assert not any(row["cached"] for row in json.loads((folder / "summary.json").read_text())["rows"])
    assert main(command) == 0
    assert "other sources" not in capsys.readouterr().out
    assert main([*command, "--rerun=trian"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --rerun=trian: must be one of all, changed, ")
    assert line.endswith("; did you mean 'train'?")


def test_a_ticket_can_be_trained_again(small_ticket, tmp_path):
    assert main([TRAIN, *SMALL, f"--config.ticket={small_ticket}", f"--workdir={tmp_path}"]) == 0
    (folder,) = tmp_path.glob("train-*")
    (row,) = json.loads((folder / "summary.json").read_text())["rows"]
    assert row["branch"] == "ticket"
    first = json.loads((small_ticket.parents[1] / "summary.json").read_text())["rows"][2]
    assert (row["kept"], row["test_accuracy"]) == (first["kept"], first["test_accuracy"])


def test_help_and_config_errors_load_nothing_heavy():
    heavy = ["jax", "flax", "optax", "orbax", "tensorflow_datasets", "grain", "cv2", "scipy"]
    heavy += ["PIL", "matplotlib", "rich"]
    code = f"""
import sys
import jaxticket
from jaxticket import data, models
from jaxticket.lab.stages import fingerprint
from jaxticket.main import main
from jaxticket.storage import checksum
assert main(["--help"]) == 0
assert main([{IMP!r}, "--config.levels=0"]) == 2
loaded = [name for name in {heavy} if name in sys.modules]
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "--workdir" in done.stdout
    assert done.stderr.startswith("error: config.levels=0")


def test_no_arguments_prints_usage(capsys):
    assert main([]) == 2
    assert "usage: python -m jaxticket.main" in capsys.readouterr().out


PAIRS = [(model, "cifar10") for model in models.names()] + [("lenet300", dataset) for dataset in data.names()]
PAIRS += [("resnet50", "imagenet2012"), ("resnet18", "imagenette"), ("alexnet", "digits"), ("lenet5", "digits")]


@pytest.mark.every_depth
@pytest.mark.parametrize(("model", "dataset"), sorted(set(PAIRS)))
def test_models_and_data_sets_are_planned_without_data(model, dataset, tmp_path, capsys):
    arguments = [f"{IMP}:model={model},dataset={dataset}", "--config.levels=1", f"--workdir={tmp_path}", "--dry_run"]
    assert main([*arguments, f"--config.data.folder={tmp_path}/nothing"]) == 0
    assert f"{model} on {dataset}" in capsys.readouterr().out


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.py")), ids=lambda file: file.stem)
def test_every_config_is_planned_and_documented(file, tmp_path, capsys):
    assert main([f"--config={file}", f"--workdir={tmp_path}", "--dry_run"]) == 0
    docstring = file.read_text().split('"""')[1]
    assert f"jaxticket run --config={file.stem}" in docstring
    assert not list(tmp_path.iterdir())
