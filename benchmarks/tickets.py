"""How fast tickets run on the machine at hand: `python benchmarks/tickets.py RUNS/oneshot-*/tickets/omp-*`.

For each folder of a ticket the whole network on one batch, three ways in turns: dense with zeros (`masked`), with dead
channels cut out (`shrunk`, the same where there are none), and as `jt.sparsify` makes it by prediction (`sparse`).
Tickets that differ in their seed alone are put together. The result is written to `benchmarks/results/`.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The folder of this file must not be searched for imports: it holds a module named like a standard one.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import jaxticket as jt  # noqa: E402
from benchmarks._measure import interleaved, summary, write  # noqa: E402
from jaxticket import models  # noqa: E402
from jaxticket.core.errors import MaskError  # noqa: E402
from jaxticket.core.granularity import Block, granularity_of  # noqa: E402

SAME = ("dataset", "model", "options", "granularity", "level")


def timed(folder: Path, batch: int, rounds: int) -> dict[str, Any]:
    """Seconds of a ticket's network in all forms, and what it is."""
    ticket = jt.load_ticket(folder)
    about = ticket.meta["model"]
    model = models.create_model(about["name"], about["num_classes"], **about["options"])
    variables = {"params": ticket.params, **({"batch_stats": ticket.model_state} if ticket.model_state else {})}
    x = jnp.asarray(np.random.default_rng(0).standard_normal((batch, *about["image_shape"]), np.float32))
    granularity = ticket.meta["config"].get("prune", {}).get("granularity", "unstructured")
    unit = granularity_of(granularity)
    block = (unit.rows, unit.cols) if isinstance(unit, Block) else (16, 128)
    sparse = jt.sparsify(model, variables, ticket.mask, x, block=block)
    contenders = {
        "masked": functools.partial(jax.jit(model.apply), variables, x),
        "sparse": functools.partial(jax.jit(sparse.apply), sparse.variables, x),
    }
    try:
        shrunk = jt.shrink(model.apply, variables, ticket.mask, x)
        contenders["shrunk"] = functools.partial(jax.jit(shrunk.apply), shrunk.params, x)
    except MaskError:
        contenders["shrunk"] = contenders["masked"]
    seconds = interleaved(contenders, rounds)
    return {
        "dataset": ticket.meta["dataset"],
        "model": about["name"],
        "options": about["options"],
        "granularity": granularity,
        "level": ticket.meta["label"].rpartition("-")[0],
        "sparsity": ticket.meta["sparsity"],
        "layers_sparse": sum(layer.form != "dense" for layer in sparse.report.layers),
        "bytes": sparse.report.bytes,
        "seconds": seconds,
    }


def together(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Tickets of several seeds as one row."""
    first = {name: rows[0][name] for name in SAME}

    def faster(form: str) -> dict[str, float]:
        turns = [zip(row["seconds"]["masked"], row["seconds"][form], strict=True) for row in rows]
        return summary([masked / other for turn in turns for masked, other in turn])

    found = first | {
        "tickets": len(rows),
        "sparsity": round(float(np.mean([row["sparsity"] for row in rows])), 4),
        "layers_sparse": [row["layers_sparse"] for row in rows],
        "bytes": [row["bytes"] for row in rows],
        "masked_seconds": summary([time for row in rows for time in row["seconds"]["masked"]]),
        "times_faster": {form: faster(form) for form in ("shrunk", "sparse")},
    }
    speeds = ", ".join(f"{form} {found['times_faster'][form]['median']:.2f}x" for form in ("shrunk", "sparse"))
    print(
        f"{found['model']} on {found['dataset']}, {found['sparsity']:.1%} by {found['granularity']}: {speeds}, "
        f"{found['layers_sparse']} layers sparse",
        flush=True,
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tickets", nargs="+", type=Path, help="folders of tickets, or of several of them")
    parser.add_argument("--batch", type=int, default=256, help="images at once")
    parser.add_argument("--rounds", type=int, default=9, help="timed calls of each form")
    options = parser.parse_args()
    folders = [found.parent for path in options.tickets for found in sorted(path.rglob("ticket.json"))]
    rows: dict[str, list[dict[str, Any]]] = {}
    for folder in folders:
        row = timed(folder, options.batch, options.rounds)
        rows.setdefault(str([row[name] for name in SAME]), []).append(row)
    print(write("tickets", {"batch": options.batch, "rows": [together(same) for same in rows.values()]}))


if __name__ == "__main__":
    main()
