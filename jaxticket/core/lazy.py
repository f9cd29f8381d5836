"""What loads on first use, so that importing a package stays cheap: members of packages, functions by name."""

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from typing import Any


def lazy_exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Makes `__getattr__`, `__dir__` and `__all__` of a package (PEP 562).

    Args:
        package: the package's `__name__`; the names are those that its source imports for type checkers, each in a line
            `from module import name as name`.

    Returns:
        The three objects, to be assigned in the package's `__init__.py`.
    """
    source = inspect.getsource(sys.modules[package])
    home = {name: module for module, name in re.findall(r"^    from (\S+) import (\w+) as \2$", source, re.MULTILINE)}

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(home[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__, lambda: sorted(home), sorted(home)


def load_object(named: Any) -> Any:
    """The object that a text such as `package.module:function` names; anything else is returned as it is."""
    if not isinstance(named, str):
        return named
    module, _, name = named.partition(":")
    return getattr(importlib.import_module(module), name)
