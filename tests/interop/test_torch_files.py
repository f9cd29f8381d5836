"""The reader of PyTorch's files: right on real ones, and nothing but one line for all others."""

import os
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxticket.core.errors import TicketError
from jaxticket.interop import read_torch
from jaxticket.storage import save_arrays

pytestmark = [pytest.mark.feature("other frameworks"), pytest.mark.smoke]

VALUES = np.arange(6, dtype=np.float32)


def test_a_real_file_gives_every_dtype_and_layout(golden):
    tensors = read_torch(golden.folder / "torch_tensors.pth")
    for name in ("float64", "float16", "bfloat16", "int64", "int32", "int16", "int8"):
        dtype = np.dtype(getattr(ml_dtypes if name == "bfloat16" else np, name))
        assert tensors[name].dtype == dtype
        np.testing.assert_array_equal(tensors[name], np.arange(-3, 3).astype(dtype))
    base = np.arange(24, dtype=np.float32)
    expected = {
        "uint8": np.array([0, 255], np.uint8),
        "bool": np.array([[True], [False]]),
        "parameter": np.full((2, 1), 0.5, np.float32),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "shared_first": base[:12].reshape(3, 4),
        "shared_transposed": base[12:].reshape(3, 4).T,
        "shared_every_third": base[2::3],
        "repeated": np.array([[1, 2]] * 3, np.float32),
    }
    for name, value in expected.items():
        assert tensors[name].dtype == value.dtype
        assert not tensors[name].flags.writeable
        np.testing.assert_array_equal(tensors[name], value)
    assert len(tensors) == 16  # the step, the note, the dtype and the shape are no tensors


def test_training_checkpoint_gives_its_state_dict(golden):
    path = golden.folder / "torch_resnet20.pth"
    tensors = read_torch(path)
    assert "conv1.weight" in tensors
    assert "layer1.0.conv1.weight_mask" in tensors
    assert not any(name.startswith("module.") for name in tensors)
    np.testing.assert_array_equal(tensors["conv1.weight"], golden.filling.fill("conv1.weight", (4, 3, 3, 3)))
    assert read_torch(path, key="state_dict").keys() == tensors.keys()
    with pytest.raises(TicketError, match=r"has no entry 'weights'; its entries are 'arch', .*'state_dict'"):
        read_torch(path, key="weights")
    with pytest.raises(TicketError, match="its entry 'epoch' is no state dict"):
        read_torch(path, key="epoch")


def test_safetensors_are_read_too(tmp_path):
    save_arrays(tmp_path / "a.safetensors", {"module.w": VALUES})
    np.testing.assert_array_equal(read_torch(tmp_path / "a.safetensors")["w"], VALUES)


def tensor_file(writer, path, *, offset=0, shape=(2, 3), strides=(3, 1), kind="FloatStorage", size=6, data=None):
    source = writer.storage("0", kind, size)
    data = VALUES.tobytes() if data is None else data
    writer.write(path, {"w": writer.tensor(source, offset, shape, strides)}, {"0": data})


def test_writer_of_these_tests_writes_what_is_read(writer, tmp_path):
    path = tmp_path / "a.pth"
    tensor_file(writer, path)
    np.testing.assert_array_equal(read_torch(path)["w"], VALUES.reshape(2, 3))


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": 1},
        {"offset": -1},
        {"shape": (3, 3)},
        {"shape": (2**62, 4), "strides": (4, 1)},
        {"shape": (2**62, 4), "strides": (0, 0)},
        {"shape": (2**70, 0)},
        {"shape": (2, -3)},
        {"strides": (-3, 1)},
        {"strides": (3,)},
        {"strides": (2**62, 1)},
        {"shape": (True, 3)},
        {"shape": 6},
        {"shape": (1,) * 100, "strides": (1,) * 100},
        {"size": 7},
        {"size": -6},
        {"size": 6.0},
        {"size": 2**70},
        {"shape": (10**12,), "strides": (0,)},
        {"shape": (2**70, 2**70), "strides": (0, 0)},
        {"offset": 1.0},
        {"offset": None},
        {"kind": "DoubleStorage"},
        {"data": b""},
        {"data": b"\x02" * 6, "kind": "BoolStorage"},
    ],
)
def test_tensor_outside_its_storage_is_refused(writer, tmp_path, changes):
    path = tmp_path / "a.pth"
    tensor_file(writer, path, **changes)
    with pytest.raises(TicketError, match=r"a\.pth is not a whole file of torch\.save"):
        read_torch(path)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("__builtin__", "getattr"),
        ("torch", "load"),
        ("torch", "FloatTensor"),
        ("torch._utils", "_rebuild_wrapper_subclass"),
        ("numpy.core.multiarray", "scalar"),
        ("jaxticket.interop.torch_pickle", "TorchPickle"),
        ("collections", "OrderedDict.fromkeys"),
    ],
)
def test_other_globals_are_refused_by_name(writer, tmp_path, module, name):
    path, trace = tmp_path / "a.pth", tmp_path / "trace"
    writer.write(path, {"w": writer.Call(writer.Global(module, name), (f"touch {trace}",))})
    with pytest.raises(TicketError, match=rf"a\.pth needs {module}\.{name}, which is refused") as error:
        read_torch(path)
    assert "\n" not in str(error.value)
    assert not trace.exists()


