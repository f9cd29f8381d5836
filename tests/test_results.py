"""The numbers of the README and of docs/, and the words that follow from them, are those of the stored rows."""

import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import jaxticket as jt
from jaxticket import data, models
from jaxticket.main import main
from jaxticket.sweep import main as sweep

pytestmark = [pytest.mark.feature("documents and public names")]

ROOT = Path(__file__).resolve().parents[1]
MADE = ROOT / "docs" / "made"


@pytest.fixture
def made(monkeypatch):
    """Imports a module of docs/made, which is no package."""
    monkeypatch.syspath_prepend(str(MADE))
    ours = {path.stem for path in MADE.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in ours & sys.modules.keys()}
    yield importlib.import_module
    for name in ours & sys.modules.keys():
        del sys.modules[name]
    sys.modules.update(before)


def test_documents_are_as_the_stored_numbers_have_them():
    found = subprocess.run(
        [sys.executable, str(MADE / "make.py"), "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("gains", "sentence"),
    [
        ((0.02, 0.021, 0.019), "1 of the 2 intervals excludes zero, 1 after Holm's correction for the 2 comparisons"),
        (
            (0.02, 0.026, 0.014),
            "1 of the 2 intervals excludes zero, none after Holm's correction for the 2 comparisons",
        ),
        ((0.02, 0.04, -0.01), "None of the 2 intervals excludes zero, none after Holm's correction for the 2 comparis"),
    ],
)
def test_the_numbers_choose_the_words(made, gains, sentence):
    compared = made("compared")
    control = {0: 0.8, 1: 0.81, 2: 0.82}
    ticket = {seed: control[seed] + gain for seed, gain in enumerate(gains)}
    found = compared.compare({"ticket": (ticket, control), "other": (control, {0: 0.79, 1: 0.815, 2: 0.825})})
    assert found.sentence().startswith(sentence)
    assert found.word("ticket") == ("not settled" if "none after" in sentence else "settled")
    assert found.word("ticket", "other") == "not settled"


def test_a_made_text_replaces_what_stood_there(made):
    markers = made("markers")
    old = "It is <!-- made: times -->2<!-- end --> times.\n\n<!-- made: table -->\n\nold\n\n<!-- end -->\n\nEnd\n"
    new = markers.fill(old, {"times": "3", "table": "| a |\n|---|"}.__getitem__)
    table = "<!-- made: table -->\n\n| a |\n|---|\n\n<!-- end -->"
    assert new == f"It is <!-- made: times -->3<!-- end --> times.\n\n{table}\n\nEnd\n"
    assert markers.fill(new, {"times": "3", "table": "| a |\n|---|"}.__getitem__) == new


@pytest.mark.parametrize(
    "document",
    [
        "a\n<!-- made: x -->1<!-- end --> b",  # begins a line, which Markdown would take for HTML
        "a <!-- made: x -->1",
        "a 1<!-- end -->",
    ],
)
def test_impossible_markers_are_refused(made, document):
    with pytest.raises(ValueError, match=r"marker|begin none"):
        made("markers").fill(document, lambda name: "1")


def test_every_stored_study_has_command_machine_and_seeds():
    pages = [path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]]
    for path in sorted((ROOT / "docs" / "results").glob("*.json")):
        stored = json.loads(path.read_text())
        for one in stored.get("granularities", {"": stored}).values():
            assert re.match(r"(python -m jaxticket\.main|jaxticket run) --config=", one["command"]), path.name
            assert one["device"]["machine"], path.name
            assert {row["seed"] for row in one["rows"]} >= {0, 1, 2}, path.name
        assert any(f"results/{path.name}" in page for page in pages), f"no page says that it is made from {path.name}"


def test_the_readme_counts_networks_and_data_sets():
    text = (ROOT / "README.md").read_text()
    assert int(re.search(r"(\d+) \[networks\]", text)[1]) == len(models.names())
    assert int(re.search(r"(\d+)\s\[data sets\]", text)[1]) == len(data.names())


def test_array_of_sweep_has_task_for_each_experiment(capsys):
    text = (ROOT / "docs" / "scale.md").read_text()
    command = re.search(r"jaxticket sweep (--config=\S+) --count +# (\d+)", text)
    assert sweep([command[1], "--count"]) == 0
    count = int(capsys.readouterr().out)
    assert count == int(command[2])
    assert re.search(r"--array=(\S+) launch", text)[1] == f"0-{count - 1}"


def stored_networks():
    """(file, arguments of the command before it) of the studies in docs/results.md that need no other experiment."""
    text = (ROOT / "docs" / "results.md").read_text()
    for block, after in re.findall(r"```bash\n(.*?)```(.*?)(?=```|\Z)", text, re.DOTALL):
        name = re.search(r"results/([\w-]+)\.json", after)
        arguments = shlex.split(block.replace("\\\n", ""))
        if "jaxticket.main" in arguments and name and "transfer" not in name[1]:
            yield pytest.param(name[1], arguments[arguments.index("jaxticket.main") + 1 :], id=name[1])


@pytest.mark.parametrize(("name", "arguments"), list(stored_networks()))
def test_commands_of_results_plan_networks_that_are_stored(name, arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    stored = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())
    assert main([*arguments, "--dry_run", f"--workdir={tmp_path}"]) == 0
    found = re.search(r"│ all +│ +([\d,]+) +│ +([\d,]+) │", capsys.readouterr().out)
    parameters, prunable = (int(number.replace(",", "")) for number in found.groups())
    if "rows" in stored:
        assert parameters == stored["model"]["parameters"]
        if stored["experiment"] != "early_bird":  # which counts what goes with a channel
            assert prunable == stored["model"]["prunable"]
    else:  # of every shape of blocks
        assert {one["rows"][0]["kept"] for one in stored["granularities"].values()} == {prunable}


def test_transferred_tickets_are_those_of_the_commands_before(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    folders = []
    for one in stored_networks():
        if one.id in ("colt-conv3-digits", "colt-conv3-fashion_mnist"):
            assert main([*one.values[1], "--dry_run", f"--workdir={tmp_path}"]) == 0
            folders.append(Path(re.search(r"results in +(.+)", capsys.readouterr().out)[1]).name)
    text = (ROOT / "docs" / "results.md").read_text()
    assert re.findall(r"--config\.sources=\"\('runs/(colt-\w+)',\)\"", text) == folders


def test_half_of_all_channels_saves_operations_of_readme():
    model = models.create_model("resnet18", num_classes=10)
    params, state = models.init_variables(model, jax.random.key(0), (32, 32, 3))
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")
    dense, left = jt.prune_channels(model.apply, {"params": params, **state}, images, ratio=0.5).macs
    said = re.search(r"of a ResNet-18 it leaves (\d+) %", (ROOT / "README.md").read_text())[1]
    assert abs(100 * left / dense - int(said)) < 2
