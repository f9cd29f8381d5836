"""What a config file raised, in one line: unpacked from what the readers of flags made of it, and where it was."""

import re
from collections.abc import Iterator
from pathlib import Path

from jaxticket.core.errors import one_line
from jaxticket.core.own_code import line_of
from jaxticket.lab.keys import FORMER_KEYS

# How ml_collections begins the errors into which it packs those of config files.
_PACKED = ("Error whilst parsing config file", "Configuration is not available")


def config_file_error(file: str, argument: str, error: BaseException) -> str | None:
    """What to say of an error that a config file raised; None where another flag raised it.

    Args:
        file: the path of the config file.
        argument: what followed the colon; empty for nothing.
        error: as it came out of the flags.
    """
    found = _raised(file, error)
    if found is None:
        return None
    if isinstance(found, AttributeError) and found.name == "get_config" and not line_of(Path(file), found):
        return f"--config={file}: has no get_config(); define get_config(), which returns default_config('imp'), say"
    line = line_of(Path(file), found)
    said = f"--config={file}: {_unknown_key(found) or f'{type(found).__name__}: {one_line(found)}'}"
    if line:
        return f"{said} ({file}, line {line})"
    if isinstance(found, TypeError) and argument:  # the call itself failed
        return f"{said}; leave out ':{argument}', or define get_config(argument)"
    return said


def _raised(file: str, error: BaseException) -> BaseException | None:
    """The error of the file among those that led to this one: which came by a line of it, or was packed."""
    links = list(_chain(error))
    found = next((link for link in links if line_of(Path(file), link)), None)
    packed = next((link for link in links if str(link).startswith(_PACKED)), None)
    if found is None and packed is not None:
        found = packed.__cause__ or packed.__context__
    if found is None and not type(error).__module__.startswith("absl"):
        found = error  # of its import, or for want of get_config
    return found


def _unknown_key(error: BaseException) -> str | None:
    """What to say where a key that there is not was set: what it is called now, or one that is alike."""
    key = re.search(r'Key "([^"]+)" does not exist', str(error))
    if key is None:
        return None
    now = [f"config.{now}" for former, now in FORMER_KEYS.items() if former.rpartition(".")[2] == key[1]]
    alike = re.search(r'Did you mean "([^"]+)" instead', str(error))
    hint = f"; it is now {' or '.join(now)}" if now else f"; did you mean {alike[1]!r}?" if alike else ""
    return f"there is no such key: {key[1]!r}{hint}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