def test_what_is_allowed_cannot_be_altered_by_file(writer, tmp_path):
    """A pickle can set attributes; a later file must not see them."""
    rebuild = writer.Global("torch._utils", "_rebuild_tensor_v2")
    ordered = writer.Global("collections", "OrderedDict")
    for target in (rebuild, ordered, writer.Global("torch", "FloatStorage"), writer.storage("0", "FloatStorage", 6)):
        for state in ({"dtype": 1, "values": 1}, (None, {"__defaults__": (1,), "dtype": 1, "values": 1, "items": 1})):
            path = tmp_path / "bad.pth"
            writer.write(path, {"w": writer.Attributes(target, state)}, {"0": VALUES.tobytes()})
            with pytest.raises(TicketError):
                read_torch(path)
            tensor_file(writer, path)
            np.testing.assert_array_equal(read_torch(path)["w"], VALUES.reshape(2, 3))


def test_attributes_of_a_dictionary_are_dropped(writer, tmp_path):
    path = tmp_path / "a.pth"
    weight = writer.tensor(writer.storage("0", "FloatStorage", 6), 0, (6,), (1,))
    ordered = writer.Call(writer.Global("collections", "OrderedDict"), ({"w": weight},))
    for state in ({"v": weight}, (None, {"items": weight, "v": weight})):
        writer.write(path, writer.Attributes(ordered, state), {"0": VALUES.tobytes()})
        assert list(read_torch(path)) == ["w"]


def test_which_entry_is_the_state_dict(writer, tmp_path):
    path = tmp_path / "a.pth"
    weight = writer.tensor(writer.storage("0", "FloatStorage", 6), 0, (6,), (1,))
    for key in ("state_dict", "model_state_dict", "model", "net"):
        writer.write(path, {"best": weight, key: {"w": weight}}, {"0": VALUES.tobytes()})
        assert list(read_torch(path)) == ["w"]
    writer.write(path, {"epoch": 1, "ema": {"w": weight}}, {"0": VALUES.tobytes()})
    assert list(read_torch(path, key="ema")) == ["w"]
    with pytest.raises(TicketError, match="choose one of its entries with key=: 'ema'"):
        read_torch(path)
    writer.write(path, {"module.w": weight, "v": weight}, {"0": VALUES.tobytes()})
    assert list(read_torch(path)) == ["module.w", "v"]
    writer.write(path, (weight,), {"0": VALUES.tobytes()})
    with pytest.raises(TicketError, match="has no state dict"):
        read_torch(path)


def test_state_dicts_inside_entries_and_averages_are_named(writer, tmp_path):
    path = tmp_path / "a.bin"
    weight, other = (writer.tensor(writer.storage("0", "FloatStorage", 6), offset, (3,), (1,)) for offset in (0, 3))
    inner = {"model": {"state_dict": {"module.w": weight}, "weights": {"v": other}}}
    writer.write(path, {"epoch": 3, **inner}, {"0": VALUES.tobytes()})
    assert list(read_torch(path)) == ["w"]
    assert list(read_torch(path, key="model/weights")) == ["v"]
    with pytest.raises(TicketError, match="has no entry 'model/none'"):
        read_torch(path, key="model/none")
    averaged = {"model": {"w": weight}, "model_ema": {"module.w": other}, "optimizer": {"m": weight}}
    writer.write(path, averaged, {"0": VALUES.tobytes()})
    with pytest.warns(UserWarning, match="took 'model'; the same tensors are in 'model_ema' too"):
        np.testing.assert_array_equal(read_torch(path)["w"], VALUES[:3])
    np.testing.assert_array_equal(read_torch(path, key="model_ema")["w"], VALUES[3:])


def test_a_dictionary_that_holds_itself_ends(writer, tmp_path):
    path = tmp_path / "a.pth"
    writer.write(path, b"\x80\x02}q\x00(X\x0a\0\0\0state_dicth\x00X\x05\0\0\0modelh\x00u.")
    with pytest.raises(TicketError, match=r"has no state dict$"):
        read_torch(path)


