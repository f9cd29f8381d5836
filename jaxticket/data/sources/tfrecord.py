"""TFRecord files, without TensorFlow.

A record is its length (8 bytes, little-endian), a checksum of those 8 bytes, the data, and a checksum of the
data. A checksum is a masked CRC-32C, 4 bytes, little-endian.
"""

import functools
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxticket.core.errors import DataError

_BLOCK = 4096


def read_records(path: Path) -> list[bytes]:
    """All records of a TFRecord file, every checksum verified.

    Raises:
        DataError: the file cannot be read, is truncated or damaged, or is no TFRecord file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    records, lengths, checksums = [], [], []
    position = 0
    while position < len(content):
        if position + 12 > len(content):
            raise _damaged(path, f"ends within the header of record {len(records)}")
        length, length_checksum = struct.unpack_from("<QI", content, position)
        start, end = position + 12, position + 12 + length
        if end + 4 > len(content):
            raise _damaged(path, f"ends within record {len(records)}")
        records.append(content[start:end])
        lengths.append(content[position : position + 8])
        checksums.append((length_checksum, *struct.unpack_from("<I", content, end)))
        position = end + 4
    expected = np.array(checksums, np.uint32).reshape(-1, 2)
    wrong = (masked_crc32c(lengths) != expected[:, 0]) | (masked_crc32c(records) != expected[:, 1])
    if wrong.any():
        raise _damaged(path, f"record {int(wrong.argmax())} does not match its checksum")
    return records


def masked_crc32c(chunks: Sequence[bytes]) -> np.ndarray:
    """The checksum that TFRecord files use, of every chunk: uint32 [len(chunks)].

    CRC-32C with the Castagnoli polynomial (RFC 3720, appendix B.4), rotated right by 15 bits, plus a
    constant. Works on many chunks side by side, one byte of each at a time.
    """
    crc = np.concatenate(
        [np.zeros(0, np.uint32)] + [_crc32c(chunks[i : i + _BLOCK]) for i in range(0, len(chunks), _BLOCK)]
    )
    return (crc >> np.uint32(15) | crc << np.uint32(17)) + np.uint32(0xA282EAD8)


def _crc32c(chunks: Sequence[bytes]) -> np.ndarray:
    table = _crc_table()
    lengths = np.array([len(chunk) for chunk in chunks])
    # Longest first: those that still have a byte at a position are then the first few.
    by_length = np.argsort(-lengths, kind="stable")
    longest = int(lengths.max())
    columns = np.zeros((longest, len(chunks)), np.uint8)
    for column, chunk_index in enumerate(by_length):
        chunk = chunks[chunk_index]
        columns[: len(chunk), column] = np.frombuffer(chunk, np.uint8)
    alive = np.searchsorted(-lengths[by_length], -np.arange(longest), side="left")
    crc = np.full(len(chunks), 0xFFFFFFFF, np.uint32)
    for column, count in zip(columns, alive, strict=True):
        head = crc[:count]
        crc[:count] = table[(head ^ column[:count]) & np.uint32(0xFF)] ^ (head >> np.uint32(8))
    result = np.empty_like(crc)
    result[by_length] = ~crc
    return result


@functools.cache
def _crc_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> np.uint32(1)) ^ np.uint32(0x82F63B78), table >> np.uint32(1))
    return table


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what}; put an undamaged copy there")
