"""Channel tickets: the channels with the smallest normalisation scales, and what a network costs without them."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.analysis.mask_convergence import channel_mask
from jaxticket.core import paths
from jaxticket.core.errors import ConfigError
from jaxticket.core.keys import seed_key
from jaxticket.core.types import Mask
from jaxticket.lab.derived import Bench, Derived
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.random_masks import shuffled
from jaxticket.lab.setting import Setting
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.structure.channel_gather import gather_channels
from jaxticket.structure.dead_inputs import dead_kernels
from jaxticket.training.state import Weights

_PARAMS = "params/"
_BY_CHANNELS = PruneOptions(criterion="bn_scale", granularity="channel", ratio_of="channels")


def scale_paths(params: Any) -> list[str]:
    """The scales of a network's normalisations, one path for each, sorted; `params` may be abstract."""
    return sorted(
        path for path, leaf in paths.leaves(params).items() if path.endswith("/scale") and len(leaf.shape) == 1
    )


def channel_facts(mask: MaskRef, how: PruneOptions) -> dict[str, Any]:
    """What a row says of the channels that `bn_scale` left: `channels`, of `channels_dense`; empty in a plan."""
    if not how.ranks_scales or not mask.stage.content:
        return {}
    layers = mask.stage.content.get("channels")
    if layers is None:
        kept = [np.asarray(leaf).reshape(-1, leaf.shape[-1]).any(0) for leaf in mask.load().values()]
        return {"channels": int(sum(own.sum() for own in kept)), "channels_dense": sum(own.size for own in kept)}
    return {name: sum(layer[key] for layer in layers) for name, key in _OF_LAYERS.items()}


_OF_LAYERS = {"channels": "after", "channels_dense": "before"}


def all_channels(
    lab: Bench, asked: str = "config.kind='channel'", instead: str = "config.kind='unstructured'"
) -> MaskRef:
    """The mask that keeps everything a channel ticket can remove: scales, the biases next to them, and all kernels.

    `asked` and `instead` are keys with values for the message: what asked for it, and what to set otherwise.

    Raises:
        ConfigError: the network has no normalisation, or no layer with more than `config.min_channels`.
    """
    shapes = paths.leaves(lab.setting.shapes.params)
    scales = scale_paths(lab.setting.shapes.params)
    if not scales:
        raise ConfigError(
            f"{asked}: ranks scales of normalisations, and {lab.options.model.name} has none; set "
            f"config.model.options={{'batch_norm': True}} where the network has that option, or {instead}"
        )
    least, widest = getattr(lab.options, "min_channels", 1), max(shapes[path].shape[0] for path in scales)
    if least >= widest:
        raise ConfigError(
            f"config.min_channels={least}: no channel could go, the widest layer of {lab.options.model.name} has "
            f"{widest}; must be less"
        )
    chosen = [*scales, *(bias for path in scales if (bias := _bias_of(path)) in shapes)]
    chosen += [path for path, leaf in shapes.items() if path.endswith("kernel") and len(leaf.shape) > 1]

    def compute() -> Derived:
        return Derived(mask={path: jnp.ones(shapes[path].shape, bool) for path in sorted(chosen)})

    full = MaskRef(lab.derive("channels", compute, config=lab.setting.network_key(), label="all channels"))
    if not lab.stages.execute:
        lab.reach.begin_channels(full.key, {path: shapes[path].shape for path in scales})
    return full


