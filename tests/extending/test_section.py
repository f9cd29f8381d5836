"""The one-file section is in the report that the command line writes."""

from pathlib import Path

import pytest

from jaxticket import report
from jaxticket.core.errors import ConfigError
from jaxticket.main import main
from jaxticket.report.registry import sections

pytestmark = [pytest.mark.feature("extensions")]

FILE = Path(__file__).with_name("section.py")
ROOT = Path(__file__).resolve().parents[2]


def test_the_command_line_writes_the_section(tmp_path):
    with sections.restored():
        assert main([f"--config={FILE}", f"--workdir={tmp_path}", "--config.train.batch_size=128"]) == 0
    (folder,) = tmp_path.glob("imp-*")
    page = (folder / "report.html").read_text()
    assert '<section id="by_layer"' in page
    assert page.index('id="numbers"') < page.index("From input to output.")
    assert (folder / "figures" / "by_layer.svg").is_file()


def test_the_documentation_shows_the_file():
    assert f"```python\n{FILE.read_text()}```" in (ROOT / "docs" / "extending.md").read_text()


def test_what_makes_a_section_is_a_function():
    with pytest.raises(ConfigError, match="section of reports 'x': make=5: must be a function"):
        report.register_section("x", 5)
