"""Tickets: what is saved comes back to the bit, and whatever else lies in the folder is refused in one line."""

import json
import os
import pickle
import random
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import jaxticket as jt
from jaxticket import storage
from jaxticket.core import paths
from jaxticket.core.errors import MaskError, TicketError

pytestmark = [pytest.mark.feature("tickets and given weights"), pytest.mark.smoke]

ARRAYS, DESCRIPTION = "ticket.safetensors", "ticket.json"


def make_ticket(seed=0, **meta):
    """A ticket of three layers, 40 % pruned in each of two."""
    rng = np.random.default_rng(seed)
    params = {
        layer: {"kernel": rng.normal(size=shape).astype(np.float32), "bias": rng.normal(size=shape[1]).astype("f4")}
        for layer, shape in (("fc1", (6, 5)), ("fc2", (5, 4)), ("head", (4, 3)))
    }
    mask = {}
    for layer in ("fc1", "fc2"):
        kernel = params[layer]["kernel"]
        kept = np.ones(kernel.size, bool)
        kept[rng.permutation(kernel.size)[: round(0.4 * kernel.size)]] = False
        mask[f"{layer}/kernel"] = kept.reshape(kernel.shape)
        kernel *= mask[f"{layer}/kernel"]
    state = {"batch_stats": {"fc1_bn": {"mean": rng.normal(size=5), "count": np.asarray(3, np.int32)}}}
    return jt.Ticket(params, mask, state, {"label": f"imp-2-{seed}", "config": {"lr": 0.1}, **meta})


def bits(tree):
    return {path: (leaf.dtype, leaf.shape, np.asarray(leaf).tobytes()) for path, leaf in paths.leaves(tree).items()}


def assert_same(loaded, saved):
    for part in ("params", "mask", "model_state"):
        assert bits(getattr(loaded, part)) == bits(getattr(saved, part))


def make_whole_ticket(**meta):
    """The same mask, with a value everywhere."""
    ticket = make_ticket(**meta)
    for path in ticket.mask:
        layer = path.partition("/")[0]
        ticket.params[layer]["kernel"][~ticket.mask[path]] = 7
    return ticket


@pytest.fixture
def folder(tmp_path):
    jt.save_ticket(tmp_path / "ticket", make_ticket())
    return tmp_path / "ticket"


def refused(folder, message=None):
    with pytest.raises(TicketError, match=message) as error:
        jt.load_ticket(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)


# Round trips.


def test_removed_weights_are_kept_where_ticket_says(tmp_path):
    whole = make_whole_ticket(removed=True)
    jt.save_ticket(tmp_path / "whole", whole)
    loaded = jt.load_ticket(tmp_path / "whole")
    assert_same(loaded, whole)
    assert loaded.meta["removed"] is True
    kept, wanted = paths.leaves(jt.apply_mask(loaded.params, loaded.mask)), paths.leaves(make_ticket().params)
    assert all(np.array_equal(leaf, wanted[path]) for path, leaf in kept.items())
    for removed in ({}, {"removed": False}):
        with pytest.raises(TicketError, match=r"not zero where the mask is False; use .* meta\['removed'\] = True"):
            jt.save_ticket(tmp_path / "other", make_whole_ticket(**removed))
    with pytest.raises(TicketError, match=r"meta\['removed'\] is 'yes'; must be True or False"):
        jt.save_ticket(tmp_path / "other", make_whole_ticket(removed="yes"))
    assert not (tmp_path / "other").exists()


def test_removed_weights_without_statement_are_refused(tmp_path):
    """Also where the checksums of both files fit: meta and arrays are held against each other."""
    for folder, ticket in (("whole", make_whole_ticket(removed=True)), ("kept", make_ticket())):
        jt.save_ticket(tmp_path / folder, ticket)
    description = json.loads((tmp_path / "whole" / DESCRIPTION).read_text())
    del description["meta"]["removed"]
    description.pop("sha256")
    storage.write_bytes(tmp_path / "whole" / DESCRIPTION, storage.checked_json(description, "it"))
    refused(tmp_path / "whole", "not zero where the mask is False")


def test_a_saved_ticket_comes_back_to_the_bit(folder):
    loaded = jt.load_ticket(str(folder))
    assert_same(loaded, make_ticket())
    assert type(loaded.params) is dict
    assert {path.name for path in folder.iterdir()} == {ARRAYS, DESCRIPTION}
    assert loaded.meta["label"] == "imp-2-0"
    assert loaded.meta["weights"] == "rewind"
    assert loaded.meta["sparsity"] == pytest.approx(jt.sparsity(loaded.mask), abs=1e-12)
    assert loaded.meta["versions"]["jax"] == jax.__version__
    assert set(storage.load_arrays(folder / ARRAYS)) == {
        *(f"params/{path}" for path in paths.leaves(loaded.params)),
        *(f"mask/{path}" for path in loaded.mask),
        "model_state/batch_stats/fc1_bn/mean",
        "model_state/batch_stats/fc1_bn/count",
    }


