"""Registries: what can be chosen by name, one kind in each; the package's own rows and a user's use the same call.

A name may also be `FILE.py:NAME`: a row in a user's file, or what makes one.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from jaxticket.core.checks import check_name, shown
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import must_be_one_of
from jaxticket.core.own_code import is_own_code, load_own_code

_PACKAGE = Path(__file__).resolve().parents[1]


class Named(Protocol):
    """What a registry holds: a value with a name."""

    @property
    def name(self) -> str:
        """By which it is chosen."""
        ...


R = TypeVar("R", bound=Named)


class _Place(NamedTuple):
    """Where a row was registered."""

    file: str
    line: int
    execution: Any  # of the file: the same object in all of its lines, another one when it is executed again


class Registry(Generic[R]):
    """The rows of one kind by name, in the order in which they were registered."""

    def __init__(
        self,
        kind: str,
        row: type[R],
        own: Callable[[], Iterable[R]] = tuple,
        *,
        parts: bool = False,
        make: Callable[[str, Callable[..., Any]], R] | None = None,
    ):
        """An empty registry, but for the package's own rows.

        Args:
            kind: what the rows are, in the words of an error: "criterion", "data set".
            row: the class of its rows.
            own: gives the package's own rows; called when the registry is first asked, so that importing it is cheap.
            parts: whether names may have parts, as `imagenet_resized/32x32` does.
            make: makes a row of a name and of a function or class, for those of a user's file that are no rows yet.
        """
        self._kind, self._row, self._own, self._parts, self._make = kind, row, own, parts, make
        self._made: dict[str, tuple[object, R]] = {}
        self._rows: dict[str, R] = {}
        self._places: dict[str, _Place] = {}
        self._complete = False

    def register(self, row: R) -> R:
        """Adds a row and returns it; a file that is executed again replaces its own rows.

        Raises:
            ConfigError: it is no row of this kind, or its name is none; another row has that name.
        """
        self.check(row)
        rows, place = self._all(), _registering_place()
        if rows.get(row.name, row) != row and not _is_repeated(self._places.get(row.name), place):
            raise ConfigError(f"{self._kind} {row.name!r}: there is one of that name; choose another")
        rows[row.name], self._places[row.name] = row, place
        return row

    def check(self, row: object) -> None:
        """Makes sure that `row` is of this kind, and that its name is one.

        Raises:
            ConfigError: it is not.
        """
        if not isinstance(row, self._row):
            raise ConfigError(f"{self._kind}: register takes a {self._row.__name__}, found {shown(row)}")
        check_name(f"{self._kind} name", row.name, parts=self._parts)

    def get(self, name: object, key: str = "") -> R:
        """The row of that name.

        Args:
            name: one of `names()`, or `FILE.py:NAME`.
            key: the configuration key whose value it is, `prune.criterion`, for the message.

        Raises:
            ConfigError: there is none.
        """
        rows = self._all()
        if isinstance(name, str) and name in rows:
            return rows[name]
        what = f"config.{key}={name!r}" if key else f"{self._kind} {name!r}"
        if isinstance(name, str) and is_own_code(name):
            return self._of_file(name, what)
        raise ConfigError(f"{what}: {must_be_one_of(name, self.names())}")

    def _of_file(self, name: str, what: str) -> R:
        found = load_own_code(name, what)
        if isinstance(found, self._row):
            return found
        if self._make is None or not callable(found):
            others = " or a function or class" if self._make else ""
            raise ConfigError(f"{what}: must be a {self._row.__name__}{others}, found {shown(found)}")
        if name not in self._made or self._made[name][0] is not found:
            self._made[name] = found, self._make(name, found)
        return self._made[name][1]

    def names(self) -> list[str]:
        """All names, in order of registration."""
        return list(self._all())

    def replace(self, row: R) -> None:
        """Puts a row into the place of the one of its name, which may be the package's: for tests."""
        self._all()[row.name], self._places[row.name] = row, _registering_place()

    def is_own(self, name: str) -> bool:
        """Whether the row of this name is the package's."""
        self.get(name)
        if is_own_code(name):
            return False
        return name not in self._places or Path(self._places[name].file).is_relative_to(_PACKAGE)

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Within this context rows are registered for a while only."""
        before = dict(self._all()), dict(self._places)
        try:
            yield
        finally:
            self._rows, self._places = before

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._all().values()))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._all() or is_own_code(name))

    def _all(self) -> dict[str, R]:
        if not self._complete:
            self._complete = True  # first, for modules of rows may register them themselves
            for row in self._own():
                self._rows.setdefault(row.name, row)
        return self._rows


def _registering_place() -> _Place:
    """Where it is that calls `replace`, `register` or the `register_...` of a room."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_name.startswith(("register", "replace")):
        frame = frame.f_back
    names = frame.f_globals  # a file executed again has others, a module that is reloaded another specification
    return _Place(frame.f_code.co_filename, frame.f_lineno, names.get("__spec__") or names)


def _is_repeated(before: _Place | None, now: _Place) -> bool:
    """Whether a file registers what it registered when it was executed before; of a notebook's cell, by its line."""
    if before is None or before.file != now.file:
        return False
    return before.line == now.line or before.execution is not now.execution
