"""Pickles that mean harm: each ends soon, in tensors or one line, and nothing of the process is used or changed."""

import builtins
import contextlib
import itertools
import pickletools
import random
import struct
import sys
import warnings
import zipfile

import ml_dtypes
import numpy as np
import pytest

from jaxticket.core.errors import TicketError
from jaxticket.interop import read_torch

pytestmark = [pytest.mark.feature("other frameworks")]

VALUES = np.arange(6, dtype=np.float32)
GLOBALS = [
    "torch FloatStorage", "torch BFloat16Storage", "torch BoolStorage", "torch Size", "torch bfloat16", "torch float32",
    "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch._utils _rebuild_tensor",
    "collections OrderedDict", "collections Counter", "builtins dict", "builtins getattr", "builtins eval",
    "builtins setattr", "builtins __import__", "os system", "sys exit", "sys modules", "posix _exit",
    "ml_dtypes bfloat16", "numpy dtype", "numpy.core.multiarray _reconstruct", "numpy.core.multiarray scalar",
    "copyreg _reconstructor", "argparse Namespace", "jaxticket.interop.torch_pickle _STORAGES",
    "functools partial", "operator attrgetter",
]  # fmt: skip
# What a program may have to count on, and a well-formed start of it.
TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x06tQ"
    b"K\0(K\x02K\x03t(K\x03K\x01t\x89ccollections\nOrderedDict\n)RtR"
)
STARTS = [
    b"}",
    b"}X\x01\0\0\0w" + TENSOR + b"s",
    b"}X\x01\0\0\0w" + TENSOR + b"s",
    b"ccollections\nOrderedDict\n)R(X\x01\0\0\0w" + TENSOR + b"u",
    TENSOR,
]
EVENTS = {
    "exec",
    "compile",
    "import",
    "os.system",
    "subprocess.Popen",
    "os.exec",
    "pickle.find_class",
    "object.__setattr__",
}
LIKELY = {
    "MARK", "TUPLE", "TUPLE1", "REDUCE", "BUILD", "GLOBAL", "BINPERSID", "SETITEM", "MEMOIZE", "BINGET", "BINUNICODE",
    "NEWOBJ", "EMPTY_TUPLE",
}  # fmt: skip
_heard = []
_listening = [False]


@pytest.fixture(scope="module", autouse=True)
def _hook():
    sys.addaudithook(lambda event, _: _heard.append(event) if _listening[0] and event in EVENTS else None)


def state_of_the_process():
    dtypes = {name: np.dtype(getattr(ml_dtypes, name)) for name in ("bfloat16", "float8_e4m3fn", "int4")}
    facts = {name: (d.itemsize, d.alignment, d.kind, d.names, str(d)) for name, d in dtypes.items()}
    plain = {name: np.dtype(name).itemsize for name in ("float16", "float32", "int64", "bool")}
    return facts, plain, dict(vars(builtins)), list(sys.modules), np.ones(4, ml_dtypes.bfloat16).nbytes


def read(path):
    """The tensors of a file, or the line that it ends in."""
    _listening[0] = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read_torch(path)
    except TicketError as error:
        return str(error)
    finally:
        _listening[0] = False


def check(found):
    if type(found) is str:
        assert len(found.splitlines()) == 1
        assert len(found) < 1500
    else:
        for name, tensor in found.items():
            assert (type(name), type(tensor), tensor.flags.writeable) == (str, np.ndarray, False)
            name.encode()


def argument(chance, opcode):
    """Bytes that may follow an opcode: most of them sound, with numbers that mean something to a pickle."""
    number = chance.choice([0, 1, 2, 3, 4, 6, 7, 200])
    text = chance.choice(
        ["w", "0", "cpu", "storage", "module", "__class__", "dtype", "os", "system", "torch", "\udc80"]
    )
    raw = text.encode("utf-8", "surrogatepass")
    match opcode.name:
        case "GLOBAL" | "INST":
            return chance.choice(GLOBALS).replace(" ", "\n").encode() + b"\n"
        case "BININT" | "LONG_BINPUT" | "LONG_BINGET" | "EXT4":
            return struct.pack("<i", chance.choice([number, -number, 2**31 - 1]))
        case "BININT1" | "BINPUT" | "BINGET" | "PROTO" | "EXT1":
            return bytes([number])
        case "BININT2" | "EXT2":
            return struct.pack("<H", number)
        case "BINFLOAT":
            return struct.pack(">d", chance.choice([1.0, 6.0, float("nan"), float("inf")]))
        case "LONG1":
            return b"\x09" + chance.choice([number, -number, 2**62, 2**70]).to_bytes(9, "little", signed=True)
        case "BINUNICODE" | "BINSTRING" | "BINBYTES":
            return struct.pack("<I", chance.choice([len(raw)] * 9 + [2**31])) + raw
        case "SHORT_BINUNICODE" | "SHORT_BINSTRING" | "SHORT_BINBYTES":
            return bytes([len(raw)]) + raw
        case "INT" | "LONG" | "FLOAT" | "GET" | "PUT":
            return f"{number}{'L' if opcode.name == 'LONG' else ''}\n".encode()
        case "STRING" | "UNICODE" | "PERSID":
            return f"'{text}'\n".encode("utf-8", "surrogatepass")
        case "FRAME" | "BINUNICODE8" | "BINBYTES8" | "BYTEARRAY8":
            return struct.pack("<Q", chance.choice([len(raw), 2**40])) + raw
        case "LONG4":
            return struct.pack("<i", chance.choice([1, 4, -4, 2**31 - 1])) + b"\1\2\3\4"
    return b""


