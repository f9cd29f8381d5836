"""`FILE.py:NAME` in place of a name: what a user's file gives, executed once, and one line where it gives nothing."""

import dataclasses
import importlib
import re
import sys

import pytest

from jaxticket.core import own_code
from jaxticket.core.criteria import Criterion, criteria
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option, parse
from jaxticket.lab.stages import own_sources
from jaxticket.lab.stages.own_sources import with_contents

pytestmark = [pytest.mark.feature("options and registries"), pytest.mark.smoke]

MINE = """
import jaxticket as jt
from helper import POWER

def score(params, mask):
    return {path: s**POWER for path, s in jt.magnitude(params, mask).items()}

def by_images(params, mask, apply_fn, batches, strength=2.0):
    return jt.snip(apply_fn, params, mask, batches)

def of_images(images):
    return images

row = jt.Criterion("grown", "jaxticket.core.criteria.magnitude:magnitude", needs=("trained",))
number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path)
    yield tmp_path
    own_code.reread_own_code()


def write(folder, **files):
    """Writes what the tests name, and forgets what was executed, as a new process does."""
    folder.mkdir(exist_ok=True)
    for name, text in {"mine": MINE, "helper": "POWER = 2\n", **files}.items():
        (folder / f"{name}.py").write_text(text)
    own_code.reread_own_code()
    own_code._execute.cache_clear()
    own_sources._content_of.cache_clear()
    sys.modules.pop("helper", None)
    importlib.invalidate_caches()


def test_a_function_of_a_file_is_a_criterion(folder):
    plain = criteria.get("mine.py:score")
    assert plain.name == "mine.py:score"
    assert plain is criteria.get("mine.py:score")
    assert criteria.get(f"{folder}/mine.py:by_images").needs == ("data",)
    assert criteria.get("mine.py:row") == Criterion(
        "grown", "jaxticket.core.criteria.magnitude:magnitude", ("trained",)
    )
    assert "mine.py:score" in criteria
    assert not criteria.is_own("mine.py:score")
    assert criteria.names() == [row.name for row in criteria]  # it is in no list


def test_a_file_is_executed_once_until_reread(folder):
    write(folder, mine="import builtins\nbuiltins.executed = getattr(builtins, 'executed', 0) + 1\n" + MINE)
    first = criteria.get("mine.py:score")
    (folder / "mine.py").write_text(MINE.replace("**POWER", "**3"))
    assert criteria.get("mine.py:score") is first
    own_code.reread_own_code()
    assert criteria.get("mine.py:score") is not first
    assert __builtins__["executed"] == 1


@dataclasses.dataclass(frozen=True)
class Options:
    """With one name.

    Attributes:
        criterion: of a registry.
        fruit: of a list.
    """

    criterion: str = option("magnitude", choices=criteria.names)
    fruit: str = option("pear", choices=("pear",))


def test_options_take_own_code_only_for_registries(folder):
    assert parse(Options, {"criterion": "mine.py:score"}).criterion == "mine.py:score"
    with pytest.raises(ConfigError, match=r"config.fruit='mine.py:score': must be one of pear"):
        parse(Options, {"fruit": "mine.py:score"})


WRONG = {
    "there.py:score": "there is no file .*/there.py",
    "mine.py:scroe": "there is no scroe in .*/mine.py; it has score, by_images, of_images, row$",
    "mine.py": "must be FILE.py:NAME; it has score, by_images, of_images, row$",
    "mine.py:number": "must be a Criterion or a function or class, found 3",
    "mine.py:of_images": r"takes \(images\); must take params, mask and what it needs of key; apply_fn, batches; ",
    "broken.py:score": r"NameError: name 'POWER' is not defined \(broken.py, line 2\)",
    "unread.py:score": r"SyntaxError: .* \(unread.py, line 1\)",
    "leaves.py:score": r"SystemExit: 3 \(leaves.py, line 1\)",
    "folder.py:score": ".*/folder.py cannot be read: Is a directory",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_no_file_gives_is_one_line(name, folder):
    write(folder, broken="x = 1\nPOWER + 1\n", unread="def f(:\n", leaves="raise SystemExit(3)\n")
    (folder / "folder.py").mkdir()
    with pytest.raises(ConfigError) as caught:
        criteria.get(name, "prune.criterion")
    assert re.match(f"(config.prune.criterion=|criterion ){name!r}: {WRONG[name]}", str(caught.value))
    assert "\n" not in str(caught.value)


def test_keys_have_the_contents_wherever_the_file_lies(folder, monkeypatch):
    def key(path="mine.py:score"):
        criteria.get(path)
        return with_contents({"prune": [{"criterion": path}], "rate": 0.2})

    first = key()
    assert re.fullmatch("score [0-9a-f]{12}", first["prune"][0]["criterion"])
    assert first["rate"] == 0.2
    write(folder / "moved")
    assert key("moved/mine.py:score") == first
    monkeypatch.chdir(folder / "moved")
    assert key() == first
    write(folder / "moved", helper="POWER = 3\n")
    assert key() != first
    write(folder / "moved", mine=MINE + "\n")
    assert key() != first
