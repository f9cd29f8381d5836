"""The one-file backend keeps the contract, and is found by the command line and the library."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import jaxticket as jt
from jaxticket import kernels
from jaxticket.kernels.__main__ import main
from tests.kernels.backend_contract import case, check

pytestmark = [pytest.mark.feature("extensions")]

FILE = Path(__file__).with_name("backend.py")
ROOT = Path(__file__).resolve().parents[2]


def test_the_backend_keeps_the_contract():
    runpy.run_path(str(FILE))
    check("batched")


def test_the_command_line_measures_the_backend(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jaxticket.kernels.convert.device_rates._MATMULS", ((256, 64, 128), (128, 128, 256)))
    monkeypatch.setattr("jaxticket.kernels.convert.device_rates._CONVOLUTIONS", ((1, 8, 16),))
    monkeypatch.setattr("jaxticket.kernels.convert.device_rates._DENSITIES", (0.3,))
    assert main(["tune", str(FILE), "--backend=batched", f"--folder={tmp_path}", "--rounds=1"]) == 0
    assert "times as fast as dense" in capsys.readouterr().out
    monkeypatch.setenv("JAXTICKET_TIMINGS", str(tmp_path))
    assert main(["list", str(FILE)]) == 0
    assert "batched: matmuls, on every device, timings here: float32" in capsys.readouterr().out
    assert len(kernels.known_timings("batched").rates["float32"].sparse) == 3
    x, weight, bias = case("float32")
    found = jt.block_matmul(x, weight, bias=bias, backend="batched")
    np.testing.assert_allclose(found, jt.block_matmul(x, weight, bias=bias, backend="xla"), atol=1e-4)


def test_a_mistake_is_one_line(capsys):
    assert main(["tune", "--backend=nobody"]) == 2
    assert main(["tune", "nowhere.py"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("error: backend='nobody': not available here; available:")
    assert "nowhere.py" in errors[1]


def test_the_documentation_shows_the_file():
    assert f"```python\n{FILE.read_text()}```" in (ROOT / "docs" / "extending.md").read_text()
