"""Structured masks as stages of a lab, each with a report of its layers."""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxticket import models
from jaxticket.core import masks
from jaxticket.core.criteria.magnitude import magnitude
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import chosen
from jaxticket.core.scope_counts import empty_layers
from jaxticket.core.types import Mask
from jaxticket.experiments.structured.options import FEATURES, RefillOptions
from jaxticket.interop import layer_outputs, output_gradients
from jaxticket.lab.derived import Derived
from jaxticket.lab.lab import Lab
from jaxticket.lab.network_slimming import slim_mask
from jaxticket.lab.scoring_batches import scoring_batches
from jaxticket.lab.stage_keys import loss_key
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.structure.feature_scores import feature_scores
from jaxticket.structure.matrix import to_matrix
from jaxticket.structure.refill import refill
from jaxticket.structure.regroup.options import RegroupOptions
from jaxticket.structure.regroup.regroup import regroup_by
from jaxticket.structure.regroup.report import RegroupReport, report_layer
from jaxticket.training.state import Weights


def refilled(
    lab: Lab, mask: MaskRef, trained: WeightsRef, how: RefillOptions, *, seed: int, rate: float = 0.0
) -> MaskRef:
    """`mask` as whole channels.

    `trained` are weights trained under it, from which scores are computed; `seed` is of the images of a criterion;
    `rate` is the share of the other channels that stay as well, instead of that of `how`.
    """

    def compute(mask: Mask, weights: Weights | None = None) -> Derived:
        for path in empty_layers(mask):
            lab.progress.note(f"nothing is left of {path}; refill gives it {how.min_channels} channels all the same")
        scores = _refill_scores(lab, weights, mask, how, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of empty layers, said above
            new = refill(mask, scores, rate=rate, min_channels=how.min_channels, fractional=how.fractional)
        return _structured(new, report_of(mask, new))

    widest = max(leaf.shape[-1] for leaf in jax.tree.leaves(lab.setting.shapes.params))
    if how.min_channels > widest:
        raise ConfigError(
            f"config.refill.min_channels={how.min_channels}: the widest layer of {lab.options.model.name} has {widest} "
            "channels; must be at most that"
        )
    unused = {"rate": RefillOptions.rate}
    if how.criterion not in FEATURES:
        unused["images_per_class"] = RefillOptions.images_per_class
    config: dict[str, Any] = {"refill": chosen(dataclasses.replace(how, **unused)), "rate": rate}
    inputs = {"mask": mask, **({"weights": trained} if how.criterion != "remain" else {})}
    if how.criterion in FEATURES:
        config |= {"data": lab.setting.data_key(), "seed": seed, **loss_key(lab.options.train)}
    label = f"{how.criterion}, seed {seed}"
    return MaskRef(lab.derive("refill", compute, inputs, config=config, label=label))


def regrouped(lab: Lab, mask: MaskRef, how: RegroupOptions, *, seed: int) -> MaskRef:
    """`mask` as dense blocks; `seed` is the partition's."""

    def compute(mask: Mask) -> Derived:
        found = regroup_by(mask, how, seed=seed)
        if not any(found.blocks.values()):
            lab.progress.note("regroup: no layer has blocks, so this ticket has the unstructured mask")
        elif all(np.asarray(kept).all() for kept in found.mask.values()):
            lab.progress.note("regroup: the blocks fill every layer, so this ticket is the dense network")
        for path, layer in found.report.layers.items():
            if layer.note:
                lab.progress.note(f"regroup, {path}: {layer.note}")
        return _structured(found.mask, found.report)

    config = {"regroup": chosen(how), "seed": seed}
    # Version 2: layers whose blocks would nearly fill them keep their masks.
    label = f"{how.rule}, seed {seed}"
    return MaskRef(lab.derive("regroup", compute, {"mask": mask}, version=2, config=config, label=label))


def slimmed(
    lab: Lab,
    trained: WeightsRef,
    full: MaskRef,
    like: MaskRef,
    criterion: str,
    how: RefillOptions,
    *,
    seed: int,
    floor: float = 0.0,
) -> MaskRef:
    """`full` without the lowest channels of a dense network, until no more weights are kept than in `like`.

    `criterion` is one of `options.SLIM`, `floor` the share of its channels that every layer keeps at least; `how` says
    how many images a criterion sees, and `seed` which.
    """

    def compute(weights: Weights, full: Mask, like: Mask) -> Derived:
        wanted, scores = masks.count(like)[0], criterion
        if criterion in FEATURES:
            scores = _feature_scores(lab, weights, full, criterion, how.images_per_class, seed, mean=True)
        new, reached, exhausted = slim_mask(lab.setting, weights, full, scores, wanted, floor=floor)
        for path, words in exhausted.items():
            lab.progress.note(f"slim by {criterion}, {path}: {words}")
        if reached > wanted:
            lab.progress.note(
                f"slim by {criterion}: {reached:,} weights are left where every channel that can go is gone"
                + (f" and every layer keeps {floor:.0%} of them" if floor else "")
                + f", {wanted:,} were asked for"
            )
        return _structured(new, report_of(full, new, exhausted))

    config: dict[str, Any] = {"criterion": criterion, **({"floor": floor} if floor else {})}
    if criterion in FEATURES:
        config |= {"data": lab.setting.data_key(), "images_per_class": how.images_per_class, "seed": seed}
        config |= loss_key(lab.options.train)
    label, inputs = f"{criterion}, seed {seed}", {"weights": trained, "full": full, "like": like}
    return MaskRef(lab.derive("slim", compute, inputs, config=config, label=label))


def structure_of(mask: MaskRef) -> Mapping[str, Any]:
    """What a stage of this module found out about the layers of its mask; empty for others, and in a plan."""
    return mask.stage.content.get("structure", {})


def report_of(before: Mask, after: Mask, notes: Mapping[str, str] | None = None) -> RegroupReport:
    """What became of a mask of whole channels; channels that keep the same weights are a block.

    `notes` are what is to be said of a layer, by path.
    """
    layers = {}
    for path in sorted(before):
        old, new, note = to_matrix(before[path]), to_matrix(after[path]), (notes or {}).get(path, "")
        rows = np.flatnonzero(new.any(axis=1))
        supports, which = np.unique(new[rows], axis=0, return_inverse=True)
        blocks = [(rows[which.ravel() == i], np.flatnonzero(support)) for i, support in enumerate(supports)]
        layers[path] = report_layer(old, new, blocks, note if blocks else "nothing is kept")
    return RegroupReport(layers)


def _structured(mask: Mask, report: RegroupReport) -> Derived:
    """A structured mask with what is known of its layers."""
    same = ("density", "new_density", "emptied_channels", "coverage", "holes", "structured", "note")
    layers = [
        {
            "path": path,
            "shape": list(layer.shape),
            "channels": layer.shape[0] - layer.dead_channels,
            "blocks": [list(block) for block in layer.blocks],
            **{name: getattr(layer, name) for name in same},
        }
        for path, layer in report.layers.items()
    ]
    names = ("density", "new_density", "coverage", "structured_share")
    totals = {name: getattr(report, name) for name in names}
    return Derived(mask=mask, content={"structure": {**totals, "layers": layers}})


def _refill_scores(lab: Lab, weights: Weights | None, mask: Mask, how: RefillOptions, seed: int) -> Mapping[str, Any]:
    if weights is None:  # `remain` needs none
        return {path: np.asarray(kept, np.float32) for path, kept in mask.items()}
    if how.criterion == "magnitude":
        return magnitude(weights.params, mask)
    return _feature_scores(lab, weights, mask, how.criterion, how.images_per_class, seed)


def _feature_scores(
    lab: Lab, weights: Weights, mask: Mask, kind: Any, per_class: int, seed: int, mean: bool = False
) -> dict[str, np.ndarray]:
    """A score per channel from the layers' own outputs on one batch of training images, in evaluation mode."""
    what = f"refill.criterion or config.channel_criterion={kind!r}"
    images, labels = next(scoring_batches(lab.setting, per_class, seed, what, "use magnitude"))

    def apply(params: Any, x: Any) -> Any:
        return models.apply_model(lab.setting.model, params, weights.model_state, x, train=False)[0]

    gradients = None
    if kind == "saliency":
        loss = lab.setting.loss
        found, gradients = output_gradients(apply, weights.params, images, mask, lambda y: loss(y, labels).mean())
    else:
        found = layer_outputs(apply, weights.params, images, mask)
    scores = feature_scores(found, kind, gradients)
    number = {path: leaf.size // leaf.shape[-1] if mean else 1 for path, leaf in found.items()}
    return {path: np.asarray(score, np.float64) / number[path] for path, score in scores.items()}
