"""Checks of an experiment by its options, the shapes of its network and the sizes of its data set alone."""

import os

import jax

from jaxticket.core import paths
from jaxticket.core.errors import ConfigError, JaxticketError, one_line
from jaxticket.core.rules import check_used
from jaxticket.core.spans import check_spans
from jaxticket.lab.setting import Setting
from jaxticket.parallel.mesh import names_parameter
from jaxticket.training.batches import batch_shapes
from jaxticket.training.objectives import ANY, CLASSES, LOSSES, METRICS, VALUES, Loss, Metric
from jaxticket.training.scores import finished

# Float32 weights, their gradients and one moment.
_BYTES_A_PARAMETER = 3 * 4
_KINDS = {CLASSES: "classes", VALUES: "numbers"}


def check_setting(setting: Setting) -> None:
    """Refuses what does not fit into training, has no effect on the network or does not fit into memory.

    Raises:
        ConfigError: naming the key.
    """
    options = setting.options
    check_spans(options, setting.length)
    _check_memory(setting)
    _check_objectives(setting)
    names = list(paths.leaves(setting.shapes.params))
    check_used(options.mesh.rules, names, "mesh.rules", matches=names_parameter)
    prune = getattr(options, "prune", None)
    if prune is not None:
        check_used(prune.rules, names, "prune.rules")


def _check_objectives(setting: Setting) -> None:
    """Refuses a loss or metrics that are for other targets than the data set has, or cannot be computed of them."""
    train, spec = setting.options.train, setting.spec
    batch = batch_shapes(2, setting.options.data.num_classes, spec.targets, spec.target_shape)
    rows: list[tuple[str, Loss | Metric]] = [("loss", train.loss_row), ("score", setting.score)]
    for key, row in (*rows, *(("metrics", METRICS.get(name)) for name in train.metrics)):
        what = f"config.train.{key}={row.name!r}"
        if row.targets not in (ANY, spec.targets):
            table = LOSSES if isinstance(row, Loss) else METRICS
            fitting = [one.name for one in table if one.targets in (ANY, spec.targets)]
            raise ConfigError(
                f"{what}: is for {_KINDS[row.targets]}, and the targets of {spec.name} are {_KINDS[spec.targets]}; "
                f"use {', '.join(fitting)} or FILE.py:FUNCTION"
            )
        try:
            found = jax.eval_shape(row.load, *batch)
            value = finished(row, found) if isinstance(row, Metric) else 0.0
        except JaxticketError:
            raise
        except Exception as error:
            raise ConfigError(f"{what}: {type(error).__name__}: {one_line(error)}") from error
        shapes = [getattr(leaf, "shape", None) for leaf in jax.tree.leaves(found)]
        allowed = [shape is not None and (shape[:1] == (2,) or (shape == () and key == "loss")) for shape in shapes]
        if not all(allowed) or (key == "loss" and len(shapes) != 1):
            wanted = "one number, or one for each example" if key == "loss" else "arrays with one row for each example"
            raise ConfigError(f"{what}: gives shapes {shapes} for 2 examples; must give {wanted}")
        if key == "score" and not isinstance(value, float | int | None):
            raise ConfigError(
                f"{what}: gives {type(value).__name__}; what decides must be one number, higher is better"
            )


def _check_memory(setting: Setting) -> None:
    """Refuses a network that the memory cannot hold; an accelerator's is its own matter."""
    options, parameters = setting.options, setting.parameters
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = parameters * (_BYTES_A_PARAMETER if jax.default_backend() == "cpu" else 4) // options.mesh.fsdp
    if needed > memory:
        raise ConfigError(
            f"config.model.options={options.model.options!r}: {options.model.name} has {parameters:,} parameters, "
            f"which train in {needed / 1e9:,.0f} GB, and this machine has {memory / 1e9:,.0f} GB; make it narrower"
        )
