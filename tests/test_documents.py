"""Every Python block of the README and of docs/ runs, in order, in one namespace; commands name what exists."""

import re
from pathlib import Path

import jax
import pytest

from jaxticket import data, models
from jaxticket.cli import COMMANDS
from jaxticket.cli import main as command_line
from jaxticket.main import main

pytestmark = [pytest.mark.feature("documents and public names")]

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(document, language):
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


@documents
def test_python_blocks_run(document, capsys):
    namespace = {}
    with jax.numpy_dtype_promotion("standard"):  # what users have; Optax itself is not written for strict sessions
        for block in blocks(document, "python"):
            exec(compile(block, document.name, "exec"), namespace)
    if document.name == "README.md":
        assert "fc1/kernel" in capsys.readouterr().out


@documents
def test_commands_use_configs_that_plan(document, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = "\n".join(blocks(document, "bash"))
    commands = re.findall(r"jaxticket(?:\.main| run| plan) (--config=\S+)", text)
    assert commands or document.name != "README.md"
    for config in commands:
        assert main([config, f"--workdir={tmp_path}", "--dry_run"]) == 0


@documents
def test_documents_name_commands_that_there_are(document):
    commands = "\n".join(blocks(document, "bash"))
    named = re.findall(r"^jaxticket (\w+)", commands, re.MULTILINE) + re.findall(
        r"`jaxticket (\w+)", document.read_text()
    )
    assert set(named) <= {*COMMANDS, "COMMAND"}


@documents
def test_data_commands_are_understood(document, tmp_path, capsys):
    for command in re.findall(r"jaxticket data ([^`\n]+)", document.read_text()):
        arguments = ["data", *command.split(), "--folder", str(tmp_path / "nowhere")]
        expected = 0 if arguments[1] == "list" else 2  # the archive is not there
        assert command_line(arguments) == expected
        assert "unrecognized" not in capsys.readouterr().err


@documents
def test_linked_files_exist(document):
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        assert target.startswith("https://") or (document.parent / target).exists(), target


def test_networks_with_optional_batch_norm_are_early_birds():
    said = re.search(r"It is an option of (.*?), with which", (ROOT / "configs/early_bird.py").read_text(), re.DOTALL)
    having = [name for name in models.names() if "batch_norm" in models.option_names(name)]
    assert re.findall(r"`(\w+)`", said[1]) == having


def test_every_network_and_every_data_set_is_documented():
    networks, sets = ((ROOT / "docs" / name).read_text() for name in ("networks.md", "data.md"))
    assert [name for name in models.names() if f"`{name}`" not in networks] == []
    assert [name for name in data.names() if f"`{name}`" not in sets] == []
    for name in models.names():
        row = next(line for line in networks.splitlines() if f"`{name}`" in line)
        known = {"activation", "dtype", "init", "head_init", "norm_scale"}
        own = set(models.option_names(name)) - known
        assert own <= set(re.findall(r"`(\w+)`", row.split("|")[3])), name
