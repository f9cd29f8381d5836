"""A ticket as a file for a server: its trained weights under its mask, made smaller or sparse, checked, exported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket import data, models, serving, storage
from jaxticket.core.errors import ConfigError, DataError, MaskError, TicketError
from jaxticket.core.masks import apply_mask
from jaxticket.core.paths import leaves
from jaxticket.core.types import Variables
from jaxticket.kernels.convert.sparsify import sparsify
from jaxticket.kernels.convert.verify import relative_difference
from jaxticket.lab.config import resolve
from jaxticket.lab.stages.references import stage_in, stored_weights
from jaxticket.lab.trained import WEIGHTS
from jaxticket.serving.exported import save_exported
from jaxticket.structure.shrink.shrink import shrink
from jaxticket.ticket import Ticket, load_ticket
from jaxticket.training.state import Weights

# How far outputs may differ, relative to the largest: rounding through a deep network.
_TOLERANCE = 1e-3
# Images on which a sparse network is to be fast.
_SAMPLE = 64


def export_ticket(
    folder: Path,
    out: Path,
    *,
    form: str = "",
    batch: str | None = None,
    platforms: list[str] | None = None,
    model: str = "",
    dataset: str = "",
) -> str:
    """Exports the trained network of a ticket, which takes images that are normalised as they were in training.

    Args:
        folder: of the ticket, `RUN/tickets/LABEL` or `RUN/trained/LABEL`. One of weights to start from needs the stage
            in which they were trained, next to the run.
        out: where to write, as `jt.export` does.
        form: 'shrink' cuts dead channels out, 'sparsify' stores blocks or groups where that is faster here; empty
            leaves the network as it is.
        batch: as for `jt.export`.
        platforms: as for `jt.export`.
        model: name of the network, where the ticket does not say.
        dataset: whose images it takes, where the ticket does not say.

    Returns:
        What was done, in a few lines.

    Raises:
        TicketError: the ticket is damaged, or its trained weights are not to be found.
        ConfigError: the network is not known.
        MaskError: the weights belong to another network, or the exported one computes something else.
    """
    ticket = load_ticket(folder)
    network, image_shape = _network(ticket, folder, model, dataset)
    weights, source = _trained(ticket, folder)
    wanted = models.abstract_variables(network, image_shape)[0]
    _check_shapes(weights.params, wanted, folder)
    variables = {"params": apply_mask(weights.params, ticket.mask), **weights.model_state}
    variables = jax.tree.map(jnp.asarray, variables)

    def apply(variables: Variables, x: jax.Array) -> jax.Array:
        state = {name: tree for name, tree in variables.items() if name != "params"}
        return models.apply_model(network, variables["params"], state, x, train=False)[0]

    x = jax.random.normal(jax.random.key(0), (_SAMPLE, *image_shape))
    small: Any = (apply, variables)
    if form == "shrink":
        small = shrink(apply, variables, ticket.mask, x[:1])
    elif form == "sparsify":
        small = sparsify(network, variables, ticket.mask, x)
    meta = {
        "ticket": ticket.meta.get("label", folder.name),
        "weights": source,
        "network": ticket.meta.get("model", {"name": model}),
        "dataset": dataset or ticket.meta.get("dataset", ""),
        **_normalisation(folder),
    }
    exported = serving.export(small, x, batch=batch, platforms=platforms, meta=meta)
    difference = 0.0
    if jax.default_backend() in (platforms or [jax.default_backend()]):
        for size in (_SAMPLE, 3) if batch else (_SAMPLE,):
            expected = jax.jit(apply)(variables, x[:size])
            difference = max(difference, relative_difference(expected, exported(x[:size])))
    if not difference <= _TOLERANCE:
        raise MaskError(
            f"{folder}: what was exported differs by {difference:.1e} of the largest output from the masked network, "
            f"more than {_TOLERANCE:.0e}; nothing was written"
        )
    save_exported(out, exported)
    kind = exported.exported.in_avals[-1]
    lines = [] if isinstance(small, tuple) else [str(small.report)]
    shown = {name: [round(n, 4) for n in meta[name]] for name in ("mean", "std") if name in meta}
    lines.append(f"weights  {source}")
    normalised = "".join(f", {k} {v}" for k, v in shown.items()) or ", normalised as in training: no run is around it"
    lines.append(f"input    {kind}, images divided by 255{normalised}")
    lines.append(f"checked  outputs differ by {difference:.1e} of the largest from the masked network's")
    return "\n".join(lines)


def _network(ticket: Ticket, folder: Path, model: str, dataset: str) -> tuple[Any, tuple[int, int, int]]:
    """The network and the shape of an image."""
    said = ticket.meta.get("model")
    if isinstance(said, Mapping) and not model and not dataset:
        storage.check_fields(
            said, {"name": str, "options": dict, "num_classes": int, "image_shape": list}, f"{folder}: model"
        )
        name, options, classes, shape = (said[key] for key in ("name", "options", "num_classes", "image_shape"))
    else:
        if not model or not dataset:
            raise ConfigError(f"{folder}: does not say of which network it is; give --model=NAME and --dataset=NAME")
        spec = data.spec(dataset)
        name, options, classes, shape = model, {}, len(spec.class_names), spec.image_shape
    height, width, colours = shape
    image_shape = (height, width, colours)
    return models.create_model(name, classes, image_shape=image_shape, **options), image_shape


def _trained(ticket: Ticket, folder: Path) -> tuple[Weights, str]:
    """The trained weights, and where they are from: the ticket, or the stage of its row."""
    if ticket.meta.get("weights") == "trained":
        return Weights(ticket.params, ticket.model_state), "the ticket"
    run = folder.absolute().parent.parent
    summary = run / "summary.json"
    rows = storage.read_json(summary).get("rows", []) if summary.is_file() else []
    row = next((row for row in rows if row.get("ticket") == folder.absolute().name), None)
    if row is None:
        raise TicketError(
            f"{folder}: has the weights to start from, and no run is around it; give RUN/tickets/LABEL, or "
            "RUN/trained/LABEL of a run with --config.keep_trained=True"
        )
    name = row.get("weights")
    key = _evaluated(run.parent / "stages", str(row.get("stage"))) or f"{row.get('stage')}/{WEIGHTS.get(name, name)}"
    if key == ticket.meta.get("start"):
        return Weights(ticket.params, ticket.model_state), key
    found = stored_weights(run.parent / "stages", key)
    if found is None:
        raise TicketError(
            f"{folder}: its trained weights, {key}, are not in {run.parent / 'stages'}; run the experiment again, or "
            "give RUN/trained/LABEL of a run with --config.keep_trained=True"
        )
    return found.load(), key


def _evaluated(stages: Path, name: str) -> str:
    """The key of the weights that a stage evaluated and did not train; empty where it is another stage."""
    try:
        stage = stage_in(stages / name) if name.startswith("evaluate-") else None
    except TicketError:
        return ""
    return str(stage.made_from.get("inputs", {}).get("weights", "")) if stage else ""


def _check_shapes(params: Any, wanted: Any, folder: Path) -> None:
    found, expected = ({path: np.shape(leaf) for path, leaf in leaves(tree).items()} for tree in (params, wanted))
    for path in sorted(found.keys() | expected.keys()):
        if found.get(path) != expected.get(path):
            raise MaskError(
                f"{folder}: {path} is {found.get(path, 'absent')} there and {expected.get(path, 'absent')} in the "
                "network; give its own --model and --dataset"
            )


def _normalisation(folder: Path) -> dict[str, Any]:
    """Mean and standard deviation by which the run normalised images; empty where its data is not to be had."""
    config = folder.absolute().parent.parent / "config.json"
    if not config.is_file():
        return {}
    stated = storage.check_fields(storage.read_json(config), {"experiment": str, "config": dict}, config)
    try:
        options = resolve({"experiment": stated["experiment"], **stated["config"]})[1].data
        found = data.load(**options.load_arguments())
    except (ConfigError, DataError):
        return {}
    return {"mean": list(found.mean), "std": list(found.std)}
