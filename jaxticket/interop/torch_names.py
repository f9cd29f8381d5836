"""What PyTorch's networks call their layers: ordered (regular expression, path) rules per family of architectures.

An expression has to match the whole name of a PyTorch module, the first match wins. What it captures, digits as
numbers, is passed to a function that gives the path of the layer here. Names are those of torchvision, and for ResNets,
VGGs and MobileNet-v1 those customary for CIFAR.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxticket.core.errors import TicketError
from jaxticket.core.types import Path

_WRAPPERS = ("module.", "_orig_mod.", "model.")

NameRules = Sequence[tuple[str, Callable[..., Path]]]


def _always(path: Path) -> Callable[..., Path]:
    return lambda: path


_HEAD = (r"fc|linear|head|classifier", _always("head"))

_RESNET: NameRules = (
    (r"conv1", _always("stem")),
    (r"bn1", _always("stem_bn")),
    (r"layer(\d+)\.(\d+)\.conv(\d)", lambda i, j, k: f"stage{i}_block{j}/conv{k}"),
    (r"layer(\d+)\.(\d+)\.bn(\d)", lambda i, j, k: f"stage{i}_block{j}/conv{k}_bn"),
    (r"layer(\d+)\.(\d+)\.(?:shortcut|downsample)\.0", lambda i, j: f"stage{i}_block{j}/shortcut"),
    (r"layer(\d+)\.(\d+)\.(?:shortcut|downsample)\.1", lambda i, j: f"stage{i}_block{j}/shortcut_bn"),
    _HEAD,
)

# In torchvision there is none; these are the names of the networks for CIFAR, and of the numbered ones for ImageNet.
_PLACES = {0: "depthwise", 1: "depthwise_bn", 3: "pointwise", 4: "pointwise_bn"}
_OF_TWO = {1: "depthwise", 2: "pointwise"}

_MOBILENET_V1: NameRules = (
    (r"conv1|model\.0\.0", _always("stem")),
    (r"bn1|model\.0\.1", _always("stem_bn")),
    (r"layers\.(\d+)\.conv([12])", lambda i, k: f"block{i}/{_OF_TWO[k]}"),
    (r"layers\.(\d+)\.bn([12])", lambda i, k: f"block{i}/{_OF_TWO[k]}_bn"),
    (r"model\.(\d+)\.([0134])", lambda i, k: f"block{i - 1}/{_PLACES[k]}"),
    _HEAD,
)

_MOBILENET_V2: NameRules = (
    (r"features\.0\.0", _always("stem")),
    (r"features\.0\.1", _always("stem_bn")),
    # The first block has no expansion, so its positions are one earlier.
    (r"features\.1\.conv\.0\.0", _always("block0/depthwise")),
    (r"features\.1\.conv\.0\.1", _always("block0/depthwise_bn")),
    (r"features\.1\.conv\.1", _always("block0/project")),
    (r"features\.1\.conv\.2", _always("block0/project_bn")),
    (r"features\.18\.0", _always("last_conv")),
    (r"features\.18\.1", _always("last_conv_bn")),
    (r"features\.(\d+)\.conv\.0\.0", lambda i: f"block{i - 1}/expand"),
    (r"features\.(\d+)\.conv\.0\.1", lambda i: f"block{i - 1}/expand_bn"),
    (r"features\.(\d+)\.conv\.1\.0", lambda i: f"block{i - 1}/depthwise"),
    (r"features\.(\d+)\.conv\.1\.1", lambda i: f"block{i - 1}/depthwise_bn"),
    (r"features\.(\d+)\.conv\.2", lambda i: f"block{i - 1}/project"),
    (r"features\.(\d+)\.conv\.3", lambda i: f"block{i - 1}/project_bn"),
    (r"classifier\.1", _always("head")),
    _HEAD,
)

_DENSENET: NameRules = (
    (r"features\.conv0", _always("stem")),
    (r"features\.norm0", _always("stem_bn")),
    (r"features\.denseblock(\d+)\.denselayer(\d+)\.norm\.?(\d)", lambda i, j, k: f"stage{i}_layer{j - 1}/bn{k}"),
    (r"features\.denseblock(\d+)\.denselayer(\d+)\.conv\.?(\d)", lambda i, j, k: f"stage{i}_layer{j - 1}/conv{k}"),
    (r"features\.transition(\d+)\.norm", lambda i: f"transition{i}/bn"),
    (r"features\.transition(\d+)\.conv", lambda i: f"transition{i}/conv"),
    (r"features\.norm5", _always("final_bn")),
    _HEAD,
)

_BRANCH1 = {0: "depthwise", 1: "depthwise_bn", 2: "pointwise", 3: "pointwise_bn"}
_BRANCH2 = {0: "expand", 1: "expand_bn", 3: "depthwise", 4: "depthwise_bn", 5: "pointwise", 6: "pointwise_bn"}

_SHUFFLENET_V2: NameRules = (
    (r"conv1\.0", _always("stem")),
    (r"conv1\.1", _always("stem_bn")),
    # The stages are numbered as in the paper's table, where the stem is the first.
    (r"stage(\d+)\.(\d+)\.branch1\.([0-3])", lambda i, j, k: f"stage{i - 1}_block{j}/branch1_{_BRANCH1[k]}"),
    (r"stage(\d+)\.(\d+)\.branch2\.([013-6])", lambda i, j, k: f"stage{i - 1}_block{j}/branch2_{_BRANCH2[k]}"),
    (r"conv5\.0", _always("last_conv")),
    (r"conv5\.1", _always("last_conv_bn")),
    _HEAD,
)


def _vgg(ranks: Mapping[str, int], layers: Sequence[Path]) -> NameRules:
    """A VGG's `features.N` are numbered through, poolings included: its convolutions are ours in order."""
    numbered = sorted((int(name.split(".")[1]), name) for name in ranks if re.fullmatch(r"features\.\d+", name))
    ours = sorted((path for path in layers if re.fullmatch(r"stage\d+_conv\d+", path)), key=_numbers)
    targets = ["stem", *ours]
    rules: list[tuple[str, Callable[..., Path]]] = []
    convolutions = 0
    for _, name in numbered:
        convolutions += ranks[name] == 4
        if 1 <= convolutions <= len(targets):
            target = targets[convolutions - 1]
            rules.append((re.escape(name), _always(target if ranks[name] == 4 else f"{target}_bn")))
    return (*rules, (r"classifier\.0", _always("head")), _HEAD)


