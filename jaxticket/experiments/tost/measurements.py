"""How silent networks with several activations are while they train, and what pruning makes of their filters."""

import dataclasses
from typing import Any

import numpy as np

from jaxticket.core import masks
from jaxticket.core.types import Mask
from jaxticket.experiments.tost.options import TostOptions
from jaxticket.lab.activation_sparsity import Look, note_filters, note_silence
from jaxticket.lab.lab import Lab
from jaxticket.lab.stages.references import MaskRef


def analyse(lab: Lab, options: TostOptions) -> None:
    """Trains a dense network with each activation, measures its neurons, prunes it and compares the masks.

    The summary gets `silence` (the rates of every layer at every measurement), `silent_filters` (how empty the filters
    are at every sparsity) and `activation_masks` (the distances of all masks); the rates of single channels are arrays.
    """
    seed = options.all_seeds[0]
    epochs = tuple(sorted({round(at) for at in np.linspace(1, options.train.epochs, options.measurements)}))
    found: dict[tuple[str, float], MaskRef] = {}
    for kind in options.activations:
        own = lab.variant(model=_with_activation(lab, options, kind))
        full = own.full_mask(options.prune)
        dense = own.train(own.init(seed), full, seed=seed, label=f"dense {kind}", save_epochs=epochs)
        note_silence(lab, own, [Look(dense.exact(at), full, {"epoch": at}) for at in epochs], options.near_zero)
        for sparsity in options.sparsities:
            mask = own.prune(dense.weights, full, options.prune, seed=seed, sparsity=sparsity)
            note_filters(lab, own, Look(dense.weights, mask, {"sparsity": sparsity}))
            found[kind, sparsity] = mask
    keys = list(found)
    rows = [[lab.measure("mask_distance", _distance, a=found[a], b=found[b]) for b in keys[:i]] for i, a in
            enumerate(keys)]  # fmt: skip
    if lab.stages.execute:
        distances = [[round(float(one["distance"]), 5) for one in row] for row in rows]
        names = [{"activation": kind, "sparsity": sparsity} for kind, sparsity in keys]
        lab.recorder.note("activation_masks", {"masks": names, "rows": distances})


def _with_activation(lab: Lab, options: TostOptions, kind: str) -> Any:
    if getattr(lab.setting.model, "activation", kind) == kind:
        return options.model
    return dataclasses.replace(options.model, options={**options.model.options, "activation": kind})


def _distance(a: Mask, b: Mask) -> dict[str, Any]:
    return {"distance": masks.distance(a, b)}