def test_foreign_files_are_refused_with_the_remedy(writer, tmp_path):
    path = tmp_path / "a.pth"
    with pytest.raises(TicketError, match="there is no such file"):
        read_torch(path)
    for content in (b"", b"PK\x03\x04", b"\x89HDF\r\n", pickle.dumps({"w": 1}), b"\x80\x02"):
        path.write_bytes(content)
        with pytest.raises(TicketError, match=r"is not a (whole )?file of torch\.save"):
            read_torch(path)
    weight = writer.tensor(writer.storage("0", "FloatStorage", 6), 0, (6,), (1,))
    writer.write(path, {"w": weight}, {"0": VALUES.tobytes()}, extra={"byteorder": b"big"})
    with pytest.raises(TicketError, match="big-endian"):
        read_torch(path)
    writer.write(path, {"w": weight}, {"0": VALUES.tobytes()}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(TicketError, match="compressed"):
        read_torch(path)
    writer.write(path, {"w": weight})
    with pytest.raises(TicketError, match="data/0"):
        read_torch(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "")
    with pytest.raises(TicketError, match=r"it has no data\.pkl"):
        read_torch(path)
    if os.geteuid():
        path.chmod(0)
        with pytest.raises(TicketError, match="cannot read"):
            read_torch(path)


def test_what_is_no_tensor_is_skipped_and_named(writer, tmp_path):
    path, trace = tmp_path / "a.pth", tmp_path / "trace"
    weight = writer.tensor(writer.storage("0", "FloatStorage", 6), 0, (6,), (1,))
    namespace = writer.Attributes(writer.New(writer.Global("argparse", "Namespace"), ()), {"lr": 0, "w": weight})
    best = writer.Call(writer.Global("numpy.core.multiarray", "scalar"), (writer.Global("numpy", "dtype"), "8 bytes"))
    harm = writer.Call(writer.Global("os", "system"), (f"touch {trace}",))
    for entries in ({"state_dict": {"w": weight}, "args": namespace, "best": best, "x": harm},
                    {"w": weight, "args": namespace, "best": best, "x": harm}):  # fmt: skip
        writer.write(path, entries, {"0": VALUES.tobytes()})
        with pytest.warns(
            UserWarning, match=r"skipped .*: argparse\.Namespace, numpy\.core\.multiarray\.scalar, os\.sys"
        ):
            assert list(read_torch(path)) == ["w"]
    assert not trace.exists()


def test_unread_kind_of_tensor_is_not_skipped(writer, tmp_path):
    path = tmp_path / "a.pth"
    weight = writer.tensor(writer.storage("0", "FloatStorage", 6), 0, (6,), (1,))
    other = writer.tensor(writer.storage("0", "ComplexFloatStorage", 3), 0, (3,), (1,))
    sparse = writer.Call(writer.Global("torch._utils", "_rebuild_sparse_tensor"), (weight,))
    for lost, name in ((other, "torch.ComplexFloatStorage"), (sparse, "torch._utils._rebuild_sparse_tensor")):
        writer.write(path, {"w": weight, "v": lost}, {"0": VALUES.tobytes()})
        with pytest.raises(TicketError, match=rf"a\.pth needs {name}, which is refused"):
            read_torch(path)


def test_the_layout_before_zip_archives(writer, tmp_path):
    path = tmp_path / "a.th"
    storage = writer.Persistent(("storage", writer.Global("torch", "FloatStorage"), "7", "cpu", 6, None))
    whole = {"state_dict": {"module.w": writer.tensor(storage, 0, (2, 3), (3, 1))}, "best": 91}
    writer.write_row(path, whole, {"7": (6, VALUES.tobytes())})
    np.testing.assert_array_equal(read_torch(path)["w"], VALUES.reshape(2, 3))
    data = path.read_bytes()
    for cut in range(0, len(data) - 1, 7):
        path.write_bytes(data[:cut])
        with pytest.raises(TicketError, match=r"is not a (whole )?file of torch\.save"):
            read_torch(path)
    for storages in ({}, {"7": (5, VALUES.tobytes())}, {"8": (6, VALUES.tobytes())}):
        writer.write_row(path, whole, storages)
        with pytest.raises(TicketError, match=r"is not a whole file of torch\.save"):
            read_torch(path)
    writer.write_row(path, whole, {"7": (6, VALUES.tobytes())}, system={"little_endian": False})
    with pytest.raises(TicketError, match="big-endian"):
        read_torch(path)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_file_is_read_right_or_refused(golden, tmp_path, data):
    whole = (golden.folder / "torch_tensors.pth").read_bytes()
    expected = read_torch(golden.folder / "torch_tensors.pth")
    position = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        damaged = whole[:position]
    else:
        damaged = bytearray(whole)
        damaged[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "a.pth"
    path.write_bytes(damaged)
    try:
        found = read_torch(path)
    except TicketError:
        return
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)
