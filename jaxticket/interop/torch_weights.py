"""PyTorch's state dicts as Flax variables and masks."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxticket.core.errors import ConfigError, TicketError
from jaxticket.core.paths import leaves, nest
from jaxticket.core.types import Mask, Params, Path
from jaxticket.interop.torch_names import classifier_module, has_names, layer_paths, misfit, without_wrappers
from jaxticket.models.initialize import abstract_variables
from jaxticket.models.registry import create_model, names, proper, proper_name
from jaxticket.storage import PathLike, save_arrays

_NORMALISATION = re.compile(r"(.*\.)?normalize\.(mean|std)")
_STATISTICS = {"running_mean": "mean", "running_var": "var"}


@dataclasses.dataclass(frozen=True, eq=False)
class Converted:
    """A PyTorch network's weights, ready for `apply_model` or a `Ticket`.

    Attributes:
        params: nested dict of float32 NumPy arrays, exactly zero where the mask is False but for `keep_removed`.
        model_state: `{'batch_stats': ...}`, or empty.
        mask: path -> bool array, True = kept, of the tensors that `torch.nn.utils.prune` had pruned; else empty.
        dropped: tensor name -> array, of what is no weight of the network: the mean and standard deviation of a layer
            `normalize`, which normalises images inside the network (images are normalised before they get here, by
            these numbers), and what lies outside of it in a trainer's module, such as a loss with weights.
    """

    params: dict[str, Any]
    model_state: dict[str, Any]
    mask: Mask
    dropped: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


def from_torch(
    name: str,
    state_dict: Mapping[str, np.ndarray],
    *,
    image_shape: Sequence[int],
    num_classes: int | None = None,
    keep_removed: bool = False,
    **options: Any,
) -> Converted:
    """The variables of the network `name` from those of the same network in PyTorch.

    Kernels go from OIHW to HWIO, those of dense layers are transposed, and `weight_orig` or `weight` with
    `weight_mask` (`torch.nn.utils.prune`, or a layer's own buffer) gives the masked weights and a mask. A prefix that
    the program gave the network (`module.`, `_orig_mod.`, `model.`, `net.`, ...) is removed. Every tensor of the
    network has to be used and every leaf covered; only what `Converted.dropped` names is left out and returned.

    Args:
        name: a ResNet, a VGG, `mobilenet_v1`, `mobilenet_v2`, `densenet121` or `shufflenet_v2`, as for `create_model`.
        state_dict: tensor name -> array, such as `read_torch` gives; names as in torchvision, or for ResNets, VGGs and
            `mobilenet_v1` as customary for CIFAR.
        image_shape: (height, width, channels).
        num_classes: logits; None takes the number from the classifier's weight.
        keep_removed: whether params have the values of `weight_orig` where the mask is False too, instead of zeros.
        **options: of the network, as for `create_model`.

    Raises:
        TicketError: a tensor without a leaf, a leaf without a tensor, or two that do not fit.
        ConfigError: a network or option that there is not, or a network whose PyTorch names are not known.
    """
    name, options = _known(name, "from"), proper(name, options)[1]
    tensors, torch_masks, dropped, _ = _of_network(name, state_dict)
    classifier = classifier_module(name, _modules(tensors))[1]
    classes: int = tensors[f"{classifier}.weight"].shape[0] if num_classes is None else num_classes
    params, model_state = abstract_variables(create_model(name, classes, **options), tuple(image_shape))
    wanted = leaves({"params": params, **model_state})
    sources = _sources(name, tensors, wanted)
    arrays: dict[Path, np.ndarray] = {}
    mask: Mask = {}
    for path, tensor in sources.items():
        arrays[path] = _turned(tensors[tensor], tensor, path, wanted[path].shape)
        if tensor in torch_masks:
            torch_mask = _turned(torch_masks[tensor], f"{tensor}_mask", path, wanted[path].shape)
            if not np.isin(torch_mask, (0, 1)).all():
                raise TicketError(f"'{tensor}_mask' has values other than 0 and 1, so it is no mask")
            kept = torch_mask == 1
            if not keep_removed:
                arrays[path] = np.where(kept, arrays[path], np.float32(0))
            mask[path.removeprefix("params/")] = kept
    nested = nest(arrays)
    return Converted(nested.pop("params"), nested, dict(sorted(mask.items())), dropped)


def to_torch(
    name: str,
    params: Params,
    model_state: Mapping[str, Any],
    like: Mapping[str, np.ndarray],
    *,
    file: PathLike | None = None,
) -> dict[str, np.ndarray]:
    """The state dict of a network that came from PyTorch, with other weights: the inverse of `from_torch`.

    `model.load_state_dict` takes it, of tensors; a file is read by `safetensors.torch.load_file`. Weights that were
    pruned are zero, and masks are gone. Fewer channels than `like` has need a model of these sizes in PyTorch.

    Args:
        name: as for `from_torch`.
        params: nested dict of arrays, such as `Converted.params` after more training, or of fewer channels.
        model_state: `{'batch_stats': ...}`, or empty.
        like: tensor name -> array, the state dict the network came from; tensors that are no weights of it, such as
            counters of batches, stay as they are there. The prefix of a wrapper is dropped.
        file: where to write it, as safetensors; None writes nothing.

    Returns:
        Tensor name -> array, contiguous, of the dtype that it has in `like`.

    Raises:
        ConfigError: a network whose PyTorch names are not known.
        TicketError: a tensor without a leaf, a leaf without a tensor, or a file that cannot be written.

    Example:
        >>> from jaxticket import interop
        >>> like = {"features.0.weight": np.zeros((8, 3, 3, 3)), "classifier.weight": np.zeros((10, 8))}
        >>> params = {"stem": {"kernel": jnp.ones((3, 3, 3, 8))}, "head": {"kernel": jnp.ones((8, 10))}}
        >>> {name: tensor.shape for name, tensor in interop.to_torch("vgg11", params, {}, like).items()}
        {'features.0.weight': (8, 3, 3, 3), 'classifier.weight': (10, 8)}
    """
    name = _known(name, "to")
    tensors, _, _, prefix = _of_network(name, like)
    given = {tensor.removeprefix(prefix): array for tensor, array in without_wrappers(like).items()}
    others = {tensor for tensor in given if _NORMALISATION.fullmatch(tensor) or tensor.endswith("num_batches_tracked")}
    arrays = leaves({"params": params, **model_state})
    found = {tensor: np.asarray(given[tensor]) for tensor in others}
    for path, tensor in _sources(name, tensors, arrays).items():
        array = np.asarray(arrays[path])
        axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim)
        found[tensor] = np.ascontiguousarray(array.transpose(axes) if axes else array, dtype=tensors[tensor].dtype)
    ordered = {tensor: found[tensor] for tensor in [*tensors, *others]}
    if file is not None:
        save_arrays(file, ordered)
    return ordered


def _known(name: str, direction: str) -> str:
    """The name proper of a network whose PyTorch names are known."""
    name = proper_name(name)
    if not has_names(name):
        known = ", ".join(known for known in names() if has_names(known))
        raise ConfigError(f"{name!r} cannot be converted {direction} PyTorch; networks that can are {known}")
    return name


def _of_network(
    name: str, state_dict: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray], str]:
    """The network's own tensors and masks, what is left out, and the prefix of its names in a program."""
    dropped = {tensor: np.asarray(state_dict[tensor]) for tensor in state_dict if _NORMALISATION.fullmatch(tensor)}
    tensors, masks = _without_pruning({name: state_dict[name] for name in state_dict if name not in dropped})
    prefix, _ = classifier_module(name, _modules(tensors))
    dropped |= {tensor: tensors.pop(tensor) for tensor in list(tensors) if not tensor.startswith(prefix)}
    tensors, masks = (
        {tensor.removeprefix(prefix): array for tensor, array in found.items()} for found in (tensors, masks)
    )
    return tensors, masks, dropped, prefix


def _without_pruning(state_dict: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The tensors by their names before pruning, and the masks of those that were pruned, by the same names.

    `torch.nn.utils.prune` keeps `weight_orig` and `weight_mask`; layers with a mask of their own, `weight` and
    `weight_mask`.
    """
    masks: dict[str, np.ndarray] = {}
    tensors: dict[str, np.ndarray] = {}
    for name, tensor in without_wrappers(state_dict).items():
        if name.endswith("_mask"):
            masks[name.removesuffix("_mask")] = np.asarray(tensor)
        elif not name.endswith("num_batches_tracked"):
            tensors[name] = np.asarray(tensor)
    for pruned in masks:
        original = tensors.pop(f"{pruned}_orig", None)
        if original is None and pruned not in tensors:
            raise TicketError(f"the state dict has '{pruned}_mask' but no {pruned!r} or '{pruned}_orig'; give both")
        if original is not None and pruned in tensors:
            raise TicketError(f"the state dict has {pruned!r} and '{pruned}_orig'; give one of them")
        tensors[pruned] = tensors[pruned] if original is None else original
    return tensors, masks


def _modules(tensors: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Name of a module -> rank of its weight."""
    ranks: dict[str, int] = {}
    for name, tensor in tensors.items():
        module, _, kind = name.rpartition(".")
        ranks[module] = np.ndim(tensor) if kind == "weight" else ranks.get(module, 0)
    return ranks


def _sources(network: str, tensors: Mapping[str, np.ndarray], wanted: Mapping[Path, Any]) -> dict[Path, str]:
    """Path of a leaf -> the tensor that fills it, for every leaf."""
    layers = sorted({path.removeprefix("params/").rpartition("/")[0] for path in wanted if path.startswith("params/")})
    found = layer_paths(network, _modules(tensors), layers)
    sources: dict[Path, str] = {}
    for tensor in tensors:
        module, _, kind = tensor.rpartition(".")
        layer = found[module]
        if layer is None:
            raise TicketError(f"tensor {tensor!r} is none of {network}'s; give the state dict of that network alone")
        if kind in _STATISTICS:
            path = f"batch_stats/{layer}/{_STATISTICS[kind]}"
        elif kind == "weight":
            path = f"params/{layer}/" + ("scale" if f"params/{layer}/scale" in wanted else "kernel")
        else:
            path = f"params/{layer}/{kind}"
        if path not in wanted:
            said = f"tensor {tensor!r} would be {path}, which {network} does not have"
            raise misfit(network, path, said, "check the network and its options", has=True)
        if path in sources:
            raise TicketError(f"tensors {sources[path]!r} and {tensor!r} would both be {path} of {network}")
        sources[path] = tensor
    missing = sorted(set(wanted) - set(sources))
    if missing:
        said = f"no tensor gives {missing[0]} of {network}"
        raise misfit(network, missing[0], said, "check the state dict and the network's options", has=False)
    return sources


def _turned(tensor: np.ndarray, name: str, path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor with its axes in Flax's order, float32, contiguous.

    PyTorch's kernels are [outputs, inputs, height, width] and [outputs, inputs]; Flax has the channels last,
    inputs first.
    """
    axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(tensor.ndim)
    turned = tensor.transpose(axes) if axes else tensor
    if not jnp.issubdtype(tensor.dtype, jnp.floating) and not name.endswith("_mask"):
        raise TicketError(f"tensor {name!r} is {tensor.dtype}; weights must be floating-point")
    if turned.shape != shape:
        raise TicketError(
            f"tensor {name!r} of shape {tensor.shape} gives {turned.shape}, {path} has {shape}; "
            "check the network, its options, image_shape and num_classes"
        )
    floats = np.ascontiguousarray(turned, dtype=np.float32)
    if not np.isfinite(floats).all():
        raise TicketError(f"tensor {name!r} has values that are not finite; train or save it again")
    return floats
