"""A user's own code by name, `FILE.py:NAME`: what a registry gives for such a name. It loads no JAX.

A file is executed once for what is in it. What it was when a configuration was read it stays until the next one is, so
that an edit while an experiment runs cannot mix two codes in it.
"""

import functools
import hashlib
import re
import sys
import traceback
import types
from pathlib import Path
from typing import Any

from jaxticket.core.errors import ConfigError, one_line

_NAME = re.compile(r"(?P<file>.*\.py)(:(?P<name>\w*))?")
# Resolved path -> its content when it was first asked for.
_READ: dict[Path, bytes] = {}


def is_own_code(name: object) -> bool:
    """Whether a value names what is in a file: `FILE.py:NAME`, with or without the name."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def own_code_file(name: str) -> tuple[Path, str]:
    """The file of `FILE.py:NAME`, relative to the current folder, and the name in it; empty where there is none."""
    found = _NAME.fullmatch(name)
    assert found is not None
    return Path(found["file"]).expanduser().resolve(), found["name"] or ""


def load_own_code(name: str, what: str) -> Any:
    """What `FILE.py:NAME` names.

    Modules next to the file can be imported from it.

    Args:
        name: as `is_own_code` has it.
        what: it is the value of, `config.model.name='my_net.py:MyNet'`, for messages.

    Raises:
        ConfigError: there is no such file, it raises an error, or has nothing of that name.
    """
    file, wanted = own_code_file(name)
    if file not in _READ:
        try:
            _READ[file] = file.read_bytes()
        except FileNotFoundError:
            raise ConfigError(f"{what}: there is no file {file}") from None
        except OSError as error:
            raise ConfigError(f"{what}: {file} cannot be read: {error.strerror}") from None
    try:
        module = _execute(file, _READ[file])
    except (Exception, SystemExit) as error:
        line = line_of(file, error)
        where = f" ({file.name}, line {line})" if line else ""
        raise ConfigError(f"{what}: {type(error).__name__}: {one_line(error)}{where}") from error
    if not hasattr(module, wanted or "?"):
        has = f"it has {', '.join(_defined(module)) or 'no function or class'}"
        raise ConfigError(f"{what}: {f'there is no {wanted} in {file}' if wanted else 'must be FILE.py:NAME'}; {has}")
    return getattr(module, wanted)


def digest_read(file: Path) -> str:
    """The SHA-256 of a file as it was executed; empty where it was not."""
    return hashlib.sha256(_READ[file]).hexdigest() if file in _READ else ""


def reread_own_code() -> None:
    """Makes the next `load_own_code` look at the files anew."""
    _READ.clear()


def line_of(file: Path, error: BaseException) -> int | None:
    """The last line of the file that led to the error, or that cannot be read; None where none did."""
    here = file.resolve()
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).resolve() == here:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if Path(frame.filename).resolve() == here), None)


@functools.cache
def _execute(file: Path, content: bytes) -> types.ModuleType:
    """The module of a file with this content."""
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))  # first, as Python has it for the file that it is given
    # No name that another module could have; dataclasses look their own up. It is not loaded the usual way, for that
    # takes a file of the same size and second for the one that it has compiled before.
    module = types.ModuleType(f"{file.stem}_{hashlib.sha256(content).hexdigest()[:12]}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module
    exec(compile(content, str(file), "exec"), vars(module))
    return module


def _defined(module: types.ModuleType) -> list[str]:
    """The public names of what a file defines, and not only imports."""
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return [
        name
        for name, value in own.items()
        if getattr(value, "__module__", "") == module.__name__ or hasattr(type(value), "__dataclass_fields__")
    ]
