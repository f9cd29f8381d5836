"""Every function and class of `jaxticket` shows how it is called, and every example of a public docstring runs.

Examples are written for a session in which `jt`, `jax`, `jnp` and `np` are imported.
"""

import doctest
import importlib
import pkgutil
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxticket as jt

pytestmark = [pytest.mark.feature("documents and public names")]

# Names of `jt` whose docstring still lacks an example. Nothing is added here.
LACKING = {}
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PACKAGES = [
    "jaxticket",
    *(module.name for module in pkgutil.iter_modules(jt.__path__, "jaxticket.") if module.ispkg),
]


def has_example(docstring):
    return re.search(r"^ *Examples?:\n(\n|.)*^ +>>> ", docstring or "", re.M) is not None


def public(package):
    return [(package, name) for name in getattr(importlib.import_module(package), "__all__", ())]


def run(docstring, name):
    """The output of what fails among the examples of a docstring; empty if nothing does."""
    space = {"jt": jt, "jax": jax, "jnp": jnp, "np": np}
    test = doctest.DocTestParser().get_doctest(docstring, space, name, None, 0)
    failures = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=failures.append)
    return "".join(failures)


@pytest.mark.parametrize("name", sorted(jt.__all__))
def test_every_name_shows_an_example(name):
    value = getattr(jt, name)
    if callable(value):
        assert has_example(value.__doc__) == (name not in LACKING), f"jt.{name}"


@pytest.mark.parametrize(("package", "name"), [entry for package in PACKAGES for entry in public(package)])
def test_examples_of_public_docstrings_run(package, name):
    docstring = getattr(importlib.import_module(package), name).__doc__
    if docstring and ">>>" in docstring:
        with jax.numpy_dtype_promotion("standard"):  # what users have
            assert not run(docstring, f"{package}.{name}")


def test_an_example_that_is_wrong_fails():
    assert run(">>> 1 + 1\n2\n", "right") == ""
    assert "Expected:\n    3" in run(">>> 1 + 1\n3\n", "wrong")
    assert not has_example("Text.\n\nReturns:\n    1\n")
