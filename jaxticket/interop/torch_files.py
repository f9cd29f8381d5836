"""State dicts from PyTorch's files, without PyTorch and without running anything a file says."""

import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxticket.core.errors import TicketError
from jaxticket.interop.torch_pickle import TorchUnpickler
from jaxticket.storage import PathLike, load_arrays, naming_errors

# Under which a training checkpoint keeps its state dict, by custom.
_USUAL_KEYS = ("state_dict", "model_state_dict", "model", "net")
_ZIP_START = b"PK\x03\x04"
_PICKLE_START = b"\x80"


def read_torch(path: PathLike, *, key: str | None = None) -> dict[str, np.ndarray]:
    """The tensors of a state dict that PyTorch 1.6 or newer saved, or of a safetensors file.

    Only numbers, strings, plain containers and tensors are read; a file that needs anything else is refused and
    nothing of it is run.

    Args:
        path: a file of `torch.save` (`.pth`, `.pt`, `.pth.tar`), or one whose name ends in `.safetensors`.
        key: of the state dict in a checkpoint that has other entries beside it. Without it, the state dict is the
            entry `state_dict`, `model_state_dict`, `model` or `net` where there is one, else the whole.

    Returns:
        Tensor name -> read-only array: bool, integers, float16, bfloat16 (by `ml_dtypes`), float32 or float64.
        Values that are no tensors are left out, and so is the prefix `module.` where all names have it.

    Raises:
        TicketError: a file that is missing, damaged, foreign, of PyTorch before 1.6, or has no such state dict.
    """
    if Path(path).suffix == ".safetensors":
        entries: Any = load_arrays(path)
    else:
        entries = _load(Path(path))
    tensors = _tensors_at(entries, key, path)
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _load(path: Path) -> Any:
    with naming_errors("read", path), path.open("rb") as file:
        start = file.read(len(_ZIP_START))
    if start.startswith(_PICKLE_START):
        raise TicketError(
            f"{path} is in the format of PyTorch before 1.6, which is not read; "
            "load it in PyTorch 1.6 or newer and save it again with torch.save"
        )
    if start != _ZIP_START:
        raise TicketError(f"{path} is not a file of torch.save; give a .pth, .pt, .pth.tar or .safetensors file")
    try:
        with naming_errors("read", path), zipfile.ZipFile(path) as archive:
            return _load_archive(archive, path)
    except TicketError:
        raise
    except Exception as error:  # a damaged pickle can make the unpickler raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TicketError(f"{path} is not a whole file of torch.save ({reason}); get it or save it again") from error


def _load_archive(archive: zipfile.ZipFile, path: Path) -> Any:
    """Every entry lies in one folder: `data.pkl` says what there is, `data/<key>` are the bytes of the storages."""
    roots = [name.split("/")[0] for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise ValueError("it has no data.pkl" if not roots else "it has several data.pkl")

    def entry(name: str) -> bytes:
        info = archive.getinfo(f"{roots[0]}/{name}")
        # PyTorch never compresses, and what is not compressed cannot expand beyond the size of the file.
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"its entry {name} is compressed")
        try:
            return archive.read(info)
        except (zipfile.BadZipFile, struct.error, zlib.error, EOFError) as error:
            raise ValueError(f"its entry {name} is damaged") from error

    if f"{roots[0]}/byteorder" in archive.namelist() and entry("byteorder") != b"little":
        raise TicketError(f"{path} was saved on a big-endian machine, which is not read; save it on a usual one")
    return TorchUnpickler(entry("data.pkl"), path, lambda key: entry(f"data/{key}")).load()


def _tensors_at(entries: Any, key: str | None, path: PathLike) -> dict[str, np.ndarray]:
    keys = ", ".join(sorted(repr(name) for name in entries)[:12]) if isinstance(entries, Mapping) else "none"
    if key is not None:
        if not isinstance(entries, Mapping) or key not in entries:
            raise TicketError(f"{path} has no entry {key!r}; its entries are {keys}")
        tensors = _tensors(entries[key])
        if not tensors:
            raise TicketError(f"{path}: its entry {key!r} is no state dict; its entries are {keys}")
        return tensors
    if isinstance(entries, Mapping):
        for name in _USUAL_KEYS:
            if tensors := _tensors(entries.get(name)):
                return tensors
    tensors = _tensors(entries)
    if not tensors:
        raise TicketError(f"{path} has no state dict; choose one of its entries with key=: {keys}")
    return tensors


def _tensors(entries: Any) -> dict[str, np.ndarray]:
    if not isinstance(entries, Mapping):
        return {}
    return {name: value for name, value in entries.items() if isinstance(name, str) and isinstance(value, np.ndarray)}
