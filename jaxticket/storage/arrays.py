"""Named arrays as safetensors files, exact to the bit and deterministic."""

import json
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from jaxticket.core.errors import TicketError
from jaxticket.storage.files import PathLike, first_line, read_bytes, write_bytes
from jaxticket.storage.json_files import plain

_BITS = (8, 16, 32, 64)
_DTYPES = {
    "BOOL": np.dtype(bool),
    **{f"{name}{bits}": np.dtype(f"{name.lower()}{bits // 8}") for name in ("I", "U") for bits in _BITS},
    "BF16": np.dtype(ml_dtypes.bfloat16),
    **{f"F{bits}": np.dtype(f"f{bits // 8}") for bits in _BITS[1:]},
}


def save_arrays(path: PathLike, arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Writes arrays as a safetensors file, atomically; equal arrays give equal bytes.

    Arrays are NumPy or JAX ones of any shape: bool, integers, float16, bfloat16, float32 or float64. The strings of
    `metadata` go into the header.

    Raises:
        TicketError: an array that cannot be stored, or the operating system refuses.
    """
    write_bytes(path, dump_arrays(arrays, metadata))


def load_arrays(path: PathLike) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name, sorted; read-only NumPy, bfloat16 by `ml_dtypes`.

    Raises:
        TicketError: the file is missing, truncated or not a safetensors file.
    """
    return parse_arrays(read_bytes(path), path)


def dump_arrays(arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes that `save_arrays` writes."""
    ready = {name: host_array(name, arrays[name]) for name in sorted(arrays)}
    data = safetensors.numpy.save(ready)
    if not metadata:
        return data
    # The library would write the metadata in the order of a hash that differs between processes.
    size = int.from_bytes(data[:8], "little")
    header = {"__metadata__": plain(dict(sorted(metadata.items())), "metadata"), **json.loads(data[8 : 8 + size])}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def parse_arrays(data: bytes, path: PathLike) -> dict[str, np.ndarray]:
    """What `load_arrays` returns, from the bytes of the file `path`."""
    try:
        entries = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise TicketError(
            f"{path} is not a whole safetensors file ({first_line(error)}); restore it or make it again"
        ) from error
    arrays = {}
    for name, entry in sorted(entries):
        if entry["dtype"] not in _DTYPES:
            raise TicketError(f"{path}: {name!r} has dtype {entry['dtype']}; allowed are {', '.join(_DTYPES)}")
        if entry["dtype"] == "BOOL" and np.frombuffer(entry["data"], np.uint8).max(initial=0) > 1:
            raise TicketError(f"{path}: {name!r} has bools that are neither 0 nor 1; make the file again")
        array = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
        array.flags.writeable = False
        arrays[name] = array
    return arrays


def host_array(name: str, value: Any) -> np.ndarray:
    """`value` as a NumPy array that can be stored.

    Raises:
        TicketError: it is not an array, its dtype is not one of those stored, or it is spread over processes.
    """
    if not isinstance(name, str) or name == "__metadata__":
        raise TicketError(f"an array cannot be stored under the name {name!r}; use another string")
    if not getattr(value, "is_fully_addressable", True):
        raise TicketError(f"{name} is spread over several processes; gather it before it is stored")
    try:
        array = np.asarray(value, order="C")
    except (TypeError, ValueError) as error:
        raise TicketError(f"{name} is not an array that can be stored ({first_line(error)})") from error
    if array.dtype.newbyteorder("=") not in _DTYPES.values():
        allowed = ", ".join(dtype.name for dtype in _DTYPES.values())
        raise TicketError(f"{name} has dtype {array.dtype}; allowed are {allowed}")
    return array
