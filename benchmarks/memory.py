"""The memory of a training step, counted and compiled: `python benchmarks/memory.py`.

Counted are the parameters, the optimizer's moments and the masks, the gradients, and what the backward pass keeps of
the forward one, from the shapes alone (`jax.eval_shape` of `jax.vjp`, so before the compiler leaves out or computes
again what it can). Compiled is the peak that XLA states for the trainer's own step on this machine's device, arguments
included. `--chip=v5e:2x2` compiles for one chip of a TPU that is not here, which needs `libtpu` alone, and states the
operations and the bytes of a step too. Ten minutes on two cores, nearly all of it compilation; for a TPU twenty. The
result is written to `benchmarks/results/`.
"""

import argparse
import functools
import os
import sys
from pathlib import Path
from typing import Any

# The folder of this file must not be searched for imports: it holds a module named like a standard one.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from jax.sharding import SingleDeviceSharding  # noqa: E402

import jaxticket as jt  # noqa: E402
from benchmarks._measure import write  # noqa: E402
from jaxticket import models  # noqa: E402
from jaxticket.data import Dataset, Split  # noqa: E402
from jaxticket.training.batches import Batch  # noqa: E402
from jaxticket.training.options import TrainOptions  # noqa: E402
from jaxticket.training.run_spec import RunSpec  # noqa: E402
from jaxticket.training.state import Keys, MetricSums, TrainState, Weights  # noqa: E402
from jaxticket.training.trainer import Trainer  # noqa: E402

# Network, side of the images, classes, batch, dtype of the computation.
CASES = (
    ("lenet300", 28, 10, 128, "float32"),
    ("resnet20", 32, 10, 128, "float32"),
    ("resnet18", 32, 10, 128, "float32"),
    ("resnet50", 224, 1000, 8, "float32"),
    ("resnet50", 224, 1000, 64, "bfloat16"),
)


def trainer_of(name: str, side: int, classes: int, batch: int, dtype: str) -> tuple[Any, Trainer]:
    """A network and its trainer; of the images only the shape is there."""
    model = models.create_model(name, classes, dtype=dtype)
    images = np.broadcast_to(np.zeros((), np.uint8), (10 * batch, side, side, 1 if side == 28 else 3))
    split = Split(images, np.zeros(10 * batch, np.int32))
    names, channels = tuple(map(str, range(classes))), images.shape[-1]
    dataset = Dataset("shapes", split, split, split, classes, names, (0.5,) * channels, (0.25,) * channels)
    how = TrainOptions(optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4, batch_size=batch, compute_dtype=dtype)
    return model, Trainer(functools.partial(models.apply_model, model), dataset, how)


def abstract_state(model: Any, trainer: Trainer, shape: tuple[int, ...]) -> TrainState:
    """The shapes of a training state in which all kernels have a mask."""

    def begin(key: jax.Array) -> TrainState:
        weights = Weights(*models.init_variables(model, key, shape))
        return trainer.begin([RunSpec(weights, jt.full_mask(weights.params), Keys(key, key))])

    return jax.eval_shape(begin, jax.random.key(0))


def residuals(model: Any, state: TrainState, images: Any) -> Any:
    """The shapes of what the backward pass keeps."""

    def backward(params: Any, model_state: Any, images: Any) -> Any:
        def loss(params: Any) -> tuple[jax.Array, Any]:
            logits, new = models.apply_model(model, params, model_state, images, train=True)
            return jax.nn.log_softmax(logits)[:, 0].mean(), new

        return jax.vjp(loss, params, has_aux=True)[1]

    kept = jax.tree.leaves(jax.eval_shape(backward, state.params, state.model_state, images))
    shapes = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state.params)]
    return [leaf for leaf in kept if (leaf.shape, leaf.dtype) not in shapes]  # the parameters are counted already


def size(tree: Any) -> int:
    """Bytes of a tree of shapes; keys and steps do not count."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)]
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def case(name: str, side: int, classes: int, batch: int, dtype: str, *, device: Any | None) -> dict[str, Any]:
    """Bytes of one network's step; compiled where there is a device."""
    model, trainer = trainer_of(name, side, classes, batch, dtype)
    shape = (side, side, 1 if side == 28 else 3)
    state = abstract_state(model, trainer, shape)
    images = jax.ShapeDtypeStruct((batch, *shape), dtype)
    counted = {
        "parameters": size(state.params),
        "moments": size(state.opt_state),
        "masks": size(state.mask),
        "gradients": size(state.params),
        "activations": size(residuals(model, state, images)),
    }
    found = {"model": name, "side": side, "batch": batch, "dtype": dtype, "counted": counted}
    found["counted_sum"] = sum(counted.values())
    if device is not None:
        shapes: list[Any] = [
            jax.ShapeDtypeStruct((batch, *shape), jnp.uint8),
            jax.ShapeDtypeStruct((batch,), jnp.int32),
        ]
        arguments = (state, jax.eval_shape(MetricSums.zero), Batch(*shapes))
        there = SingleDeviceSharding(device)
        arguments = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=there), arguments)
        compiled = trainer.compiled.step(None).lower(*arguments).compile()
        memory, costs = compiled.memory_analysis(), compiled.cost_analysis()
        peak = memory.argument_size_in_bytes + memory.temp_size_in_bytes
        found |= {"compiled_peak": peak, "peak_over_counted": round(peak / found["counted_sum"], 3)}
        if device.platform != "cpu":  # for a CPU the compiler counts what it does not fuse
            found |= {"operations": costs["flops"], "bytes_moved": costs["bytes accessed"]}
    print({key: value for key, value in found.items() if key != "counted"}, flush=True)
    return found


def chip(name: str) -> Any:
    """A chip of a TPU that is not here."""
    from jax.experimental import topologies

    os.environ["TPU_SKIP_MDS_QUERY"] = "1"
    return topologies.get_topology_desc(platform="tpu", topology_name=name).devices[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--chip", default="", help="a TPU topology to compile for, such as v5e:2x2")
    options = parser.parse_args()
    device = chip(options.chip) if options.chip else jax.devices()[0]
    cases = [one for one in CASES if options.only in one[0]]
    if options.chip:
        cases = [one for one in cases if one[4] == "bfloat16" or one[0] != "resnet50"]
    # A CPU would be asked for gigabytes of constants in 16 bits, which it does not compute in.
    rows = [case(*one, device=None if one[4] == "bfloat16" and not options.chip else device) for one in cases]
    about = {"compiled_for": device.device_kind, "rows": rows}
    print(write(f"memory {options.chip} {options.only}".strip(), about))


if __name__ == "__main__":
    main()
