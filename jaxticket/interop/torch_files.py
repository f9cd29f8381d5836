"""State dicts from PyTorch's files, without PyTorch and without running anything a file says."""

import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxticket.core.errors import TicketError
from jaxticket.interop import torch_formats
from jaxticket.interop.pickle_machine import Foreign
from jaxticket.interop.torch_names import without_wrappers
from jaxticket.interop.torch_pickle import foreign_names
from jaxticket.storage import PathLike, load_arrays

# Under which a training checkpoint keeps its state dict, or a dictionary that has it, by custom.
_USUAL_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "params", "checkpoint")
_MOST_NAMES, _LONGEST_NAME, _MOST_INNER = 12, 80, 100


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """A state dict, and what its file has besides.

    Attributes:
        tensors: as `read_torch` returns them.
        notes: a line each on what was skipped, and on which of several state dicts it is.
    """

    tensors: dict[str, np.ndarray]
    notes: tuple[str, ...]


def read_torch(path: PathLike, *, key: str | None = None) -> dict[str, np.ndarray]:
    """The tensors of a state dict that PyTorch saved, in either of its formats, or of a safetensors file.

    Only numbers, strings, plain containers and tensors are read. Whatever else a file has, such as the parsed command
    line next to the weights, is skipped and named in a warning; nothing of it is imported or run. A warning also names
    other state dicts of the same tensors, such as averaged weights.

    Args:
        path: a file of `torch.save` (`.pth`, `.pt`, `.th`, `.pth.tar`, `.bin`), or one whose name ends in
            `.safetensors`.
        key: of the state dict in a checkpoint that has other entries too, `model/weights` for an entry of an entry.
            Without it, the state dict is the entry `state_dict`, `model_state_dict`, `model`, `net`, `network`,
            `module`, `params` or `checkpoint` where there is one, or such an entry of that one, else the whole.

    Returns:
        Tensor name -> read-only array: bool, integers, float16, bfloat16 (by `ml_dtypes`), float32 or float64.
        Values that are no tensors are left out, and so is the prefix of a wrapper (`module.`, `_orig_mod.`, `model.`)
        where all names have it.

    Raises:
        TicketError: a file that is missing, damaged, foreign, or has no such state dict.
    """
    found = read_checkpoint(path, key=key)
    for note in found.notes:
        warnings.warn(f"{path}: {note}", stacklevel=2)
    return found.tensors


def read_checkpoint(path: PathLike, *, key: str | None = None) -> Checkpoint:
    """As `read_torch`, with what it would warn of."""
    entries: Any = load_arrays(path) if Path(path).suffix == ".safetensors" else torch_formats.parse_torch(Path(path))
    state_dicts = _state_dicts(entries)
    if key is None:
        place, chosen = _usual(entries, set())
        there = [name for name, _ in state_dicts]
        wrong = "has no state dict" + (f"; choose one of its entries with key=: {shown_names(there)}" if there else "")
    else:
        place, chosen = key, _entry(entries, key, path)
        wrong = f"its entry {key!r} is no state dict; its entries are {shown_names(_mapping(entries))}"
    tensors = _tensors(chosen)
    lost = [name for name, value in chosen.items() if type(value) is Foreign and value.name.startswith("torch.")]
    foreign = _shown(foreign_names(entries))
    if lost or (foreign and not tensors):
        raise TicketError(
            f"{path} needs {foreign}, which is refused: only numbers, plain containers and dense tensors of the usual "
            "dtypes are read; save the state dict alone, torch.save(model.state_dict(), path)"
        )
    if not tensors:
        raise TicketError(f"{path}: {wrong}")
    notes = [f"skipped what is no tensor, number or plain container: {foreign}"] if foreign else []
    tensors = without_wrappers(tensors)
    same = [name for name, other in state_dicts if name != place and without_wrappers(other).keys() == tensors.keys()]
    if same and key is None:
        notes.append(f"took {repr(place) if place else 'the whole'}; the same tensors are in {shown_names(same)} too")
    return Checkpoint(tensors, tuple(notes))


def _usual(value: Any, seen: set[int]) -> tuple[str, Mapping[Any, Any]]:
    """The place and the entries of the state dict that is meant where none is named; without tensors for none."""
    if not isinstance(value, Mapping) or id(value) in seen or len(seen) >= _MOST_INNER:
        return "", {}
    seen.add(id(value))
    for name in _USUAL_KEYS:
        place, found = _usual(value.get(name), seen)
        if _tensors(found):
            return f"{name}/{place}".rstrip("/"), found
    return "", value


def _entry(entries: Any, key: str, path: PathLike) -> Mapping[Any, Any]:
    """What is at `key`, whose slashes lead into entries of entries.

    Raises:
        TicketError: nothing is.
    """
    found = entries
    for name in [key] if key in _mapping(entries) else key.split("/"):
        if name not in _mapping(found):
            raise TicketError(
                f"{path} has no entry {key!r}; its entries are {shown_names(_mapping(entries)) or 'none'}"
            )
        found = found[name]
    return _mapping(found)


def _state_dicts(entries: Any) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Place and tensors of every dictionary in a file that has tensors, each once, the outer ones first."""
    found, seen, places = [], set(), [("", entries)]
    while places:
        place, value = places.pop(0)
        if id(value) in seen or len(seen) >= _MOST_INNER:
            continue
        seen.add(id(value))
        if tensors := _tensors(_mapping(value)):
            found.append((place, tensors))
        inner = [
            (name, item) for name, item in _mapping(value).items() if type(name) is str and isinstance(item, Mapping)
        ]
        places += [(f"{place}/{name[:_LONGEST_NAME]}".lstrip("/"), item) for name, item in inner]
    return found


def shown_names(names: Iterable[str]) -> str:
    """Names from a file, quoted, few and short enough for one line."""
    return _shown(sorted(repr(name) for name in names))


def _shown(names: Sequence[str]) -> str:
    """Names from a file, few and short enough for one line."""
    short = [name if name.isprintable() else ascii(name) for name in (name[:_LONGEST_NAME] for name in names)]
    return ", ".join(short[:_MOST_NAMES])


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _tensors(entries: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    return {name: value for name, value in entries.items() if isinstance(name, str) and isinstance(value, np.ndarray)}
