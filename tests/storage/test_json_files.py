"""JSON files: strict content, and a checksum that any change of the file breaks."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxticket import storage
from jaxticket.core.errors import TicketError

pytestmark = [pytest.mark.feature("crashes, signals and full disks"), pytest.mark.smoke]

FORMAT = {"format": "thing", "version": 2}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@given(VALUES)
def test_what_is_json_comes_back(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    storage.write_json(path, value)
    assert storage.read_json(path) == value


@given(st.dictionaries(st.text(), VALUES))
def test_checked_content_comes_back(value):
    content = {**FORMAT, "value": value}
    data = storage.checked_json(content, "it")
    assert storage.parse_checked_json(data, "file", FORMAT) == content
    assert data == storage.checked_json(dict(reversed(content.items())), "it")


def test_tuples_become_lists_and_numpy_float64_a_float():
    assert storage.plain({"a": (1, (2,)), "b": np.float64(0.5)}, "it") == {"a": [1, [2]], "b": 0.5}


def circle():
    value = {}
    value["again"] = value
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": {"b": np.float32(1)}}, r"it\['a'\]\['b'\] is a float32; JSON has"),
        ({"a": [0, math.nan]}, r"it\['a'\]\[1\] is nan, which JSON does not have"),
        ({"a": -math.inf}, r"it\['a'\] is -inf"),
        ({"a": {1: 2}}, r"it\['a'\] has the key 1; keys must be strings"),
        ({"a": {1, 2}}, r"it\['a'\] is a set"),
        ({"a": print}, r"it\['a'\] is a builtin_function"),
        ({"a": 10**308}, r"it\['a'\] is a whole number of more than 308 digits"),
        (circle(), r"nested in more than 100 containers"),
    ],
)
def test_what_is_not_json_is_refused_by_name(value, message):
    with pytest.raises(TicketError, match=message) as error:
        storage.checked_json(value, "it")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff\xfe", b"\x80\x04K\x01.", b"[NaN]", b"[" * 10**5, b"[" + b"9" * 5000 + b"]", b"[1e999]"]
)
def test_what_is_not_json_file_is_one_line(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(TicketError, match=r"file is not JSON \(.*\); restore") as error:
        storage.read_json(tmp_path / "file")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"[" * 200 + b"]" * 200, b'{"a": ' * 102 + b"1" + b"}" * 102])
def test_what_is_nested_too_deep_is_one_line(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(TicketError, match="is nested in more than 100 containers") as error:
        storage.read_json(tmp_path / "file")
    assert "\n" not in str(error.value)


def test_what_is_too_large_is_one_line():
    with pytest.raises(TicketError, match="file has 268,435,457 bytes, JSON files here at most 268,435,456"):
        storage.parse_json(bytes((1 << 28) + 1), "file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "file: is a list; must be an object"),
        (None, "file: is null; must be an object"),
        ({}, "file: has no 'n'; must be a whole number"),
        ({"n": True}, "file: n is true or false; must be a whole number"),
        ({"n": 1.5}, "file: n is a number; must be a whole number"),
        ({"n": "1"}, "file: n is a string; must be a whole number"),
    ],
)
def test_wrong_field_is_named(content, message):
    with pytest.raises(TicketError, match=message):
        storage.check_fields(content, {"n": int}, "file")
    assert storage.check_fields({"n": 1}, {"n": int}, "file") == {"n": 1}


def test_every_changed_removed_or_added_byte_is_noticed():
    data = storage.checked_json({**FORMAT, "text": "ä b", "number": 1.5, "list": [1, 2], "empty": {}}, "it")
    for position in range(len(data)):
        for changed in (b" ", b"\n", b"\t", b"0", bytes([data[position] ^ 1]), bytes([data[position] ^ 32]), b""):
            other = data[:position] + changed + data[position + 1 :]
            if other != data:
                with pytest.raises(TicketError):
                    storage.parse_checked_json(other, "file", FORMAT)
    for other in (data + b"\n", b"\n" + data, data.replace(b"1.5", b"1.50")):
        with pytest.raises(TicketError, match="was changed after it was written"):
            storage.parse_checked_json(other, "file", FORMAT)


def test_repeated_key_is_noticed():
    data = storage.checked_json({**FORMAT, "a": 1}, "it")
    with pytest.raises(TicketError, match="the key 'a' comes twice"):
        storage.parse_checked_json(data.replace(b'"a": 1', b'"a": 2,\n "a": 1'), "file", FORMAT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format": "thing", "version": 999}, "file has format version 999, this jaxticket reads 1 to 2; upgrade"),
        ({"format": "thing", "version": 0}, "format version 0"),
        ({"format": "thing"}, "format version None"),
        ({"format": "another", "version": 1}, "file is not a thing file"),
        ({}, "file is not a thing file"),
    ],
)
def test_format_and_version_must_be_known(content, message):
    with pytest.raises(TicketError, match=message):
        storage.parse_checked_json(storage.checked_json(content, "it"), "file", FORMAT)
    with pytest.raises(TicketError, match="is not a thing file"):
        storage.parse_checked_json(json.dumps([1]).encode(), "file", FORMAT)
