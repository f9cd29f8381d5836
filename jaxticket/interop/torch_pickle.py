"""The pickle inside a PyTorch file: which of its names mean something here, and what they make of the storages."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from jaxticket.interop.pickle_machine import Foreign, Global, PickleMachine

_STORAGES = {
    "torch.DoubleStorage": np.float64,
    "torch.FloatStorage": np.float32,
    "torch.HalfStorage": np.float16,
    "torch.BFloat16Storage": ml_dtypes.bfloat16,
    "torch.LongStorage": np.int64,
    "torch.IntStorage": np.int32,
    "torch.ShortStorage": np.int16,
    "torch.CharStorage": np.int8,
    "torch.ByteStorage": np.uint8,
    "torch.BoolStorage": np.bool_,
}
_DTYPES = {f"torch.{np.dtype(kind).name}" for kind in _STORAGES.values()}
# Tensors may share and repeat values (strides of 0), but not so that a small file becomes much memory.
_MOST_REPEATS, _ALWAYS_ALLOWED_BYTES = 16, 2**26
_MOST_AXES = 32


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Storage:
    """The values of one storage, 1-D and read-only."""

    values: np.ndarray


class TorchPickle:
    """Reads pickles of numbers, strings, plain containers and tensors; everything else becomes `Foreign`.

    Args:
        read_storage: key of a storage, its number of bytes -> its bytes; raises where the file has none.
        file_bytes: the size of the file, which bounds what its tensors may take.
    """

    def __init__(self, read_storage: Callable[[str, int], bytes], file_bytes: int) -> None:
        self._read_storage = read_storage
        self._bytes_left = _MOST_REPEATS * file_bytes + _ALWAYS_ALLOWED_BYTES
        self._storages: dict[tuple[str, str], _Storage] = {}
        self._machine = PickleMachine(self._call, self._persistent)

    def read(self, file: BinaryIO) -> Any:
        """The value of the pickle at the file's position: tensors are read-only arrays.

        Raises:
            ValueError: it is damaged, or not as PyTorch writes it.
        """
        return self._machine.run(file)

    def _call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        first = arguments[0] if arguments else None
        match name:
            case "collections.OrderedDict" | "collections.Counter":
                return self._dictionary(first if arguments else [])
            case "torch.Size":
                if not isinstance(first, tuple | list):
                    raise ValueError("a size is not made of numbers")
                return tuple(first)
            case "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor":
                if type(first) is Foreign:
                    return first
                if len(arguments) < 4:
                    raise ValueError("a tensor is not made of a storage, an offset, a shape and strides")
                return self._tensor(*arguments[:4])
            case "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state":
                if type(first) not in (np.ndarray, Foreign):
                    raise ValueError("a parameter is not made of a tensor")
                return first
        return Foreign(name)

    def _dictionary(self, source: Any) -> dict[Any, Any]:
        """A dictionary from another, or, as Python 2 wrote it, from a list of pairs."""
        entries: dict[Any, Any] = {}
        pairs = list(source.items()) if type(source) is dict else source
        if type(pairs) is not list or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
            raise ValueError("a dictionary is not made of pairs")
        self._machine.fill(entries, pairs)
        return entries

    def _persistent(self, pid: Any) -> Any:
        kind, key, size = _storage_named(pid)
        if type(kind) is Foreign:
            return kind
        if (key, kind.name) not in self._storages:
            data = self._read_storage(key, size * kind.itemsize)
            if len(data) != size * kind.itemsize:
                raise ValueError(f"storage {key[:40]} has {len(data)} bytes, {size} values of {kind} were announced")
            if kind == np.bool_ and np.frombuffer(data, np.uint8).max(initial=0) > 1:
                raise ValueError(f"storage {key[:40]} has bools that are neither 0 nor 1")
            self._storages[key, kind.name] = _Storage(np.frombuffer(data, kind))
        return self._storages[key, kind.name]

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any) -> np.ndarray:
        """A read-only view of a storage; offset and strides count values. Nothing outside of it is reached."""
        if type(storage) is not _Storage or type(shape) is not tuple or type(strides) is not tuple:
            raise ValueError("a tensor is not made of a storage, a shape and strides")
        numbers = (offset, *shape, *strides)
        if len(shape) != len(strides) or len(shape) > _MOST_AXES or not all(map(_is_size, numbers)):
            raise ValueError("offset, shape and strides of a tensor are no whole numbers from 0 that go together")
        values, count = storage.values, math.prod(shape)
        if not count:
            return values[:0].reshape(shape)
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        if last >= values.size:
            raise ValueError(f"a tensor reaches value {last} of a storage of {values.size}")
        self._bytes_left -= count * values.itemsize
        if self._bytes_left < 0:
            raise ValueError("its tensors repeat their values too often to be held")
        # The stride of an axis of one value can be any number.
        steps = tuple(stride * values.itemsize * (size > 1) for size, stride in zip(shape, strides, strict=True))
        return np.lib.stride_tricks.as_strided(values[offset:], shape, steps, writeable=False)


def storages_named(file: BinaryIO) -> dict[str, tuple[int, int]]:
    """The storages of which the pickle at the file's position speaks: key -> number of values, bytes.

    Raises:
        ValueError: the pickle is damaged, or gives a storage two sizes.
    """
    sizes: dict[str, tuple[int, int]] = {}

    def note(pid: Any) -> Foreign:
        kind, key, size = _storage_named(pid)
        if type(kind) is Foreign:
            if key:  # its values lie before those of others, and nobody knows how many bytes they are
                raise ValueError(f"it has tensors of a {kind.name}, which is not read")
            return kind
        found = size, size * kind.itemsize
        if sizes.setdefault(key, found) != found:
            raise ValueError(f"storage {key[:40]} has two sizes")
        return Foreign("storage")

    PickleMachine(lambda name, _: Foreign(name), note).run(file)
    return sizes


def _storage_named(pid: Any) -> tuple[Any, str, int]:
    """dtype, key and number of values of ('storage', kind, key, device, number[, None]); `Foreign` for others."""
    parts = list(pid) if type(pid) is tuple else []
    if len(parts) > 1 and parts[0] == "module" and type(parts[1]) is Global:
        return Foreign(parts[1].name), "", 0  # a class with its source, before 1.6
    if len(parts) not in (5, 6) or parts[0] != "storage":
        raise ValueError("it refers to something outside of it that is no storage")
    _, kind, key, _, size, *part_of = parts
    if type(kind) is not Global or type(key) is not str or not _is_size(size):
        raise ValueError("it refers to a storage without a kind, a key and a size")
    if kind.name not in _STORAGES:
        return Foreign(kind.name), key, size
    if part_of not in ([], [None]):
        raise ValueError("a storage is part of another one, as PyTorch before 0.4 wrote it")
    return np.dtype(_STORAGES[kind.name]), key, size


def _is_size(number: Any) -> bool:
    return type(number) is int and 0 <= number < 2**63


def foreign_names(tree: Any) -> list[str]:
    """What in `tree` is neither number, text, tensor, dtype nor container of such, by name, each once."""
    names: set[str] = set()
    seen: set[int] = set()
    level = [tree]
    while level:
        following: list[Any] = []
        for item in level:
            if type(item) is Foreign or (type(item) is Global and item.name not in _DTYPES):
                names.add(item.name)
            elif isinstance(item, dict | list | tuple) and id(item) not in seen:
                seen.add(id(item))
                following.extend([*item, *item.values()] if isinstance(item, dict) else item)
        level = following
    return sorted(names)