def test_loading_and_saving_again_changes_no_byte(folder, tmp_path):
    jt.save_ticket(tmp_path / "again", jt.load_ticket(folder))
    for name in (ARRAYS, DESCRIPTION):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_equal_tickets_have_equal_files(folder, tmp_path):
    ticket = make_ticket()
    shuffled = jt.Ticket(
        dict(reversed(ticket.params.items())),
        {path: jnp.asarray(kept) for path, kept in reversed(ticket.mask.items())},
        ticket.model_state,
        dict(reversed(ticket.meta.items())),
    )
    jt.save_ticket(tmp_path / "other", shuffled)
    for name in (ARRAYS, DESCRIPTION):
        assert (tmp_path / "other" / name).read_bytes() == (folder / name).read_bytes()


NAMES = st.text("abcdefgh_0", min_size=1, max_size=6)
SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)


@st.composite
def tickets(draw):
    """Trees of depth 1 and 2, leaves of every float dtype and of any shape, some of them masked."""
    params, mask = {}, {}
    for layer in draw(st.lists(NAMES, unique=True, max_size=4)):
        leaves = {}
        for name in draw(st.lists(NAMES, unique=True, min_size=1, max_size=2)):
            dtype = np.dtype(draw(st.sampled_from(["float32", "float16", "float64", ml_dtypes.bfloat16])))
            rng = np.random.default_rng(draw(st.integers(0, 9)))
            leaf = np.asarray(rng.normal(size=draw(SHAPES))).astype(dtype)
            if draw(st.booleans()):
                kept = np.asarray(rng.random(leaf.shape) < 0.5)
                leaf = np.where(kept, leaf, np.zeros((), dtype))
                mask[f"{layer}/{name}"] = kept
            leaves[name] = leaf
        params[layer] = leaves
    state = {"stats": {"n": np.asarray(draw(st.integers(0, 5)), np.int32)}} if draw(st.booleans()) else {}
    return jt.Ticket(params, mask, state, draw(st.dictionaries(st.text(), st.text() | st.floats(0, 1), max_size=3)))


@given(tickets())
def test_any_ticket_comes_back_to_the_bit(tmp_path_factory, ticket):
    folder = tmp_path_factory.getbasetemp() / "any_ticket"
    jt.save_ticket(folder, ticket)
    loaded = jt.load_ticket(folder)
    assert_same(loaded, ticket)
    assert ticket.meta.items() <= loaded.meta.items()


def test_bfloat16_jax_arrays_come_back_exactly(tmp_path):
    weights = jnp.asarray([[1.5, 0], [-3e38, 1e-40]], jnp.bfloat16)
    jt.save_ticket(tmp_path, jt.Ticket({"fc1": {"kernel": weights}}, {"fc1/kernel": np.asarray(weights) != 0}, {}, {}))
    loaded = jt.load_ticket(tmp_path)
    assert loaded.params["fc1"]["kernel"].dtype == jnp.bfloat16
    assert loaded.params["fc1"]["kernel"].tobytes() == np.asarray(weights).tobytes()
    assert loaded.model_state == {}
    assert loaded.mask["fc1/kernel"].dtype == np.bool_
    assert bits(jax.device_put(loaded.params)) == bits(loaded.params)


# What may not be saved.


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda t: t.mask.update({"fc9/kernel": np.ones((2, 2), bool)}), MaskError, "fc9/kernel"),
        (lambda t: t.mask.update({"fc1/kernel": np.ones((5, 6), bool)}), MaskError, r"fc1/kernel.*\(5, 6\).*\(6, 5\)"),
        (lambda t: t.mask.update({"fc1/kernel": np.ones((6, 5))}), MaskError, r"fc1/kernel.*float64.*bool"),
        (
            lambda t: t.params["fc1"]["kernel"].fill(1),
            TicketError,
            r"params 'fc1/kernel' are not zero where the mask is False; use jaxticket\.apply_mask",
        ),
        (lambda t: t.params["fc1"]["kernel"].fill(np.nan), TicketError, "not zero where"),
        (lambda t: t.params["fc1"].update(bias=np.array([None])), TicketError, "params/fc1/bias has dtype object"),
        (lambda t: t.model_state.update(key=jax.random.key(0)), TicketError, "model_state/key"),
        (lambda t: t.params.update({"fc1/kernel/b": np.ones(1)}), TicketError, "params has a leaf at 'fc1/kernel/b'"),
        (lambda t: t.model_state.update({"": np.ones(1)}), TicketError, "model_state has a leaf at ''"),
        (lambda t: t.meta.update(config={"f": print}), TicketError, r"meta\['config'\]\['f'\] is a builtin"),
        (lambda t: t.meta.update(loss=float("nan")), TicketError, r"meta\['loss'\] is nan"),
        (lambda t: t.meta.update({1: 2}), TicketError, "key 1; keys must be strings"),
        (lambda t: t.meta.update(weights="best"), TicketError, r"meta\['weights'\] is 'best'; must be 'rewind'"),
        (lambda t: t.meta.update(sparsity=0.9), TicketError, r"meta\['sparsity'\] is 0.9, the mask's is 0.4000"),
    ],
)
def test_what_does_not_fit_together_is_not_saved(tmp_path, change, error, message):
    ticket = make_ticket()
    change(ticket)
    with pytest.raises(error, match=message) as raised:
        jt.save_ticket(tmp_path / "ticket", ticket)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "ticket").exists()


