"""Weights and masks that a user gives by a path: a ticket, a stage, a safetensors file or a PyTorch checkpoint."""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxticket import interop, storage
from jaxticket.core import masks, paths
from jaxticket.core.errors import ConfigError, JaxticketError, MaskError, TicketError
from jaxticket.core.types import Mask
from jaxticket.interop.torch_files import read_checkpoint, shown_names
from jaxticket.interop.torch_names import OtherOptionError
from jaxticket.lab.derived import Bench, Derived
from jaxticket.lab.setting import Setting
from jaxticket.lab.stages.references import MaskRef, WeightsRef, read_weights, stored_weights
from jaxticket.ticket import ARRAYS, DESCRIPTION, Ticket, load_ticket
from jaxticket.training.state import Weights

WHAT = (
    "a ticket, a stage WORKDIR/stages/..., or a file .safetensors, .pth, .pth.tar, .pt, .th or .bin, with :NAME for "
    "other weights of a stage (:exact10) or another entry of a checkpoint (:init_weight)"
)
_PARTS = ("params", "model_state", "mask")
# What a stage is taken for where no name of weights is given, the first that it has.
_USUAL_WEIGHTS = ("weights", "last")


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
    """What was found at a path, checked against the network.

    Attributes:
        weights: NumPy arrays; where `whole`, those that the mask removes too. None for a mask alone.
        mask: path -> bool array, True = kept; empty where there is none.
        whole: whether no weights are missing: none were removed, or they are here.
        notes: what else the file has, and what was not taken of it, a line each.
    """

    weights: Weights | None
    mask: Mask
    whole: bool = True
    notes: tuple[str, ...] = ()


def read_given(setting: Setting, stages: Path, text: str, *, key: str) -> Given:
    """The weights and the mask at a path.

    A safetensors file has arrays named `params/...`, `model_state/...` and `mask/...`, or leaves of the network's
    parameters by their paths, or bool arrays by such paths (a mask alone), or PyTorch's names.

    Args:
        setting: whose network they must belong to.
        stages: the folder of stages in which weights that a ticket lacks are looked for.
        text: the path, with `:NAME` where other weights of a stage or another entry of a checkpoint are meant.
        key: of the configuration, for messages.

    Raises:
        ConfigError: there is nothing of the kind.
        TicketError: a file is damaged or foreign.
        MaskError: it belongs to another network.
    """
    path, name = split_name(text, key=key)
    if not path.is_dir():
        with named_errors(setting, text, key=key):
            given = _of_file(setting, path, name)
    elif (path / DESCRIPTION).is_file():
        with named_errors(setting, text, key=key):
            given = _of_ticket(stages, path)
    elif re.fullmatch(r"[a-z_]+-[0-9a-f]{12}", path.absolute().name) and storage.read_manifest(path) is not None:
        given = _of_stage(path, name, key)
    else:
        raise ConfigError(f"config.{key}={text!r}: is no finished stage and no ticket; must be {WHAT}")
    return _checked(setting, given, path, key)


@contextlib.contextmanager
def named_errors(setting: Setting, text: str, *, key: str) -> Iterator[None]:
    """Says of an error of the file `text` which key named it, and the network's options that would fit it.

    Raises:
        JaxticketError: of the kind that was raised.
    """
    try:
        yield
    except OtherOptionError as error:
        options = json.dumps({**setting.options.model.options, **error.option})
        raise TicketError(f"config.{key}={text!r}: {error}, or set --config.model.options='{options}'") from error
    except JaxticketError as error:
        raise type(error)(f"config.{key}={text!r}: {error}") from error


def split_name(named: str | os.PathLike[str], *, key: str) -> tuple[Path, str]:
    """The path, and what comes after its last colon where that is no part of it; of a ticket's own file its folder.

    Raises:
        ConfigError: there is no such file or folder.
    """
    text = os.fspath(named)
    head, _, name = text.rpartition(":")
    for path, rest in ((text, ""), (head, name)):
        if path and (found := Path(path)).exists():
            own = found.name == ARRAYS and (found.parent / DESCRIPTION).is_file()
            return found.parent if own else found, rest
    raise ConfigError(f"config.{key}={text!r}: there is no such file or folder; must be {WHAT}")


