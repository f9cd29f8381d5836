"""How silent networks with several activations are while they train, and what pruning makes of their filters."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket import analysis, models
from jaxticket.analysis.silence import ActivationRates
from jaxticket.core import masks, paths
from jaxticket.core.errors import ConfigError
from jaxticket.core.masks import Mask
from jaxticket.data.dataset import Split
from jaxticket.experiments.lab import Lab
from jaxticket.experiments.setting import Setting
from jaxticket.experiments.stages import MaskRef
from jaxticket.experiments.tost_options import TostExperiment
from jaxticket.experiments.trained import Trained
from jaxticket.models.layers import activation
from jaxticket.recipes.ghost_skips import listening, name_of
from jaxticket.training.state import Weights

_BINS = 20


def analyse(lab: Lab, options: TostExperiment) -> None:
    """Trains a dense network with each activation, looks at its neurons, prunes it and compares the masks.

    The summary gets `silence` (the rates of every layer at every look), `silent_filters` (how empty the filters are at
    every sparsity) and `activation_masks` (the distances of all masks); the rates of single channels are arrays.
    """
    seed = options.all_seeds[0]
    epochs = tuple(sorted({round(at) for at in np.linspace(1, options.train.epochs, options.looks)}))
    found: dict[tuple[str, float], MaskRef] = {}
    for kind in options.activations:
        own = lab.variant(model=_with_activation(options, kind))
        full = own.full_mask(options.prune.prunable)
        dense = own.train(own.init(seed), full, seed=seed, label=f"dense {kind}", save_epochs=epochs)
        _note_silence(lab, own, dense, kind, epochs, options.near_zero)
        for sparsity in options.sparsities:
            mask = own.prune(dense.weights, full, options.prune, seed=seed, sparsity=sparsity)
            filters = own.measure("silent_filters", silent_filters, weights=dense.weights, mask=mask)
            lab.note("silent_filters", {"activation": kind, "sparsity": sparsity, **filters})
            found[kind, sparsity] = mask
    keys = list(found)
    rows = [[lab.measure("mask_distance", _distance, a=found[a], b=found[b]) for b in keys[:i]] for i, a in
            enumerate(keys)]  # fmt: skip
    if lab.cache.execute:
        distances = [[round(float(one["distance"]), 5) for one in row] for row in rows]
        names = [{"activation": kind, "sparsity": sparsity} for kind, sparsity in keys]
        lab.note("activation_masks", {"masks": names, "rows": distances})


def silence_of(setting: Setting, near_zero: float) -> Callable[[Weights], list[tuple[str, ActivationRates]]]:
    """What says of weights how often the outputs of every activation are zero on the test images.

    Returns:
        weights -> (the layer before it, its rates) of every activation; compiled once.

    Raises:
        ConfigError: the images are streamed.
    """
    test = setting.dataset.test
    if not isinstance(test, Split):
        raise ConfigError(f"config.analyse=True: needs images in memory, and {setting.spec.name} is streamed")
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
            return models.apply_model(setting.model.clone(activation=act), *weights, images, train=False)

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
    }
    every = np.concatenate(list(rates.values()))
    layers = [{"path": path, "filters": len(own), "empty": int((own > 0.9).sum())} for path, own in rates.items()]
    return {
        "layers": layers,
        "histogram": np.histogram(every, _BINS, (0.0, 1.0))[0].tolist(),
        "map": "".join("01"[int(rate > 0.9)] for rate in every),
    }


def _with_activation(options: TostExperiment, kind: str) -> Any:
    if kind == "relu":
        return options.model
    return dataclasses.replace(options.model, options={**options.model.options, "activation": kind})


def _note_silence(lab: Lab, own: Lab, dense: Trained, kind: str, epochs: tuple[int, ...], near_zero: float) -> None:
    channels = []
    silence = functools.cache(lambda: silence_of(own, near_zero))  # not in a plan, nor where all looks are stored

    def compute(weights: Weights) -> dict[str, Any]:
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

    for epoch in epochs:
        config = {"data": own.options.data.name, "near_zero": near_zero, "stage": dense.stage.id}
        found = own.measure("silence", compute, config=config, weights=dense.exact(epoch))
        layers = found.get("layers", [])
        channels.append([rate for layer in layers for rate in layer["channels"]])
        shown = [{name: value for name, value in layer.items() if name != "channels"} for layer in layers]
        lab.note("silence", {"activation": kind, "epoch": epoch, "layers": shown})
    if lab.cache.execute:
        lab.keep_array(f"near_zero_{kind}", np.array(channels, np.float32))


def _distance(a: Mask, b: Mask) -> dict[str, Any]:
    return {"distance": masks.distance(a, b)}
