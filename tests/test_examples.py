"""Every example runs as it stands, on real digits, and comes to what its docstring promises."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import pytest

pytestmark = [pytest.mark.feature("documents and public names")]

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def run(capsys):
    """Runs an example with the types that users have; gives its variables and what it prints."""

    def run(name):
        with jax.numpy_dtype_promotion("standard"):
            found = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return found, capsys.readouterr().out

    return run


def test_transformer_loses_half_of_its_operations(run):
    found, out = run("prune_vit_channels")
    before, after = found["pruned"].macs
    assert 0.45 * before < after <= 0.5 * before
    assert found["small"].report.macs == found["pruned"].macs
    assert found["dense_accuracy"] > 0.9
    assert found["tuned_accuracy"] > found["dense_accuracy"] - 0.03
    assert "mlp1/kernel" in out


def test_flax_loop_is_pruned_gradually_by_one_line(run):
    found, out = run("gmp_in_a_flax_loop")
    assert (found["kept"], found["total"]) == (4920, 49_200)
    assert found["accuracy"] > 0.92
    kernel = found["state"].params["fc1"]["kernel"]
    assert not kernel[~found["mask"]["fc1/kernel"]].any()
    sparsities = [float(value) for value in re.findall(r"sparsity ([\d.]+)", out)]
    assert sparsities == sorted(sparsities)
    assert sparsities[-1] == 0.9


def test_a_ticket_pruned_in_blocks_runs_sparse(run, monkeypatch):
    # Whether it is faster here, on cores that other tests use, is not what this tests.
    monkeypatch.setattr(
        "jaxticket.kernels.convert.time_model.least_seconds", lambda models, rounds: [2.0, 1.0, 2.0][: len(models)]
    )
    found, out = run("fast_ticket_on_cpu")
    assert found["accuracy"] > 0.9
    assert {layer.form for layer in found["sparse"].report.layers} != {"dense"}
    assert found["sparse"].report.bytes[1] < 0.2 * found["sparse"].report.bytes[0]
    assert "times as fast as dense" in out


def test_nnx_ticket_is_put_into_another_model(run):
    found, _ = run("nnx_model")
    assert found["same"]
    assert found["accuracy"] > 0.9
    assert not found["model"].fc1.kernel[...][~found["mask"]["fc1/kernel"]].any()


SBATCH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>"$CALLS"
wc -l <"$CALLS"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_sweep_becomes_jobs_that_wait_for_each_other(tmp_path):
    script = EXAMPLES / "sweep_on_slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    (tmp_path / "sbatch").write_text(SBATCH)
    (tmp_path / "sbatch").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "CALLS": str(tmp_path / "calls"),
        "LOGS": str(tmp_path / "logs"),
        "SBATCH_OPTIONS": "--partition=short --time=1:00",
    }
    config = f"--config={ROOT}/configs/train.py:model=lenet300,dataset=digits"
    done = subprocess.run(
        [script, config, "--workdir=a folder"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["first   1", "others  2 (5 tasks)", "table   3"]
    first, others, table = (tmp_path / "calls").read_text().splitlines()
    assert "--dependency" not in first
    assert first.endswith("--workdir=a\\ folder --index=0")
    assert "--dependency=afterok:1 --array=1-5 --partition=short --time=1:00" in others
    assert others.endswith("--index=$SLURM_ARRAY_TASK_ID")
    assert "--dependency=afterok:2 --partition=short" in table
    assert "--index" not in table


def test_every_example_is_tested_and_short():
    tested = Path(__file__).read_text()
    for example in sorted(EXAMPLES.iterdir()):
        if example.suffix not in (".py", ".sh"):
            continue
        text = example.read_text()
        assert f'"{example.stem}"' in tested or f'"{example.name}"' in tested
        assert len(text.splitlines()) < 80
        assert f"examples/{example.name}" in text
        assert "Expect" in text
