"""What loads on first use, so that importing a package stays cheap: members of packages, functions by name."""

import importlib
import re
import sys
from collections.abc import Callable
from typing import Any

from jaxticket.core.checks import shown
from jaxticket.core.errors import ConfigError

_FORM = "package.module:function"


def lazy_exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Makes `__getattr__`, `__dir__` and `__all__` of a package (PEP 562).

    Args:
        package: the package's `__name__`; the names are those that its source imports for type checkers, each in a line
            `from module import name as name`.

    Returns:
        The three objects, to be assigned in the package's `__init__.py`.
    """
    # What `inspect.getsource` would give, without importing `inspect` at the start of every command.
    source = vars(sys.modules[package])["__loader__"].get_source(package)
    home = {name: module for module, name in re.findall(r"^    from (\S+) import (\w+) as \2$", source, re.MULTILINE)}

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(home[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__, lambda: sorted(home), sorted(home)


def load_object(named: Any) -> Any:
    """The object that a text such as `package.module:function` names; anything else is returned as it is.

    Raises:
        ConfigError: there is no such module, or nothing of that name in it.
    """
    if not isinstance(named, str):
        return named
    home, _, name = named.partition(":")
    try:
        module = importlib.import_module(home)
    except (ModuleNotFoundError, TypeError, ValueError) as error:
        if isinstance(error, ModuleNotFoundError) and not f"{home}.".startswith(f"{error.name}."):
            raise  # it is there, and imports another that is not
        raise ConfigError(f"{named!r}: there is no module {home!r}; must be {_FORM}") from None
    if not hasattr(module, name):
        raise ConfigError(f"{named!r}: module {home!r} has no {name!r}; must be {_FORM}")
    return getattr(module, name)


def check_loadable(what: str, named: object) -> None:
    """Makes sure that `load_object` may give a function, without importing it.

    Raises:
        ConfigError: it is no function, and no text that could name one.
    """
    if not (re.fullmatch(r"[^\s:]+:\w+", named) if isinstance(named, str) else callable(named)):
        raise ConfigError(f"{what}={shown(named)}: must be a function, or where one is, {_FORM}")
