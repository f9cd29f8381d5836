"""How silent a network is under its mask, and how empty its filters are: looks at stored weights, for the summary."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket import analysis, models
from jaxticket.analysis.activation_sparsity import ActivationRates
from jaxticket.core import masks, paths
from jaxticket.core.errors import ConfigError
from jaxticket.core.types import Mask
from jaxticket.lab.lab import Lab
from jaxticket.lab.setting import Setting
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.models.layers import activation
from jaxticket.recipes.ghost_skips import listening, name_of
from jaxticket.training.state import Weights

_BINS = 20


@dataclasses.dataclass(frozen=True)
class Look:
    """Weights to look at.

    Attributes:
        weights: of the network.
        mask: what is kept; the rest counts as 0.
        facts: what the summary says of it besides the activation, such as its `epoch`.
    """

    weights: WeightsRef
    mask: MaskRef
    facts: Mapping[str, Any]


def note_silence(lab: Lab, own: Lab, looks: Sequence[Look], near_zero: float) -> None:
    """Adds to the summary, as `silence`, how silent every layer is at each look.

    The rates of single channels are the array `near_zero_ACTIVATION`, float32 [looks, channels of all layers].

    The summary is that of `lab`; the looks are at networks of `own`.

    Raises:
        ConfigError: as for `silence_of`, in a plan too.
    """
    check_listening(own.setting)
    # Not called in a plan, nor where all looks are stored.
    silence = functools.cache(lambda: silence_of(own.setting, near_zero))

    def compute(weights: Weights, mask: Mask) -> dict[str, Any]:
        weights = weights._replace(params=masks.apply_mask(weights.params, mask))
        layers = [
            {
                "layer": name,
                "zero": round(rates.zero, 5),
                "near_zero": round(rates.near_zero, 5),
                "dead": int(rates.dead.sum()),
                "channels": [round(float(rate), 4) for rate in rates.channel_near_zero],
            }
            for name, rates in silence()(weights)
        ]
        return {"layers": layers}

    channels, kind = [], _activation_of(own.setting)
    config = {**own.setting.network_key(), "data": own.setting.data_key(), "near_zero": near_zero}
    config["compute_dtype"] = own.options.train.compute_dtype
    for look in looks:
        found = own.measure("silence", compute, config=config, weights=look.weights, mask=look.mask)
        layers = found.get("layers", [])
        channels.append([rate for layer in layers for rate in layer["channels"]])
        shown = [{name: value for name, value in layer.items() if name != "channels"} for layer in layers]
        lab.recorder.note("silence", {"activation": kind, **look.facts, "layers": shown})
    if lab.stages.execute:
        lab.recorder.save_array(f"near_zero_{kind}", np.array(channels, np.float32))


def note_filters(lab: Lab, own: Lab, look: Look) -> None:
    """Adds to the summary, as `silent_filters`, how empty the filters of a network of `own` are."""
    filters = own.measure("silent_filters", silent_filters, weights=look.weights, mask=look.mask)
    lab.recorder.note("silent_filters", {"activation": _activation_of(own.setting), **look.facts, **filters})


def check_listening(setting: Setting) -> None:
    """Refuses networks and data that cannot be listened to.

    Raises:
        ConfigError: the images are streamed, or the network does not let others be its activations.
    """
    setting.needs_memory("analyse=True")
    if getattr(setting.model, "activation", None) is None:
        raise ConfigError(
            f"config.analyse=True: listens at the activations, and {setting.options.model.name} has no option "
            "activation; give it one that it calls"
        )


def silence_of(setting: Setting, near_zero: float) -> Callable[[Weights], list[tuple[str, ActivationRates]]]:
    """What says of weights how often the outputs of every activation are zero on the test images.

    Returns:
        weights -> (the layer before it, its rates) of every activation; compiled once.

    Raises:
        ConfigError: the images are streamed, or the network does not let others be its activations.
    """
    check_listening(setting)
    test = setting.images("test", "analyse=True")
    names: list[str] = []

    @jax.jit
    def rates(weights: Weights, images: jax.Array) -> list[ActivationRates]:
        made: list[ActivationRates] = []

        def listen(waiting: Any, x: jax.Array) -> jax.Array:
            x = activation(setting.model.activation)(x)
            names.append(name_of(waiting[0][0]) if waiting else f"activation {len(made) + 1}")
            made.append(analysis.activation_rates(x, near_zero))
            return x

        def forward(act: Callable[[jax.Array], jax.Array]) -> Any:
            return models.apply_model(models.with_activation(setting.model, act), *weights, images, train=False)

        names.clear()
        listening(forward, listen)
        return made

    def silence(weights: Weights) -> list[tuple[str, ActivationRates]]:
        batches, total = setting.trainer.batches, None
        for first in range(0, test.size, batches.batch_size):
            images = batches.for_evaluation(jnp.asarray(test.images[first : first + batches.batch_size]))
            found = rates(weights, images)
            total = found if total is None else [one + other for one, other in zip(total, found, strict=True)]
        return list(zip(names, total or [], strict=True))

    return silence


def silent_filters(weights: Weights, mask: Mask) -> dict[str, Any]:
    """How empty the filters of the pruned layers are, JSON-ready.

    Returns:
        `layers`: for each its `filters` and how many are `empty`, with more than nine tenths of the weights gone;
        `histogram`: filters by the share of their weights that is gone, twenty bins; `map`: for every filter, layer by
        layer, 1 where it is empty.
    """
    rates = {
        path: analysis.filter_zero_rates(np.where(np.asarray(kept), paths.leaves(weights.params)[path], 0))
        for path, kept in mask.items()
        if np.ndim(kept) > 1  # masks of channels are of scales and biases too
    }
    every = np.concatenate([np.zeros(0), *rates.values()])
    layers = [{"path": path, "filters": len(own), "empty": int((own > 0.9).sum())} for path, own in rates.items()]
    return {
        "layers": layers,
        "histogram": np.histogram(every, _BINS, (0.0, 1.0))[0].tolist(),
        "map": "".join("01"[int(rate > 0.9)] for rate in every),
    }


def _activation_of(setting: Setting) -> str:
    """The name of the network's activation."""
    kind = setting.model.activation
    return kind if isinstance(kind, str) else getattr(kind, "__name__", "activation")
