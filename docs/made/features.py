"""Which feature is tested where, read from the markers of the tests."""

import ast
from collections.abc import Iterator
from pathlib import Path

from texts import table

TESTS = Path(__file__).resolve().parents[2] / "tests"


def texts() -> dict[str, str]:
    """The table of the page on tests."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for feature in _features(path):
            found.setdefault(feature, []).append(path.relative_to(TESTS).as_posix())
    rows = [[feature, ", ".join(f"`{name}`" for name in files)] for feature, files in sorted(found.items())]
    return {"tests-by-feature": table(["feature", "tests, in `tests/`"], rows)}


def _features(path: Path) -> Iterator[str]:
    """The arguments of the marker `feature` that a file gives all of its tests."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            for call in ast.walk(node.value):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.feature":
                    yield ast.literal_eval(call.args[0])
