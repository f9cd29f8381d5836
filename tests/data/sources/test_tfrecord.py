import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxticket.core.errors import DataError
from jaxticket.data.sources.tfrecord import masked_crc32c, read_records

pytestmark = [pytest.mark.feature("data sets")]


def reference_crc32c(content: bytes) -> int:
    """Bit by bit, from the definition."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def mask(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def tfrecord(records: list[bytes]) -> bytes:
    content = b""
    for record in records:
        length = struct.pack("<Q", len(record))
        content += length + struct.pack("<I", mask(reference_crc32c(length)))
        content += record + struct.pack("<I", mask(reference_crc32c(record)))
    return content


def test_checksum_has_the_published_values():
    # RFC 3720, appendix B.4, and the customary check value.
    vectors = {
        b"123456789": 0xE3069283,
        bytes(32): 0x8A9136AA,
        b"\xff" * 32: 0x62A8AB43,
        bytes(range(32)): 0x46DD794E,
        b"": 0,
    }
    assert masked_crc32c(list(vectors)).tolist() == [mask(crc) for crc in vectors.values()]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.binary(max_size=30), max_size=6))
def test_round_trip(tmp_path, records):
    path = tmp_path / "records"
    path.write_bytes(tfrecord(records))
    assert read_records(path) == records


def test_more_records_than_one_block_of_checksums(tmp_path):
    records = [struct.pack("<I", row)[: row % 5] for row in range(5000)]
    path = tmp_path / "records"
    path.write_bytes(tfrecord(records))
    assert read_records(path) == records


GOOD = tfrecord([b"first", b"second", b"third"])


@pytest.mark.parametrize("bit", range(0, 8 * len(GOOD), 37))
def test_every_flipped_bit_is_found(tmp_path, bit):
    content = np.frombuffer(GOOD, np.uint8).copy()
    content[bit // 8] ^= 1 << bit % 8
    path = tmp_path / "records"
    path.write_bytes(content.tobytes())
    with pytest.raises(DataError, match="undamaged copy"):
        read_records(path)


@pytest.mark.parametrize("content", [GOOD[:-1], GOOD[:-6], GOOD[:7], b"<html>nothing here</html>"])
def test_a_truncated_or_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "records"
    path.write_bytes(content)
    with pytest.raises(DataError, match="ends within") as error:
        read_records(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_records(tmp_path / "absent")
