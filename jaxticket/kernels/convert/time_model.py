"""The measurement of a converted model, which undoes what has made it slower."""

import dataclasses

import jax

from jaxticket.kernels.convert.device_rates import least_seconds
from jaxticket.kernels.convert.model import Runnable, SparseModel
from jaxticket.kernels.convert.report import SparseLayerReport

_ROUNDS = 7
# What takes this share of the time of another is faster than it, and not by chance.
_AS_FAST = 0.95


def time_model(model: SparseModel, undo: bool) -> SparseModel:
    """The pass that times the model on the sample.

    If it is slower with its sparse layers than without they become dense, and if it is slower without its dead
    channels they come back.

    Args:
        model: whose result has been verified.
        undo: whether what is slower is undone.
    """
    resized = model.variables is not model.masked
    masked, plain = Runnable(model.masked, model.adapter.apply), model.dense(model.variables)
    contenders = [masked, model.result, *([plain] if model.weights and resized else [])]
    compiled = [(jax.jit(one.apply), one.variables) for one in contenders]
    times = least_seconds([lambda f=f, v=v: f(v, model.sample) for f, v in compiled], _ROUNDS)
    without = times[-1] if resized else times[0]
    result, seconds = model.result, (times[0], times[1])
    layers, changes = model.report.layers, {}
    if undo and model.weights and times[1] > without:
        layers, result, seconds = _all_dense(layers), plain, (times[0], without)
    if undo and resized and times[0] < _AS_FAST * seconds[1]:  # odd numbers of channels can be slower than more of them
        layers, result, seconds = _all_dense(layers), model.dense(model.masked), (times[0], times[0])
        changes = {"shrunk": "the smaller model was slower", "reordered": None}
    report = dataclasses.replace(model.report, layers=layers, measured=seconds, **changes)
    return dataclasses.replace(model, result=result, report=report)


def _all_dense(layers: tuple[SparseLayerReport, ...]) -> tuple[SparseLayerReport, ...]:
    return tuple(
        layer
        if layer.form == "dense"
        else dataclasses.replace(
            layer,
            form="dense",
            reason=f"{layer.reason}, but the whole model was slower",
            bytes=(layer.bytes[0], layer.bytes[0]),
        )
        for layer in layers
    )
