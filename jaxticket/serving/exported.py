"""An exported model: StableHLO that takes its weights as an argument, and the weights."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.export

from jaxticket import storage
from jaxticket.core.errors import TicketError, one_line

MODEL, WEIGHTS, DESCRIPTION = "model.stablehlo", "weights.safetensors", "export.json"
KIND = {"format": "jaxticket-export", "version": 1}


@dataclasses.dataclass(frozen=True, eq=False)
class ExportedModel:
    """A model that runs without the program that made it.

    Attributes:
        exported: the function (weights, *inputs) -> outputs as StableHLO; `exported.mlir_module()` is its text.
        weights: path of a leaf -> array; they are the first argument, so that a file of them can be exchanged.
        meta: JSON-ready facts about it.

    Example:
        >>> model = jt.export((lambda w, x: x @ w["kernel"], {"kernel": jnp.eye(3)}), jnp.ones((1, 3)), batch="b")
        >>> model(jnp.ones((5, 3))).shape
        (5, 3)
    """

    exported: jax.export.Exported
    weights: dict[str, jax.Array]
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __call__(self, *inputs: Any) -> Any:
        """The outputs; compiled once for each shape of inputs, and to be called inside of `jit` as well."""
        return self._compiled(self.weights, *inputs)

    @functools.cached_property
    def _compiled(self) -> Callable[..., Any]:
        return jax.jit(self.exported.call)


def save_exported(folder: storage.PathLike, model: ExportedModel) -> None:
    """Writes `model.stablehlo`, `weights.safetensors`, and `export.json` with what they are and their checksums."""
    exported = model.exported
    try:
        program = bytes(exported.serialize())
    except Exception as error:  # a tree of a kind that jax.export cannot name, say
        raise TicketError(
            f"the model cannot be written ({one_line(error)}); give inputs in dicts and tuples"
        ) from error
    content = {
        "inputs": [str(kind) for kind in exported.in_avals[len(model.weights) :]],
        "outputs": [str(kind) for kind in exported.out_avals],
        "platforms": list(exported.platforms),
        "calling_convention_version": exported.calling_convention_version,
        "meta": model.meta,
    }
    storage.write_bundle(
        folder, DESCRIPTION, KIND, {MODEL: program, WEIGHTS: storage.dump_arrays(model.weights)}, content
    )


def load_exported(folder: storage.PathLike) -> ExportedModel:
    """The model that `jt.export(..., folder=folder)` wrote.

    It needs nothing of the network's source; nor does it need jaxticket:
    `jax.export.deserialize(open("model.stablehlo", "rb").read()).call(weights, *inputs)` is the same, with the
    arrays of `weights.safetensors` by name.

    Raises:
        TicketError: the folder holds no exported model, or a file was changed, or this JAX cannot read it.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> _ = jt.export((lambda w, x: x * w["scale"], {"scale": jnp.float32(2)}), jnp.ones((1, 3)), folder=folder)
        >>> jt.load_exported(folder)(jnp.ones((1, 3)))
        Array([[2., 2., 2.]], dtype=float32)
    """
    content, files = storage.read_bundle(folder, DESCRIPTION, KIND)
    storage.check_fields({**files, **content}, {MODEL: bytes, WEIGHTS: bytes, "meta": dict}, folder)
    try:
        exported = jax.export.deserialize(bytearray(files[MODEL]))
    except Exception as error:  # whatever a newer or older JAX raises
        raise TicketError(
            f"{folder}/{MODEL}: this JAX {jax.__version__} cannot read it ({one_line(error)}); export it again"
        ) from error
    arrays = storage.parse_arrays(files[WEIGHTS], f"{folder}/{WEIGHTS}")
    return ExportedModel(exported, {name: jax.numpy.asarray(array) for name, array in arrays.items()}, content["meta"])
