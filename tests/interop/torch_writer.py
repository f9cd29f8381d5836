"""Writes files in the format of torch.save, sound ones and such as no PyTorch writes, without PyTorch."""

import struct
import zipfile
from typing import Any, NamedTuple

import numpy as np

KINDS = {"float32": "FloatStorage", "int64": "LongStorage", "bool": "BoolStorage"}


class Global(NamedTuple):
    module: str
    name: str


class Call(NamedTuple):
    function: Any
    arguments: tuple


class Persistent(NamedTuple):
    value: tuple


class Attributes(NamedTuple):
    """An object, and what is set as its state."""

    value: Any
    state: Any


def opcodes(value):
    """The opcodes of pickle protocol 2 that put a value onto the stack."""
    match value:
        case Global(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(function, arguments):
            return opcodes(function) + opcodes(arguments) + b"R"
        case Persistent(inner):
            return opcodes(inner) + b"Q"
        case Attributes(inner, state):
            return opcodes(inner) + opcodes(state) + b"b"
        case bool():
            return b"\x88" if value else b"\x89"
        case None:
            return b"N"
        case int():
            return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(opcodes, value)) + b"t"
        case dict():
            return b"}(" + b"".join(opcodes(part) for item in value.items() for part in item) + b"u"
    raise TypeError(value)


def pickled(value):
    return b"\x80\x02" + opcodes(value) + b"."


def storage(key, kind, size):
    return Persistent(("storage", Global("torch", kind), key, "cpu", size))


def tensor(source, offset, shape, strides):
    hooks = Call(Global("collections", "OrderedDict"), ())
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), (source, offset, shape, strides, False, hooks))


def write(path, value, storages=None, *, compression=zipfile.ZIP_STORED, extra=None):
    """A file whose pickle gives `value`; `storages` are bytes by key."""
    entries = {"data.pkl": pickled(value), "byteorder": b"little", "version": b"3\n", **(extra or {})}
    entries |= {f"data/{key}": data for key, data in (storages or {}).items()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(f"archive/{name}", data)


def save(path, arrays):
    """What torch.save(state_dict, path) writes, for NumPy arrays."""
    state, storages = {}, {}
    for i, (name, array) in enumerate(arrays.items()):
        strides = tuple(stride // array.itemsize for stride in np.zeros(array.shape, array.dtype).strides)
        source = storage(str(i), KINDS[array.dtype.name], array.size)
        state[name] = tensor(source, 0, array.shape, strides)
        storages[str(i)] = array.tobytes()
    write(path, state, storages)
