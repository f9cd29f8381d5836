"""Every public name is documented where it is defined, and found in the reference of the site."""

import importlib
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

pytestmark = [pytest.mark.feature("documents and public names")]

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "api"
PACKAGES = ("jaxticket", *(f"jaxticket.{path.stem}" for path in sorted(PAGES.glob("*.md")) if path.stem != "jaxticket"))
LIBRARY = importlib.import_module("jaxticket")
packages = pytest.mark.parametrize("package", PACKAGES)


def value(package, name):
    """What a public name stands for; a module of its name holds it."""
    found = getattr(importlib.import_module(package), name)
    return getattr(found, name) if isinstance(found, types.ModuleType) else found


def entries(package):
    """The names that the package's page describes, in order."""
    return re.findall(rf"^::: {re.escape(package)}\.(\w+)$", (PAGES / f"{package.split('.')[-1]}.md").read_text(), re.M)


def test_all_packages_for_users_have_a_page():
    # The command, and what others are built on; what users need of it is in `jaxticket`.
    inner = {"cli", "core", "lab", "parallel", "storage", "tracing"}
    rooms = {path.parent.name for path in (ROOT / "jaxticket").glob("*/__init__.py")}
    assert {package.partition(".")[2] for package in PACKAGES if "." in package} == rooms - inner


@packages
def test_page_describes_every_public_name_and_no_other(package):
    described = entries(package)
    assert len(described) == len(set(described))
    page = (PAGES / f"{package.split('.')[-1]}.md").read_text()
    elsewhere = set(re.findall(r"`(\w+)`", page)) if package != "jaxticket" else set()
    shared = {name for name in elsewhere & set(LIBRARY.__all__) if name in entries("jaxticket")}
    names = importlib.import_module(package).__all__
    assert sorted({*described, *shared}) == names
    assert all(value(package, name) is value("jaxticket", name) for name in shared)


@packages
def test_every_public_name_has_a_docstring(package):
    for name in importlib.import_module(package).__all__:
        found = value(package, name)
        if callable(found):
            text = found.__doc__ or ""
            # Dataclasses and named tuples without a docstring get their signature as one.
            assert text[:1] not in ("", " "), f"{package}.{name}"
            assert not text.startswith(f"{name}("), f"{package}.{name}"
        else:  # a constant: in a paragraph of its page
            page = (PAGES / f"{package.split('.')[-1]}.md").read_text()
            assert re.search(rf"^::: {re.escape(package)}\.{name}\n\n[^:#\n]", page, re.M), f"{package}.{name}"


@packages
def test_the_type_checker_sees_the_same_names(package):
    source = Path(importlib.import_module(package).__file__).read_text()
    declared = re.findall(r"^    from \S+ import (\w+) as \1$", source, re.M)
    assert sorted(declared) == importlib.import_module(package).__all__


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_hides_a_public_name(package):
    """A module that is imported becomes an attribute of its package, in the place of a function of that name."""
    folder = Path(importlib.import_module(package).__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert modules & set(importlib.import_module(package).__all__) == set()


def test_importing_a_package_loads_nothing_heavy():
    heavy = ("jax", "flax", "optax", "matplotlib", "rich", "tensorboardX", "wandb", "numpy")
    code = f"import sys, {', '.join(PACKAGES)}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
