"""Prints the shell block of README.md that stands under a heading, so that CI runs what users are told to run."""

import re
import sys
from pathlib import Path

heading = sys.argv[1]
readme = (Path(__file__).resolve().parents[1] / "README.md").read_text()
section = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#+ |\Z)", readme, re.MULTILINE | re.DOTALL)
block = section and re.search(r"^```(?:bash|sh)\n(.*?)^```", section.group(1), re.MULTILINE | re.DOTALL)
if not block:
    sys.exit(f"README.md has no shell block under the heading {heading!r}")
print(block.group(1), end="")