def program(chance):
    """Opcodes in a random order, among them pieces that do what a harmful file would do."""
    parts = [b"\x80\x02", chance.choice(STARTS)]
    opcodes = pickletools.opcodes
    likely = [opcode for opcode in opcodes if opcode.name in LIKELY]
    for _ in range(chance.randrange(1, 10)):
        if chance.random() < 0.6:
            name = chance.choice(GLOBALS).replace(" ", "\n").encode()
            state = chance.choice(
                [b"}", b"(K\x03X\x01\0\0\0|NNNK\x08K\x01K\x00t", b"N}\x86", b"}X\x08\0\0\0itemsizeK\x08s"]
            )
            inner = chance.choice(GLOBALS).replace(" ", "\n").encode()
            parts.append(chance.choice([
                b"c" + name + b"\nc" + inner + b"\n\x85R" + state + b"b",
                b"c" + name + b"\n" + state + b"b",
                b"X\x01\0\0\0xc" + name + b"\n)\x81" + state + b"bs",
                b"X\x01\0\0\0x" + TENSOR + state + b"bs",
                b"X\x01\0\0\0yc" + name + b"\nc" + inner + b"\n\x85Rs",
                b"X\x01\0\0\0zc" + name + b"\nX\x01\0\0\0v\x85R" + state + b"bs",
                b"c" + name + b"\nX\x01\0\0\0kK\x01s",
            ]))  # fmt: skip
        else:
            opcode = chance.choice(opcodes if chance.random() < 0.4 else likely)
            parts.append(opcode.code.encode("latin-1") + argument(chance, opcode))
    return b"".join(parts) + b"."


def mutated(chance, instructions):
    """A sound program of which some instructions are left out, doubled, moved, or replaced."""
    parts = list(instructions)
    for _ in range(chance.randrange(1, 5)):
        place = chance.randrange(1, len(parts) - 1)
        match chance.randrange(5):
            case 0:
                del parts[place]
            case 1:
                parts.insert(place, parts[chance.randrange(1, len(parts) - 1)])
            case 2:
                parts[place] = parts[chance.randrange(1, len(parts) - 1)]
            case 3:
                opcode = chance.choice(pickletools.opcodes)
                parts.insert(place, opcode.code.encode("latin-1") + argument(chance, opcode))
            case 4:
                parts[place] = b"c" + chance.choice(GLOBALS).replace(" ", "\n").encode() + b"\n"
    return b"".join(parts)


@pytest.mark.parametrize("part", range(4))
def test_programs_of_every_opcode_change_nothing(writer, tmp_path, part):
    chance, path = random.Random(part), tmp_path / "a.pth"
    writer.write(path, b"\x80\x02}X\x01\0\0\0w" + TENSOR + b"s.", {"0": VALUES.tobytes()})
    np.testing.assert_array_equal(read(path)["w"], VALUES.reshape(2, 3))  # and all is loaded that will be
    before, read_whole = state_of_the_process(), 0
    _heard.clear()
    for _ in range(800):
        writer.write(path, program(chance), {"0": VALUES.tobytes()})
        found = read(path)
        check(found)
        read_whole += type(found) is dict
    assert state_of_the_process() == before
    assert _heard == []
    assert read_whole > 10  # not all are so broken that nothing is tried