def remarked_given(bench: Bench, text: str, *, key: str) -> Given:
    """As `read_given`, with what there is to note about the file remarked."""
    given = read_given(bench.setting, bench.stages.folder, text, key=key)
    for note in given.notes:
        bench.recorder.remark(f"config.{key}={text!r}: {note}")
    return given


def given_network(bench: Bench, text: str, *, key: str, label: str) -> tuple[WeightsRef, Given]:
    """The weights at a path as a stage, and what else is there; raises as `read_given`, and where there are none."""
    given = remarked_given(bench, text, key=key)
    if given.weights is None:
        raise ConfigError(f"config.{key}={text!r}: has a mask and no weights; must be {WHAT}")
    return given_weights(bench, given.weights, label=label), given


def given_weights(bench: Bench, weights: Weights, *, label: str) -> WeightsRef:
    """Weights that were given, as a stage; its key is made of what they are, not of where they were found."""
    config = {"weights": _digest({"params": weights.params, "model_state": weights.model_state})}
    stage = bench.derive("given", lambda: Derived(weights), config=config, label=label)
    return WeightsRef(stage, "weights")


def given_mask(bench: Bench, mask: Mask, *, label: str) -> MaskRef:
    """A mask that was given, as a stage; its key is made of the mask."""
    config = {"given": _digest({"mask": mask})}
    return MaskRef(bench.derive("mask", lambda: Derived(mask=mask), config=config, label=label))


def given_ticket(bench: Bench, folder: Path, *, key: str) -> tuple[WeightsRef, MaskRef, Ticket]:
    """The weights and the mask of a saved ticket as stages, and the ticket; `key` of the configuration named it.

    Raises:
        TicketError: the folder holds no whole ticket.
        MaskError: the ticket belongs to another network.
    """
    with named_errors(bench.setting, str(folder), key=key):
        ticket = load_ticket(folder)
    bench.setting.check_same_network(ticket.params, folder, key=key)
    held = Derived(Weights(ticket.params, ticket.model_state), ticket.mask)
    config = {"checksum": storage.checksum(folder / ARRAYS)}
    stage = bench.derive("ticket", lambda: held, config=config, label=folder.name)
    return WeightsRef(stage, "weights"), MaskRef(stage), ticket


def given_init(bench: Bench) -> WeightsRef:
    """The weights of `config.init`; notes where those that a mask removed are missing. Raises as `Lab.init`."""
    path = bench.options.init
    weights, given = given_network(bench, path, key="init", label="given weights")
    if not given.whole:
        bench.recorder.remark(f"config.init={path!r}: the weights that its mask removed are not in it; they are 0")
    return weights


def _digest(tree: Any) -> str:
    return hashlib.sha256(storage.dump_arrays(paths.leaves(tree))).hexdigest()


def true_weights(stages: Path, ticket: Ticket) -> WeightsRef | None:
    """The weights that a ticket was made of, before its mask removed any, where they are among the stages."""
    found = stored_weights(stages, str(ticket.meta.get("start", "")))
    if found is None:
        return None
    ours, theirs = paths.leaves(masks.apply_mask(found.load().params, ticket.mask)), paths.leaves(ticket.params)
    agree = ours.keys() == theirs.keys() and all(np.array_equal(ours[path], theirs[path]) for path in theirs)
    return found if agree else None


def _of_ticket(stages: Path, folder: Path) -> Given:
    ticket = load_ticket(folder)
    whole = Weights(ticket.params, ticket.model_state)
    if ticket.meta.get("removed") or all(kept.all() for kept in ticket.mask.values()):
        return Given(whole, ticket.mask)
    found = true_weights(stages, ticket)
    return Given(found.load() if found else whole, ticket.mask, whole=found is not None)