_FAMILIES: Sequence[tuple[str, NameRules | Callable[[Mapping[str, int], Sequence[Path]], NameRules]]] = (
    (r"resnet\d+", _RESNET),
    (r"vgg\d+", _vgg),
    (r"mobilenet_v1", _MOBILENET_V1),
    (r"mobilenet_v2", _MOBILENET_V2),
    (r"densenet121", _DENSENET),
    (r"shufflenet_v2", _SHUFFLENET_V2),
)


# (network, leaf, option, its value without the leaf, its value with it)
_DECIDED_BY: Sequence[tuple[str, str, str, Any, Any]] = (
    (r"resnet\d+", r"\w+/.*/shortcut(_bn)?/\w+", "shortcut", "pad", "conv"),
    (r"vgg\d+", r"params/(stem|stage\d+_conv\d+)/bias", "conv_bias", False, True),
)


class OtherOptionError(TicketError):
    """Tensors of a network with another value of one of its options.

    Attributes:
        option: name -> value, with which they would fit.
    """

    def __init__(self, message: str, option: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.option = dict(option)


def misfit(network: str, path: Path, said: str, remedy: str, *, has: bool) -> TicketError:
    """The error of a leaf that tensors have and `network` has not, or the other way round.

    Args:
        network: its name.
        path: of the leaf.
        said: what is wrong.
        remedy: what to look at.
        has: whether the tensors have the leaf.
    """
    for name, leaf, option, without, having in _DECIDED_BY:
        if re.fullmatch(name, network) and re.fullmatch(leaf, path):
            value, fits = (having, "has it") if has else (without, "has none")
            return OtherOptionError(f"{said} ({option}={value!r} {fits}); {remedy}", {option: value})
    return TicketError(f"{said}; {remedy}")


def has_names(network: str) -> bool:
    """Whether it is known what PyTorch calls the layers of `network`, a name of the table of networks."""
    return any(re.fullmatch(expression, network) for expression, _ in _FAMILIES)


def layer_paths(network: str, ranks: Mapping[str, int], layers: Sequence[Path]) -> dict[str, Path | None]:
    """The path of every PyTorch module's layer here; None where no rule knows the module.

    Args:
        network: a name for which `has_names`.
        ranks: name of a PyTorch module -> rank of its weight.
        layers: paths of the network's layers here.
    """
    rules: Any = next(rules for expression, rules in _FAMILIES if re.fullmatch(expression, network))
    if callable(rules):
        rules = rules(ranks, layers)
    return {name: _first_match(rules, name) for name in ranks}


def without_wrappers(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors by their names in the network itself, where modules around it have put prefixes before all of them.

    `module.` is of parallel training and averaged models, which have a counter too, `_orig_mod.` of compiled ones,
    `model.` of trainers.
    """
    found = dict(tensors)
    while True:
        names = [name for name in found if name != "n_averaged"]
        prefix = next((prefix for prefix in _WRAPPERS if all(name.startswith(prefix) for name in names)), None)
        if prefix is None or not names:
            return found
        found = {name.removeprefix(prefix): found[name] for name in names}


def classifier_module(network: str, ranks: Mapping[str, int]) -> tuple[str, str]:
    """The prefix of the network's own modules among those of a program, and the name of its classifier without it.

    A trainer calls its network as it likes, and may have other modules next to it, a loss with weights, say.

    Args:
        network: a name for which `has_names`.
        ranks: name of a PyTorch module -> rank of its weight.

    Raises:
        TicketError: there is no classifier, or there are those of several networks.
    """
    found: dict[str, str] = {}
    for module in (name for name, rank in ranks.items() if rank == 2):
        words = module.split(".")
        for i in range(len(words)):
            prefix, inner = "".join(f"{word}." for word in words[:i]), ".".join(words[i:])
            has_more = any(rank == 4 and name.startswith(prefix) for name, rank in ranks.items())
            if has_more and layer_paths(network, {inner: 2}, ())[inner] == "head":
                found[prefix] = inner
                break
    outer = sorted(found, key=lambda prefix: prefix.count("."))
    if not outer:
        some = ", ".join(map(repr, sorted(ranks)[:4]))
        raise TicketError(
            f"the state dict has no classifier that {network} knows, of names fc, linear, head or classifier; its "
            f"modules are {some}, ..."
        )
    if len(outer) > 1 and outer[0].count(".") == outer[1].count("."):
        raise TicketError(
            f"the state dict has several networks, {outer[0]!r} and {outer[1]!r}; give the tensors of one of them alone"
        )
    return outer[0], found[outer[0]]


def _first_match(rules: NameRules, name: str) -> Path | None:
    for expression, path_of in rules:
        if match := re.fullmatch(expression, name):
            return path_of(*(int(group) if group.isdecimal() else group for group in match.groups()))
    return None


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path)]
