"""Registries: what can be chosen by name, one kind in each; the package's own rows and a user's use the same call."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import must_be_one_of

_PACKAGE = Path(__file__).resolve().parents[1]


class Named(Protocol):
    """What a registry holds: a value with a name."""

    @property
    def name(self) -> str:
        """By which it is chosen."""
        ...


R = TypeVar("R", bound=Named)


class Registry(Generic[R]):
    """The rows of one kind by name, in the order in which they were registered."""

    def __init__(self, kind: str, own: Callable[[], Iterable[R]] = tuple):
        """An empty registry, but for the package's own rows.

        Args:
            kind: what the rows are, in the words of an error: "criterion", "data set".
            own: gives the package's own rows; called when the registry is first asked, so that importing it is cheap.
        """
        self._kind, self._own = kind, own
        self._rows: dict[str, R] = {}
        self._files: dict[str, str] = {}
        self._complete = False

    def register(self, row: R) -> R:
        """Adds a row and returns it; a file that is executed again replaces its own rows.

        Raises:
            ConfigError: another row has that name.
        """
        rows, file = self._all(), _registering_file()
        if rows.get(row.name, row) != row and self._files.get(row.name) != file:
            raise ConfigError(f"{self._kind} {row.name!r}: there is one of that name; choose another")
        rows[row.name], self._files[row.name] = row, file
        return row

    def get(self, name: object, key: str = "") -> R:
        """The row of that name.

        Args:
            name: one of `names()`.
            key: the configuration key whose value it is, `prune.criterion`, for the message.

        Raises:
            ConfigError: there is none.
        """
        rows = self._all()
        if not isinstance(name, str) or name not in rows:
            what = f"config.{key}={name!r}" if key else f"{self._kind} {name!r}"
            raise ConfigError(f"{what}: {must_be_one_of(name, self.names())}")
        return rows[name]

    def names(self) -> list[str]:
        """All names, in order of registration."""
        return list(self._all())

    def replace(self, row: R) -> None:
        """Puts a row into the place of the one of its name, which may be the package's: for tests."""
        self._all()[row.name], self._files[row.name] = row, _registering_file()

    def is_own(self, name: str) -> bool:
        """Whether the row of this name is the package's."""
        self.get(name)
        return name not in self._files or Path(self._files[name]).is_relative_to(_PACKAGE)

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Within this context rows are registered for a while only."""
        before = dict(self._all()), dict(self._files)
        try:
            yield
        finally:
            self._rows, self._files = before

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._all().values()))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._all()

    def _all(self) -> dict[str, R]:
        if not self._complete:
            self._complete = True  # first, for modules of rows may register them themselves
            for row in self._own():
                self._rows.setdefault(row.name, row)
        return self._rows


def _registering_file() -> str:
    """The file that calls `replace`, `register` or the `register_...` of a room."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_name.startswith(("register", "replace")):
        frame = frame.f_back
    return frame.f_code.co_filename