def test_mask_and_meta_must_be_dictionaries(tmp_path):
    ticket = make_ticket()
    for wrong in (jt.Ticket(ticket.params, None, {}, {}), jt.Ticket(ticket.params, ticket.mask, {}, None)):  # type: ignore[arg-type]
        with pytest.raises(TicketError, match="dictionary"):
            jt.save_ticket(tmp_path / "ticket", wrong)


def test_trained_weights_are_marked(tmp_path):
    jt.save_ticket(tmp_path, make_ticket(weights="trained"))
    assert jt.load_ticket(tmp_path).meta["weights"] == "trained"


# What may not be loaded.


@pytest.mark.parametrize("name", [ARRAYS, DESCRIPTION])
def test_a_flipped_byte_anywhere_is_refused(folder, name):
    data = (folder / name).read_bytes()
    rng = random.Random(0)
    for position in {0, len(data) - 1, *rng.sample(range(len(data)), 60)}:
        for flip in (1, 0x20, 0x80):
            damaged = data[:position] + bytes([data[position] ^ flip]) + data[position + 1 :]
            (folder / name).write_bytes(damaged)
            refused(folder)
    (folder / name).write_bytes(data)
    assert_same(jt.load_ticket(folder), make_ticket())


@pytest.mark.parametrize("name", [ARRAYS, DESCRIPTION])
def test_a_truncated_or_longer_file_is_refused(folder, name):
    data = (folder / name).read_bytes()
    for size in (0, 1, 7, 8, len(data) // 2, len(data) - 1):
        (folder / name).write_bytes(data[:size])
        refused(folder, name)
    (folder / name).write_bytes(data + b"\n")
    refused(folder, name)


def test_files_of_two_tickets_do_not_mix(folder, tmp_path):
    jt.save_ticket(tmp_path / "other", make_ticket(seed=1))
    shutil.copy(tmp_path / "other" / ARRAYS, folder / ARRAYS)
    refused(folder, r"is not the file that ticket\.json describes: .*; restore the folder or save the ticket again")


def seal(folder, **changes):
    """Rewrites ticket.json as its writer would, with other content."""
    content = json.loads((folder / DESCRIPTION).read_text())
    del content["sha256"]
    content["arrays"] = {"sha256": storage.checksum(folder / ARRAYS), "size": (folder / ARRAYS).stat().st_size}
    (folder / DESCRIPTION).write_bytes(storage.checked_json({**content, **changes}, "it"))


def test_a_newer_version_asks_for_an_upgrade(folder):
    seal(folder, version=999)
    refused(folder, "version 999, this jaxticket reads 1 to 1; upgrade")


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda file: file.write_bytes(pickle.dumps({"w": np.ones(3)})),
        lambda file: save_file({"w": np.ones(3)}, file),
        lambda file: save_file({"params/w/": np.ones(3), "mask/w/b": np.ones(3, bool)}, file),
        lambda file: save_file({"params/w": np.ones(3), "mask/w": np.zeros(3, bool)}, file),
    ],
    ids=["pickle", "foreign", "other paths", "not zero"],
)
def test_foreign_arrays_are_refused_even_with_fitting_checksum(folder, make, sealed):
    make(folder / ARRAYS)
    if sealed:
        seal(folder)
    refused(folder, r"ticket\.safetensors")


