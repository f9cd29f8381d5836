import gzip
import hashlib
import re
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxticket.core.errors import DataError
from jaxticket.data.sources.idx import read_idx

pytestmark = [pytest.mark.feature("data sets"), pytest.mark.smoke]

ITEMS = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
PLAIN = bytes((0, 0, 8, 3)) + struct.pack(">3I", 2, 3, 4) + ITEMS.tobytes()
ZIPPED = gzip.compress(PLAIN, mtime=0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple),
    zipped=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_round_trip(tmp_path, shape, zipped, seed):
    items = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    content = bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + items.tobytes()
    path = tmp_path / "items"
    path.write_bytes(gzip.compress(content) if zipped else content)
    found, sha256 = read_idx(path, shape)
    assert found.dtype == np.uint8
    assert (found == items).all()
    assert sha256 == hashlib.sha256(content).hexdigest()


def flip(content: bytes, position: int) -> bytes:
    changed = bytearray(content)
    changed[position] ^= 0xFF
    return bytes(changed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing"),
        (b"\x00\x00\x08", "starts with 00 00 08,"),
        (b"<html>not found</html>", "starts with 3c 68 74 6d"),
        (bytes((0, 0, 13, 3)) + PLAIN[4:], "starts with 00 00 0d 03"),
        (bytes((0, 0, 8, 1)) + PLAIN[4:], "starts with 00 00 08 01"),
        (PLAIN[:10], "ends within its header"),
        (PLAIN[:4] + struct.pack(">3I", 2, 4, 3) + PLAIN[16:], re.escape("items of shape (2, 4, 3)")),
        (PLAIN[:-1], "holds 23 bytes of data where its header says 24"),
        (PLAIN + b"\0", "holds more bytes"),
        (ZIPPED[:-9], "cannot be read"),
        (ZIPPED[:-1], "cannot be read"),
        (flip(ZIPPED, -6), "CRC check failed"),
        (flip(ZIPPED, 12), "cannot be read"),
        (gzip.compress(PLAIN[:-1], mtime=0), "holds 23 bytes"),
        (gzip.compress(PLAIN + b"\0", mtime=0), "holds more bytes"),
        (gzip.compress(b"", mtime=0), "starts with nothing"),
    ],
)
def test_damage_is_one_line_that_names_the_file(tmp_path, content, message):
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_idx(path, (2, 3, 4))
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "absent", (1,))
