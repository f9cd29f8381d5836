"""The files in a tar or zip archive, read in one pass; nothing is unpacked to the disk."""

import contextlib
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from jaxticket.core.errors import DataError


@contextlib.contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turns what a damaged or foreign archive raises into a DataError of one line."""
    try:
        yield
    except (OSError, EOFError, KeyError, ValueError, tarfile.TarError, zipfile.BadZipFile, zlib.error) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: cannot be read ({reason}); put an undamaged copy there") from error


def tar_files(source: Path | IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of every file in a tar archive, compressed or not, in its order.

    Args:
        source: a path, or an open file that is only read forwards.

    Yields:
        The name in the archive, and the content, to be read before the next file is asked for.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
        archive = stack.enter_context(tarfile.open(fileobj=file, mode="r|*"))
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name.removeprefix("./"), content