def test_leaves_inside_each_other_are_refused(folder):
    save_file({"params/a": np.ones(3), "params/a/b": np.ones(3)}, folder / ARRAYS)
    seal(folder)
    refused(folder, r"ticket\.safetensors")


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("0.1", "0.2"),
        lambda text: text.replace("imp-2-0", "imp-9-0"),
        lambda text: json.dumps(json.loads(text)),
    ],
    ids=["value", "label", "layout"],
)
def test_a_description_edited_by_hand_is_refused(folder, edit):
    file = folder / DESCRIPTION
    file.write_text(edit(file.read_text()))
    refused(folder, r"ticket\.json was changed after it was written; restore it or make it again")


def test_a_description_of_something_else_is_refused(folder):
    (folder / DESCRIPTION).write_text('{"format": "another"}')
    refused(folder, "is not a jaxticket-ticket file")
    (folder / DESCRIPTION).write_bytes(pickle.dumps(1))
    refused(folder, "is not JSON")


def test_missing_files_and_folders_are_named(folder, tmp_path):
    refused(tmp_path / "nowhere", r"holds no ticket: there is no ticket\.json; give the folder of a saved ticket")
    refused(folder / DESCRIPTION, "holds no ticket")
    (folder / ARRAYS).unlink()
    refused(folder, r"holds no ticket: there is no ticket\.safetensors")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_one_line(folder):
    (folder / ARRAYS).chmod(0)
    refused(folder, "cannot read .*Permission denied")


def test_a_refusing_operating_system_is_one_line(folder, monkeypatch):
    def deny(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", deny)
    refused(folder, "cannot read .*Permission denied; check")


# Saving over a ticket.


@pytest.mark.parametrize("step", range(8))
def test_crash_while_saving_over_ticket_never_mixes_two(folder, monkeypatch, step):
    """Every write, flush and rename in turn is the last thing that happens."""
    calls = 0

    def count_down(function):
        def wrapped(*args, **kwargs):
            nonlocal calls
            if calls == step:
                raise KeyboardInterrupt
            calls += 1
            return function(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", count_down(os.fsync))
        patched.setattr(Path, "replace", count_down(Path.replace))
        interrupted = False
        try:
            jt.save_ticket(folder, make_ticket(seed=1))
        except KeyboardInterrupt:
            interrupted = True
    assert interrupted == (step < 6)  # two flushes, two renames, a flush of the folder after each
    if step in (3, 4):  # between the renames
        refused(folder, "saving was interrupted")
    else:
        assert_same(jt.load_ticket(folder), make_ticket(seed=0 if step < 3 else 1))
    assert {path.name for path in folder.iterdir()} == {ARRAYS, DESCRIPTION}
    jt.save_ticket(folder, make_ticket(seed=1))
    assert_same(jt.load_ticket(folder), make_ticket(seed=1))


# Into other trees.


def test_restored_linen_tree_keeps_kind_and_devices():
    ticket = make_ticket()
    device = jax.devices()[1]
    like = jax.tree.map(lambda leaf: jax.device_put(np.ones_like(leaf), device), ticket.params)
    restored = ticket.restore(like)
    assert bits(restored) == bits(ticket.params)
    assert all(leaf.devices() == {device} for leaf in jax.tree.leaves(restored))
    abstract = jax.eval_shape(lambda: like)
    assert bits(ticket.restore(abstract)) == bits(ticket.params)


def test_restore_into_an_nnx_state(folder):
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.fc1 = nnx.Linear(6, 5, rngs=rngs)
            self.fc2 = nnx.Linear(5, 4, rngs=rngs)
            self.head = nnx.Linear(4, 3, rngs=rngs)

        def __call__(self, x):
            return self.head(nnx.relu(self.fc2(nnx.relu(self.fc1(x)))))

    ticket = jt.load_ticket(folder)
    graph, state = nnx.split(Net(nnx.Rngs(0)))
    restored = ticket.restore(state)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    x = jnp.ones((2, 6))
    hidden = np.asarray(x)
    for layer in ("fc1", "fc2"):
        hidden = np.maximum(hidden @ ticket.params[layer]["kernel"] + ticket.params[layer]["bias"], 0)
    expected = hidden @ ticket.params["head"]["kernel"] + ticket.params["head"]["bias"]
    np.testing.assert_allclose(nnx.merge(graph, restored)(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree["fc1"].pop("bias"), r"'fc1/bias' is \(5,\) in the ticket and absent in the given tree"),
        (lambda tree: tree.update(fc3=np.ones(2)), r"'fc3' is absent in the ticket and \(2,\) in the given tree"),
        (lambda tree: tree["fc1"].update(bias=np.ones(6)), r"'fc1/bias' is \(5,\) in the ticket and \(6,\)"),
    ],
)
def test_restore_into_another_network_is_refused(change, message):
    like = make_ticket().params
    change(like)
    with pytest.raises(MaskError, match=message):
        make_ticket().restore(like)
