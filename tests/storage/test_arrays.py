"""Arrays on disk: every dtype and shape to the bit, the same bytes each time, and files that are refused."""

import json
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxticket import storage
from jaxticket.core.errors import TicketError

pytestmark = [pytest.mark.feature("crashes, signals and full disks")]

DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPES += ["float16", "float32", "float64", ml_dtypes.bfloat16]
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def bits(array):
    return (array.dtype, array.shape, array.tobytes())


@st.composite
def arrays(draw):
    """Any bit pattern, NaNs and all, of every dtype that is stored; also 0-d and empty."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    if dtype.kind == "b":
        return draw(hnp.arrays(bool, shape))
    return draw(hnp.arrays(f"u{dtype.itemsize}", shape)).view(dtype)


@given(st.dictionaries(st.text(max_size=8), arrays(), max_size=4), st.dictionaries(st.text(), st.text(), max_size=3))
def test_arrays_come_back_bit_for_bit(named, metadata):
    data = storage.dump_arrays(named, metadata)
    assert data == storage.dump_arrays(dict(reversed(named.items())), dict(reversed(metadata.items())))
    loaded = storage.parse_arrays(data, "file")
    assert list(loaded) == sorted(named)
    assert {name: bits(array) for name, array in loaded.items()} == {name: bits(a) for name, a in named.items()}


def test_jax_arrays_views_and_numbers(tmp_path):
    strided = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    named = {
        "bf16": jnp.asarray([1.5, -0.0, jnp.nan], jnp.bfloat16),
        "bool": jnp.asarray([[True], [False]]),
        "scalar": jnp.asarray(3, jnp.int32),
        "strided": strided,
        "big endian": np.arange(3, dtype=">f4"),
        "number": 0.5,
    }
    storage.save_arrays(tmp_path / "file", named, {"made": "by a test"})
    loaded = storage.load_arrays(tmp_path / "file")
    assert loaded["bf16"].dtype == BFLOAT16
    assert loaded["bf16"].tobytes() == np.asarray(named["bf16"]).tobytes()
    assert loaded["bool"].tolist() == [[True], [False]]
    assert loaded["scalar"].shape == ()
    assert np.array_equal(loaded["strided"], strided)
    assert loaded["big endian"].tolist() == [0, 1, 2]
    assert loaded["number"] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        loaded["strided"][0] = 1


def test_bytes_are_the_same_in_every_process():
    code = (
        "import sys, numpy as np; from jaxticket import storage;"
        "sys.stdout.buffer.write(storage.dump_arrays({'b': np.ones(2), 'a': np.zeros(3, bool)},"
        " {key: key for key in 'zyxwvu'}))"
    )
    outputs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(3)}
    assert len(outputs) == 1


def test_header_is_what_the_format_says():
    data = storage.dump_arrays({"a": np.ones(3, np.float32)}, {"k": "ö"})
    size = int.from_bytes(data[:8], "little")
    assert size % 8 == 0
    assert json.loads(data[8 : 8 + size]) == {
        "__metadata__": {"k": "ö"},
        "a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]},
    }
    assert len(data) == 8 + size + 12


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(2, complex), "it has dtype complex128; allowed are bool"),
        (np.array(["a"]), "it has dtype <U1"),
        (np.array([None]), "it has dtype object"),
        (None, "it has dtype object"),
        ([[1], [1, 2]], "it is not an array that can be stored"),
        (np.zeros(2, ml_dtypes.float8_e4m3fn), "it has dtype float8_e4m3fn"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(value, message):
    with pytest.raises(TicketError, match=message) as error:
        storage.dump_arrays({"it": value})
    assert "\n" not in str(error.value)


def test_random_keys_and_strange_names_are_refused():
    with pytest.raises(TicketError, match="key"):
        storage.dump_arrays({"key": jax.random.key(0)})
    with pytest.raises(TicketError, match="under the name '__metadata__'"):
        storage.dump_arrays({"__metadata__": np.zeros(1)})
    with pytest.raises(TicketError, match=r"metadata\['a'\]"):
        storage.dump_arrays({"it": np.zeros(1)}, {"a": b"bytes"})


def foreign(header, payload=b""):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + payload


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 8,
        pickle.dumps({"w": np.ones(3)}),
        b"PK\x03\x04 a zip file, as torch and numpy write them",
        foreign({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"),
        foreign({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"12345678"),
        foreign({"a": {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]}}, b"12345678"),
        foreign({"a": {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]}}, b"\x02"),
    ],
    ids=["empty", "zeros", "pickle", "zip", "short", "shape", "dtype", "bool"],
)
def test_foreign_files_are_refused_with_their_name(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(TicketError, match="file") as error:
        storage.load_arrays(tmp_path / "file")
    assert "\n" not in str(error.value)


def test_every_truncation_is_refused():
    data = storage.dump_arrays({"a": np.arange(5), "b": np.ones((2, 2), bool)}, {"k": "v"})
    for size in range(len(data)):
        with pytest.raises(TicketError, match="not a whole safetensors file"):
            storage.parse_arrays(data[:size], "file")