@pytest.mark.parametrize("part", range(2))
def test_mutations_of_a_real_program_change_nothing(golden, tmp_path, part):
    chance, path = random.Random(part), tmp_path / "a.pth"
    real = golden.folder / "torch_tensors.pth"
    with zipfile.ZipFile(real) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    root = next(name for name in entries if name.endswith("data.pkl"))
    whole = entries[root]
    places = [position for _, _, position in pickletools.genops(whole)] + [len(whole)]
    instructions = [whole[first:last] for first, last in itertools.pairwise(places)]
    read(real)
    before, read_whole = state_of_the_process(), 0
    _heard.clear()
    for _ in range(500):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in (entries | {root: mutated(chance, instructions)}).items():
                archive.writestr(name, data)
        found = read(path)
        check(found)
        read_whole += type(found) is dict
    assert state_of_the_process() == before
    assert _heard == []
    assert read_whole > 10


def doubled(times, last):
    """A tuple of twice the same tuple, of twice the same tuple, and so on."""
    return b")" + b"q\0h\0\x86" * times + last


COLLIDING = b"".join(b"\x8a\x10" + (i * (2**61 - 1)).to_bytes(16, "little") + b"N" for i in range(60_000))
STORAGE = TENSOR[: TENSOR.index(b"Q") + 1]
BOMBS = {
    "a key that takes 2**60 steps to hash": b"}" + doubled(60, b"K\1s"),
    "an identifier that takes 2**60 letters to print": doubled(60, b"Q"),
    "a shape that takes 2**60 letters to print": STORAGE + b"K\0" + doubled(60, b")t") + b"R",
    "arguments shared 2**60 times": b"}X\1\0\0\0xcos\nsystem\n" + doubled(60, b"\x85Rs"),
    "lists in lists": b"]" * 100_000 + b"a" * 99_999,
    "marks in marks": b"(" * 100_000 + b"t" * 100_000,
    "a list that holds itself": b"}X\1\0\0\0x]q\0h\0as",
    "keys that collide": b"}(" + COLLIDING + b"u",
    "a shape of many axes": STORAGE + b"K\0(\x8a\x08" + b"\xff" * 7 + b"\x7f" + b"2" * 99_999 + b"t)tR",
    "a far place of the memory": b"}r\xff\xff\xff\x7f",
    "a number of a million digits": b"}X\1\0\0\0x\x8b" + struct.pack("<i", 10**6) + b"\x7f" * 10**6 + b"s",
    "half of a letter as a name": b"}X\3\0\0\0\xed\xa0\x80" + TENSOR + b"s",
    "two objects": b"}}",
    "nothing": b"",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", BOMBS)
def test_what_would_take_for_ever_is_refused_soon(writer, tmp_path, name):
    path = tmp_path / "a.pth"
    writer.write(path, b"\x80\x02" + BOMBS[name] + b".", {"0": VALUES.tobytes()})
    found = read(path)
    assert type(found) is str, name


def test_a_dtype_of_the_process_cannot_be_altered(writer, tmp_path):
    """A function that gives back its argument, called with a dtype, must not hand it to BUILD."""
    path = tmp_path / "a.pth"
    half = writer.Global("torch", "BFloat16Storage")
    state = (3, "|", None, None, None, 8, 1, 0)
    mine = np.ones(4, ml_dtypes.bfloat16)
    for function in ("_rebuild_parameter", "_rebuild_tensor_v2", "_rebuild_parameter_with_state"):
        call = writer.Call(writer.Global("torch._utils", function), half)
        for target in (half, call, writer.Call(writer.Global("torch._utils", function), (half,))):
            writer.write(path, {"x": writer.Attributes(target, state)}, {"0": VALUES.tobytes()})
            assert type(read(path)) is str
    assert (np.dtype(ml_dtypes.bfloat16).itemsize, mine.nbytes) == (2, 8)


def test_overlapping_or_compressed_entries_cannot_expand(writer, tmp_path):
    path = tmp_path / "a.pth"
    data = np.zeros(10**6, np.float32).tobytes()
    source = writer.storage("0", "FloatStorage", 10**6)
    writer.write(path, {"w": writer.tensor(source, 0, (10**6,), (1,))}, {"0": data}, compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in read(path)


def test_views_of_one_storage_are_bounded_by_file(writer, tmp_path):
    path = tmp_path / "a.pth"
    source = writer.storage("0", "FloatStorage", 6)
    fine = {"w": writer.tensor(source, 0, (1000, 6), (0, 1))}
    writer.write(path, fine, {"0": VALUES.tobytes()})
    assert read(path)["w"].shape == (1000, 6)
    many = {f"w{i}": writer.tensor(source, 0, (10**6, 6), (0, 1)) for i in range(4)}
    writer.write(path, many, {"0": VALUES.tobytes()})
    with contextlib.suppress(MemoryError):
        assert "repeat" in read(path)
