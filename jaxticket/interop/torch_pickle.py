"""The pickle inside a PyTorch file, read so that nothing of it can run.

A pickle names functions and calls them. Here a name stands for one of the few constructors below, which make plain
containers and NumPy views of the file's storages, and every other name is refused before it is looked up.
"""

import io
import math
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from jaxticket.core.errors import TicketError
from jaxticket.storage import PathLike

_STORAGES = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(bool),
}
_DTYPE_NAMES = {"float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool"}


class _StorageKind(NamedTuple):
    """What a storage class of PyTorch is here: the dtype of its values."""

    dtype: np.dtype


class _TorchDtype(NamedTuple):
    """A dtype that a checkpoint mentions outside of any tensor."""

    name: str


class _Storage(NamedTuple):
    """The values of one storage, 1-D and read-only."""

    values: np.ndarray


class _PlainDict(dict):
    """A dictionary whose attributes, of which PyTorch stores some, are dropped."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        del state


class TorchUnpickler(pickle.Unpickler):
    """Reads numbers, strings, plain containers and tensors; refuses everything else.

    Args:
        data: the pickle.
        path: the file it is from, for messages.
        read_storage: key of a storage -> its bytes; raises where the file has none.
    """

    def __init__(self, data: bytes, path: PathLike, read_storage: Callable[[str], bytes]) -> None:
        super().__init__(io.BytesIO(data))
        self._path = path
        self._read_storage = read_storage
        self._storages: dict[tuple[str, np.dtype], _Storage] = {}

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """What a global of the pickle stands for here; it is never imported.

        Raises:
            TicketError: a global that is not one of the few a state dict needs.
        """
        if module_name == "torch":
            if global_name in _STORAGES:
                return _StorageKind(_STORAGES[global_name])
            if global_name in _DTYPE_NAMES:
                return _TorchDtype(global_name)
        # A pickle may set attributes on what it gets, so functions are made anew for every file.
        allowed: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): _PlainDict,
            ("collections", "Counter"): _PlainDict,
            ("torch", "Size"): tuple,
            ("torch._utils", "_rebuild_tensor_v2"): lambda *arguments: _rebuild_tensor(*arguments),
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }
        if (module_name, global_name) not in allowed:
            raise TicketError(
                f"{self._path} needs {module_name}.{global_name}, which is refused: only tensors, numbers and plain "
                "containers are read; save the state dict alone, torch.save(model.state_dict(), path)"
            )
        return allowed[module_name, global_name]

    def persistent_load(self, pid: Any, /) -> _Storage:
        """The storage that `pid` names: ('storage', kind, key, device, number of values)."""
        tag, kind, key, _, size = pid
        if tag != "storage" or not isinstance(kind, _StorageKind) or not isinstance(key, str):
            raise ValueError(f"{pid!r} is not a storage")
        if (key, kind.dtype) not in self._storages:
            data = self._read_storage(key)
            if len(data) != size * kind.dtype.itemsize:
                raise ValueError(f"storage {key} has {len(data)} bytes, {size} values of {kind.dtype} were announced")
            if kind.dtype == np.bool_ and np.frombuffer(data, np.uint8).max(initial=0) > 1:
                raise ValueError(f"storage {key} has bools that are neither 0 nor 1")
            self._storages[key, kind.dtype] = _Storage(np.frombuffer(data, kind.dtype))
        return self._storages[key, kind.dtype]


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> np.ndarray:
    """A read-only view of a storage; offset and strides count values. Nothing outside of the storage is reached."""
    if not isinstance(storage, _Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise ValueError("a tensor is not made of a storage, a shape and strides")
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(f"offset {offset}, shape {shape} and strides {strides} do not describe a tensor")
    values = storage.values
    if not math.prod(shape):
        return values[:0].reshape(shape)
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if last >= values.size:
        raise ValueError(f"a tensor of shape {shape} reaches value {last} of a storage of {values.size}")
    steps = tuple(stride * values.itemsize for stride in strides)
    return np.lib.stride_tricks.as_strided(values[offset:], shape, steps, writeable=False)
