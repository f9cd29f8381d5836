"""Every Python block of the README runs, in order, in one namespace; its shell commands name what exists."""

import re
from pathlib import Path

import jax

from jaxticket.main import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_python_blocks_run(capsys):
    namespace = {}
    found = blocks("python")
    assert len(found) >= 2
    with jax.numpy_dtype_promotion("standard"):  # what users have; Optax itself is not written for strict sessions
        for block in found:
            exec(compile(block, "README.md", "exec"), namespace)
    assert "fc1/kernel" in capsys.readouterr().out


def test_commands_use_configs_that_plan(tmp_path, capsys):
    commands = re.findall(r"-m jaxticket\.main (--config=\S+)", README)
    assert len(commands) >= 2
    for argument in commands:
        path, _, rest = argument.removeprefix("--config=").partition(":")
        config = f"--config={ROOT / path}" + (f":{rest}" if rest else "")
        assert main([config, f"--workdir={tmp_path}", "--dry_run"]) == 0


def test_linked_files_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