def _of_stage(folder: Path, name: str, key: str) -> Given:
    there = sorted(file.stem for file in folder.glob("*.safetensors") if file.stem not in ("mask", "monitor"))
    if name and name not in there:
        raise ConfigError(f"config.{key}={f'{folder}:{name}'!r}: the stage has {', '.join(there) or 'no weights'}")
    name = name or next((usual for usual in _USUAL_WEIGHTS if usual in there), "")
    weights = read_weights(folder / f"{name}.safetensors") if name else None
    file = folder / "mask.safetensors"
    return Given(weights, storage.load_arrays(file) if file.exists() else {})


def _of_file(setting: Setting, path: Path, name: str) -> Given:
    if path.suffix == ".safetensors" and not name:
        arrays = storage.load_arrays(path)
        parts = {part: _under(arrays, part) for part in _PARTS}
        if arrays and sum(map(len, parts.values())) == len(arrays):
            weights = (
                Weights(paths.nest(parts["params"]), paths.nest(parts["model_state"])) if parts["params"] else None
            )
            return Given(weights, parts["mask"], _is_whole(parts["params"], parts["mask"]))
        known = paths.leaves(setting.shapes.params).keys()
        if arrays and arrays.keys() <= known:
            if all(array.dtype == np.bool_ for array in arrays.values()):
                return Given(None, arrays)
            return Given(Weights(paths.nest(arrays), {}), {})
    checkpoint = read_checkpoint(path, key=name or None)
    found = interop.from_torch(
        setting.options.model.name,
        checkpoint.tensors,
        image_shape=setting.image_shape,
        num_classes=setting.options.data.num_classes,
        keep_removed=True,
        **setting.options.model.options,
    )
    notes = [
        *checkpoint.notes,
        *([f"left out {shown_names(found.dropped)}"] if found.dropped else []),
        *_unsaid(setting),
    ]
    return Given(Weights(found.params, found.model_state), found.mask, notes=tuple(notes))


def _unsaid(setting: Setting) -> list[str]:
    """What a file cannot tell: how images were normalised for its weights."""
    options = setting.options.data
    if options.mean or options.std:
        return []
    return [
        f"images are normalised by the mean and std of {options.name}; for weights trained with others "
        "set both, as to ImageNet's by --config.data.mean=0.485,0.456,0.406 --config.data.std=0.229,0.224,0.225"
    ]


def _under(arrays: Mapping[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{part}/"): array for name, array in arrays.items() if name.startswith(f"{part}/")}


def _is_whole(params: Mapping[str, np.ndarray], mask: Mask) -> bool:
    """Whether something is where the mask removes; zeros there are those of a ticket without the removed weights."""
    removed = [path for path, kept in mask.items() if path in params and not kept.all()]
    return not removed or any(params[path][~mask[path]].any() for path in removed)


def _checked(setting: Setting, given: Given, path: Path, key: str) -> Given:
    """With weights in the network's dtypes.

    Raises:
        MaskError: they belong to another network, or are no numbers of the kind.
    """
    if given.mask:
        try:
            masks.check_fit(setting.shapes.params, given.mask)
        except MaskError as error:
            raise MaskError(f"config.{key}={str(path)!r}: {error}") from error
    if given.weights is None:
        return given
    setting.check_same_network(given.weights.params, path, key=key, model_state=given.weights.model_state)
    wanted = setting.shapes
    trees = []
    for tree, like in zip(given.weights, wanted, strict=True):
        found, dtypes = paths.leaves(tree), {name: leaf.dtype for name, leaf in paths.leaves(like).items()}
        odd = [name for name, leaf in found.items() if not jnp.issubdtype(leaf.dtype, jnp.floating)]
        if odd:
            raise MaskError(
                f"config.{key}={str(path)!r}: {odd[0]} is {found[odd[0]].dtype}; weights must be floating-point"
            )
        trees.append(paths.nest({name: np.asarray(leaf, dtypes[name]) for name, leaf in found.items()}))
    return dataclasses.replace(given, weights=Weights(*trees))
