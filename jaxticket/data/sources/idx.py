"""IDX, the file format of the MNIST family, plain or compressed with gzip.

A file is two zero bytes, one byte for the type of the items (8: unsigned byte), one for the number of
dimensions, each dimension as a big-endian 32-bit integer, and the items in C order.
"""

import contextlib
import gzip
import hashlib
import math
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from jaxticket.core.errors import DataError

_UNSIGNED_BYTE = 8


def read_idx(path: Path, shape: tuple[int, ...], *, member: str = "") -> tuple[np.ndarray, str]:
    """Reads one IDX file of unsigned bytes.

    Args:
        path: the file; whether it is compressed is seen from its first bytes, not from its name.
        shape: what the file must hold.
        member: where `path` is a zip archive, the name of the IDX file in it.

    Returns:
        The items as uint8 of that shape, and the SHA-256 of the uncompressed file.

    Raises:
        DataError: the file cannot be read, is not IDX, is damaged, truncated or too long, or has another
            shape.
    """
    where = f"{path} ({member})" if member else str(path)
    try:
        with contextlib.ExitStack() as stack:
            archive = stack.enter_context(zipfile.ZipFile(path)) if member else None
            file = stack.enter_context(archive.open(member) if archive else path.open("rb"))
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if compressed else file
            # One byte more than there should be: reading to the end also has gzip check its checksum.
            content = stream.read(4 + 4 * len(shape) + math.prod(shape) + 1)
    except (OSError, EOFError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{where}: cannot be read ({error}); put an undamaged copy there") from error
    _check_header(where, content, shape)
    start, length = 4 + 4 * len(shape), math.prod(shape)
    if len(content) != start + length:
        found = "more" if len(content) > start + length else f"{len(content) - start:,}"
        raise DataError(
            f"{where}: holds {found} bytes of data where its header says {length:,}; put an undamaged copy there"
        )
    items = np.frombuffer(content, np.uint8, length, start).reshape(shape)
    return items, hashlib.sha256(content).hexdigest()


def _check_header(where: str, content: bytes, shape: tuple[int, ...]) -> None:
    magic = bytes((0, 0, _UNSIGNED_BYTE, len(shape)))
    if content[:4] != magic:
        raise DataError(
            f"{where}: starts with {content[:4].hex(' ') or 'nothing'}, an IDX file of {len(shape)} "
            f"dimensions with {magic.hex(' ')}; put the right file there"
        )
    dimensions = content[4 : 4 + 4 * len(shape)]
    if len(dimensions) < 4 * len(shape):
        raise DataError(f"{where}: ends within its header; put an undamaged copy there")
    found = struct.unpack(f">{len(shape)}I", dimensions)
    if found != shape:
        raise DataError(f"{where}: holds items of shape {found}, expected {shape}; put the right file there")
