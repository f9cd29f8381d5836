"""Digests of the code that is not the package's: a user's network, reader of data, measure or monitor.

Stages whose results follow from such code have its digest in their keys, so that edited code means another stage. Code
of the package itself enters no key; see `fingerprint`.
"""

import ast
import functools
import hashlib
import inspect
import site
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxticket.core.options import digest
from jaxticket.core.own_code import digest_read, is_own_code, own_code_file

_PACKAGE = Path(__file__).resolve().parents[2]
_INSTALLED = tuple(
    {
        Path(path).resolve()
        for path in (*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages())
    }
    - {Path(sys.prefix).resolve()}
)
# What a config file does besides defining things: its edits alone change no network.
_CONFIGURING = ("get_config", "sweep")


def own_sources(*parts: Any) -> str:
    """Twelve hexadecimal digits for files, or those that define classes or functions; empty if all are the package's.

    The modules that these files import count too, unless they are installed. Of a config file everything counts but its
    `get_config` and `sweep`. What was defined in no file, in a notebook for one, counts by its compiled code.
    """
    found: dict[str, str] = {}
    for part in parts:
        file = part if isinstance(part, Path) else _file_of(part := _bare(part))
        if file is None:
            found[f"<{part.__qualname__}>"] = hashlib.sha256(repr(list(_code_of(part))).encode()).hexdigest()
        elif not file.is_relative_to(_PACKAGE):
            _gather(file, found)
    return digest(sorted(found.values()), 12) if found else ""


def with_contents(key: Any) -> Any:
    """A JSON-ready key in which every `FILE.py:NAME` is the name and a digest of the file, wherever the file lies."""
    if isinstance(key, Mapping):
        return {name: with_contents(value) for name, value in key.items()}
    if isinstance(key, list | tuple):
        return [with_contents(value) for value in key]
    if not is_own_code(key):
        return key
    file, name = own_code_file(key)
    return f"{name} {_content_of(file, digest_read(file))}"


@functools.cache  # an edit while an experiment runs changes nothing of what was executed
def _content_of(file: Path, executed: str) -> str:
    return own_sources(file) if file.is_file() else executed


def _bare(part: Any) -> Any:
    """The class or function behind wrappers."""
    while isinstance(part, functools.partial | types.MethodType):
        part = part.func if isinstance(part, functools.partial) else part.__func__
    part = inspect.unwrap(part)
    return part if isinstance(part, type | types.FunctionType) else type(part)


def _file_of(part: Any) -> Path | None:
    if isinstance(part, types.FunctionType):
        names = [part.__code__.co_filename]
    else:
        module = sys.modules.get(part.__module__)
        # A module of this name may be another file by now.
        is_its = module is not None and getattr(module, part.__name__, None) is part
        names = [str(getattr(module, "__file__", ""))] if is_its else []
        names += [method.__code__.co_filename for method in _methods(part)]
    files = [Path(name).resolve() for name in names if name and Path(name).is_file()]
    return files[0] if files else None


def _methods(part: type) -> Iterator[types.FunctionType]:
    for value in vars(part).values():
        value = inspect.unwrap(value) if callable(value) else value
        if isinstance(value, types.FunctionType) and value.__qualname__.startswith(part.__qualname__):
            yield value


def _code_of(part: Any) -> Iterator[Any]:
    """What tells the compiled code of a class or function from another."""
    for method in [part] if isinstance(part, types.FunctionType) else _methods(part):
        pending = [method.__code__]
        while pending:
            code = pending.pop()
            pending += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
            constants = [constant for constant in code.co_consts if not isinstance(constant, types.CodeType)]
            yield code.co_name, code.co_code, code.co_names, [c for c in constants if not isinstance(c, frozenset)]
    if isinstance(part, type):
        yield {name: value for name, value in vars(part).items() if isinstance(value, bool | int | float | str)}


def _gather(file: Path, found: dict[str, str]) -> None:
    """Adds a file and, unless it is installed, the files that it imports and that are not."""
    if str(file) in found:
        return
    data = file.read_bytes()
    found[str(file)] = hashlib.sha256(data).hexdigest()
    if _is_installed(file):
        return
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return
    if any(isinstance(node, ast.FunctionDef) and node.name == "get_config" for node in tree.body):
        found[str(file)] = hashlib.sha256(_without_configuring(data, tree)).hexdigest()
    for name in _imported(tree):
        for imported in _local_files(file, name):
            _gather(imported, found)


def _without_configuring(data: bytes, tree: ast.Module) -> bytes:
    lines = data.splitlines(keepends=True)
    for node in tree.body:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text or (isinstance(node, ast.FunctionDef) and node.name in _CONFIGURING):
            first, last = node.lineno - 1, node.end_lineno or node.lineno
            lines[first:last] = [b""] * (last - first)
    return b"".join(line for line in lines if line.strip())


def _imported(tree: ast.Module) -> Iterator[str]:
    """The names of imported modules, relative ones with their dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base
            yield from (f"{base}{'' if base.endswith('.') else '.'}{alias.name}" for alias in node.names)


def _local_files(file: Path, name: str) -> Iterator[Path]:
    """The file of a module that is neither the package's nor installed; nothing of others."""
    level = len(name) - len(name.lstrip("."))
    parts = [part for part in name.split(".") if part]
    module = sys.modules.get(name)
    names = [str(getattr(module, "__file__", None) or "")] if module else []
    for root in [file.parents[level - 1]] if level else [file.parent, *file.parent.parents[:3]]:
        names += [str(root.joinpath(*parts)) + ".py", str(root.joinpath(*parts, "__init__.py"))] if parts else []
    for found in (Path(name).resolve() for name in names if name):
        if found.suffix == ".py" and found.is_file():
            if not found.is_relative_to(_PACKAGE) and not _is_installed(found):
                yield found
            return


def _is_installed(file: Path) -> bool:
    return any(file.is_relative_to(folder) for folder in _INSTALLED)
