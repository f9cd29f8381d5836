"""State dicts from PyTorch's files, without PyTorch and without running anything a file says."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxticket.core.errors import TicketError
from jaxticket.interop import torch_formats
from jaxticket.interop.pickle_machine import Foreign
from jaxticket.interop.torch_names import without_wrappers
from jaxticket.interop.torch_pickle import foreign_names
from jaxticket.storage import PathLike, load_arrays

# Under which a training checkpoint keeps its state dict, by custom.
_USUAL_KEYS = ("state_dict", "model_state_dict", "model", "net")
_MOST_NAMES, _LONGEST_NAME = 12, 80


def read_torch(path: PathLike, *, key: str | None = None) -> dict[str, np.ndarray]:
    """The tensors of a state dict that PyTorch saved, in either of its formats, or of a safetensors file.

    Only numbers, strings, plain containers and tensors are read. Whatever else a file has, such as the parsed command
    line next to the weights, is skipped and named in a warning; nothing of it is imported or run.

    Args:
        path: a file of `torch.save` (`.pth`, `.pt`, `.th`, `.pth.tar`), or one whose name ends in `.safetensors`.
        key: of the state dict in a checkpoint that has other entries too. Without it, the state dict is the
            entry `state_dict`, `model_state_dict`, `model` or `net` where there is one, else the whole.

    Returns:
        Tensor name -> read-only array: bool, integers, float16, bfloat16 (by `ml_dtypes`), float32 or float64.
        Values that are no tensors are left out, and so is the prefix of a wrapper (`module.`, `_orig_mod.`, `model.`)
        where all names have it.

    Raises:
        TicketError: a file that is missing, damaged, foreign, or has no such state dict.
    """
    entries: Any = load_arrays(path) if Path(path).suffix == ".safetensors" else torch_formats.parse_torch(Path(path))
    chosen, where = _state_dict(entries, key, path)
    lost = [name for name, value in chosen.items() if type(value) is Foreign and value.name.startswith("torch.")]
    tensors = _tensors(chosen)
    foreign = _shown(foreign_names(entries))
    if lost or (foreign and not tensors):
        raise TicketError(
            f"{path} needs {foreign}, which is refused: only tensors, numbers and plain containers are read; "
            "save the state dict alone, torch.save(model.state_dict(), path)"
        )
    if not tensors:
        raise TicketError(f"{path}{where}")
    if foreign:
        warnings.warn(f"{path}: skipped what is no tensor, number or plain container: {foreign}", stacklevel=2)
    return without_wrappers(tensors)


def _state_dict(entries: Any, key: str | None, path: PathLike) -> tuple[Mapping[Any, Any], str]:
    """The entries that should be tensors, and what to say of the file if none of them is."""
    keys = _shown(sorted(repr(name) for name in entries)) if isinstance(entries, Mapping) else "none"
    if key is not None:
        if not isinstance(entries, Mapping) or key not in entries:
            raise TicketError(f"{path} has no entry {key!r}; its entries are {keys}")
        return _mapping(entries[key]), f": its entry {key!r} is no state dict; its entries are {keys}"
    for name in _USUAL_KEYS:
        if _tensors(found := _mapping(_mapping(entries).get(name))):
            return found, ""
    return _mapping(entries), f" has no state dict; choose one of its entries with key=: {keys}"


def _shown(names: Sequence[str]) -> str:
    """Names from a file, few and short enough for one line."""
    short = [name if name.isprintable() else ascii(name) for name in (name[:_LONGEST_NAME] for name in names)]
    return ", ".join(short[:_MOST_NAMES])


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _tensors(entries: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    return {name: value for name, value in entries.items() if isinstance(name, str) and isinstance(value, np.ndarray)}