def draw_channels(
    lab: Bench, weights: WeightsRef, full: MaskRef, ratio: float, *, min_channels: int, before: MaskRef | None = None
) -> MaskRef:
    """The mask without the share `ratio` of all channels, those whose normalisation has the smallest scale.

    Scale and bias of such a channel go, and all kernel weights that thereby count no longer. The stage's content says
    what became of each layer: `channels`, a list of `path`, `before`, `after` and `held`, whether it kept its largest
    channels only because it must keep `min_channels`.

    Every layer keeps at least `min_channels`, or all it has, so that less may be removed. `before` is the mask
    of the round before, of whose channels some must go; None for `full`, which is made by `all_channels`.

    Raises:
        ConfigError: in a plan, where nothing would be removed, or left.
    """

    def compute(weights: Weights, full: Mask) -> Derived:
        found, layers = channel_ticket(lab.setting, weights, full, ratio, min_channels)
        held = [layer["path"] for layer in layers if layer["held"]]
        if held:
            lab.progress.note(
                f"{ratio:.0%} of the channels: nothing would be left of {', '.join(held)}; the largest stay"
                if min_channels == 1
                else f"{ratio:.0%} of the channels: {', '.join(held)} keep {min_channels} all the same"
            )
        return Derived(mask=found, content={"channels": layers})

    config, inputs = {"ratio": ratio, "min_channels": min_channels}, {"weights": weights, "full": full}
    drawn = MaskRef(lab.derive("draw", compute, inputs, config=config, label=f"{ratio:.0%} of the channels"))
    if not lab.stages.execute:
        lab.reach.prune((before or full).key, _BY_CHANNELS, sparsity=ratio, new=drawn.key)
    return drawn


def channel_ticket(
    setting: Setting, weights: Weights, full: Mask, ratio: float, min_channels: int
) -> tuple[Mask, list[dict[str, Any]]]:
    """The mask and the layers of `draw_channels`, of concrete weights."""
    leaves = paths.leaves(weights.params)
    names = scale_paths(weights.params)
    sizes = [np.abs(np.asarray(leaves[path])) for path in names]
    kept = channel_mask(np.concatenate(sizes), ratio)
    chosen, layers = {}, []
    for path, size, own in zip(
        names, sizes, np.split(kept, np.cumsum([len(size) for size in sizes])[:-1]), strict=True
    ):
        held = own.sum() < min(min_channels, len(size))
        if held:
            own = own.copy()
            own[np.argsort(size, kind="stable")[-min_channels:]] = True
        chosen[path] = own
        layer = {"path": path.removesuffix("/scale"), "before": len(size), "after": int(own.sum()), "held": bool(held)}
        layers.append(layer)
    return _without(setting, weights, full, chosen), layers


def random_channels(lab: Bench, weights: WeightsRef, full: MaskRef, drawn: MaskRef, *, seed: int) -> MaskRef:
    """The mask that keeps as many channels of every layer as `drawn`, chosen at random: what its choice is worth."""

    def compute(weights: Weights, full: Mask, drawn: Mask) -> Derived:
        chosen = shuffled({path: drawn[path] for path in scale_paths(weights.params)}, key)
        return Derived(mask=_without(lab.setting, weights, full, jax.device_get(chosen)))

    key = seed_key(seed, f"random channels {drawn.key}")
    label, inputs = f"random channels, seed {seed}", {"weights": weights, "full": full, "drawn": drawn}
    return MaskRef(lab.derive("draw_random", compute, inputs, config={"seed": seed}, label=label))


def _without(setting: Setting, weights: Weights, full: Mask, kept: Mapping[str, np.ndarray]) -> Mask:
    """`full` without the channels that `kept`, path of a scale -> bool [channels], lacks, and what serves only them."""
    mask = {path: np.array(array) for path, array in full.items()}
    for path, own in kept.items():
        mask[path] = np.array(own)
        if _bias_of(path) in mask:
            mask[_bias_of(path)] = np.array(own)
    apply, variables, x = setting.as_function(weights)
    vectors = {_PARAMS + path: jnp.asarray(array) for path, array in mask.items() if array.ndim == 1}
    for path, counts in dead_kernels(apply, variables, vectors, x).items():
        mask[path.removeprefix(_PARAMS)] &= np.asarray(counts)
    return mask


def channel_costs(lab: Bench, weights: WeightsRef, mask: MaskRef) -> dict[str, Any]:
    """`macs` of an image, `macs_dense` and `parameters_shrunk` of the network without its channels; empty in a plan."""

    def compute(weights: Weights, mask: Mask) -> dict[str, Any]:
        apply, variables, x = lab.setting.as_function(weights)
        found = gather_channels(apply, variables, mask, x)
        return {"macs": found.macs[1], "macs_dense": found.macs[0], "parameters_shrunk": found.parameters[1]}

    return dict(lab.measure("channel_costs", compute, config=lab.setting.network_key(), weights=weights, mask=mask))


def _bias_of(scale: str) -> str:
    return scale.removesuffix("scale") + "bias"
