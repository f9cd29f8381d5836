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


class New(NamedTuple):
    """An object made without calling its class."""

    of: Any
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
        case New(of, arguments):
            return opcodes(of) + opcodes(arguments) + b"\x81"
        case Persistent(inner):
            return opcodes(inner) + b"Q"
        case Attributes(inner, state):
            return opcodes(inner) + opcodes(state) + b"b"
        case bool():
            return b"\x88" if value else b"\x89"
        case None:
            return b"N"
        case int():
            return b"\x8a\x10" + value.to_bytes(16, "little", signed=True)
        case float():
            return b"G" + struct.pack(">d", value)
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
    """A file whose pickle gives `value`, or is `value` if that is bytes; `storages` are bytes by key."""
    program = value if isinstance(value, bytes) else pickled(value)
    entries = {"data.pkl": program, "byteorder": b"little", "version": b"3\n", **(extra or {})}
    entries |= {f"data/{key}": data for key, data in (storages or {}).items()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(f"archive/{name}", data)


def write_row(path, value, storages, *, system=None):
    """A file in the layout before PyTorch 1.6; `storages` are (number of values, bytes) by key."""
    head = b"".join(pickled(part) for part in (0x1950A86A20F9469CFC6C, 1001, system or {"little_endian": True}))
    keys = b"\x80\x02](" + b"".join(map(opcodes, storages)) + b"e."
    tail = b"".join(struct.pack("<q", number) + data for number, data in storages.values())
    path.write_bytes(head + pickled(value) + keys + tail)


def save(path, arrays):
    """What torch.save(state_dict, path) writes, for NumPy arrays."""
    state, storages = {}, {}
    for i, (name, array) in enumerate(arrays.items()):
        strides = tuple(stride // array.itemsize for stride in np.zeros(array.shape, array.dtype).strides)
        source = storage(str(i), KINDS[array.dtype.name], array.size)
        state[name] = tensor(source, 0, array.shape, strides)
        storages[str(i)] = array.tobytes()
    write(path, state, storages)
