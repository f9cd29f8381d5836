"""The two ways in which `torch.save` lays out a file: a zip archive since 1.6, and pickles in a row before."""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from jaxticket.core.errors import TicketError, one_line
from jaxticket.interop.torch_pickle import TorchPickle, storages_named
from jaxticket.storage import naming_errors, read_bytes

_ZIP_START = b"PK\x03\x04"
_PICKLE_START = b"\x80"
# The first two of the pickles in a row: https://github.com/pytorch/pytorch/blob/v1.5.0/torch/serialization.py
_MAGIC, _LAYOUT = 0x1950A86A20F9469CFC6C, 1001
# What reading a damaged archive or pickle can raise.
_DAMAGE = (ValueError, LookupError, OverflowError, EOFError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile)


def parse_torch(path: Path) -> Any:
    """What `torch.save` put into a file; see `TorchPickle` for what becomes of it.

    Raises:
        TicketError: the file is missing, damaged, or no such file.
    """
    with naming_errors("read", path), path.open("rb") as file:
        start = file.read(len(_ZIP_START))
    try:
        if start == _ZIP_START:
            with naming_errors("read", path), zipfile.ZipFile(path) as archive:
                return _from_archive(archive, path)
        if start.startswith(_PICKLE_START):
            return _from_row(read_bytes(path), path)
    except _DAMAGE as error:
        raise TicketError(
            f"{path} is not a whole file of torch.save ({one_line(error)}); get it or save it again"
        ) from error
    raise TicketError(f"{path} is not a file of torch.save; give a .pth, .pth.tar, .pt, .th, .bin or .safetensors file")


def _from_archive(archive: zipfile.ZipFile, path: Path) -> Any:
    """Every entry lies in one folder: `data.pkl` says what there is, `data/<key>` are the bytes of the storages."""
    roots = [name.split("/")[0] for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise ValueError("it has no data.pkl" if not roots else "it has several data.pkl")
    file_bytes = path.stat().st_size
    # PyTorch never compresses, and what is not compressed cannot expand beyond the size of the file.
    if sum(info.file_size for info in archive.infolist()) > file_bytes:
        raise ValueError("its entries are compressed or lie on each other")
    held: dict[str, bytes] = {}

    def entry(name: str) -> bytes:
        if name not in held:
            held[name] = _entry(archive, f"{roots[0]}/{name}")
        return held[name]

    if f"{roots[0]}/byteorder" in archive.namelist() and entry("byteorder") != b"little":
        raise TicketError(f"{path} was saved on a big-endian machine, which is not read; save it on a usual one")
    reader = TorchPickle(lambda key, _: entry(f"data/{key}"), file_bytes)
    return reader.read(io.BytesIO(entry("data.pkl")))


def _entry(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ValueError(f"it has no {name[:80]!r}") from None
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"its entry {name[:80]!r} is compressed")
    try:
        return archive.read(info)
    except _DAMAGE as error:
        raise ValueError(f"its entry {name[:80]!r} is damaged") from error


def _from_row(data: bytes, path: Path) -> Any:
    """Pickles of a magic number, the layout, the system, the object, and the keys of the storages that follow.

    Of each storage there is the number of values, 8 bytes, and the values.
    """
    file = io.BytesIO(data)
    header = TorchPickle(_no_storage, 0)
    if header.read(file) != _MAGIC or header.read(file) != _LAYOUT:
        raise ValueError("it is a pickle of something else")
    system = header.read(file)
    if type(system) is not dict or system.get("little_endian") is not True:
        raise TicketError(f"{path} was saved on a big-endian machine, which is not read; save it on a usual one")
    start = file.tell()
    sizes = storages_named(file)
    keys = header.read(file)
    if type(keys) is not list or not all(type(key) is str and key in sizes for key in keys):
        raise ValueError("its storages are not those that it speaks of")
    storages: dict[str, bytes] = {}
    for key in keys:
        count, size = sizes[key]
        if file.read(8) != struct.pack("<q", count):
            raise ValueError(f"storage {key[:40]!r} is not where it should be")
        storages[key] = file.read(size)

    def storage(key: str, size: int) -> bytes:
        if key not in storages or len(storages[key]) != size:
            raise ValueError(f"storage {key[:40]!r} is not whole")
        return storages[key]

    file.seek(start)
    return TorchPickle(storage, len(data)).read(file)


def _no_storage(key: str, size: int) -> bytes:
    raise ValueError("a storage where none can be")
