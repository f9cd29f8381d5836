"""Checkpoints of one training run in a folder of its own, with Orbax.

Saving is asynchronous and atomic: a kill at any instant leaves the newest finished checkpoint readable. A removed
step is first renamed into a trash folder, because a kill in the middle of a plain removal would leave a half-empty
step that still looks complete; Orbax never empties that folder, so it is emptied here.
"""

import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

_TRASH = "trash"


class Checkpoints:
    """The checkpoints under `folder`; the newest two are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        shutil.rmtree(self._folder / _TRASH, ignore_errors=True)
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=ocp.checkpoint_managers.LatestN(2),
                cleanup_tmp_directories=True,
                todelete_subdir=_TRASH,
                create=True,
            ),
        )

    def save(self, step: int, arrays: Any, info: dict[str, Any]) -> None:
        """Starts saving a pytree of arrays and a JSON-ready dictionary; the arrays are copied before it returns."""
        self._manager.save(
            step,
            args=ocp.args.Composite(arrays=ocp.args.StandardSave(arrays), info=ocp.args.JsonSave(info)),
            force=True,
        )

    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, or None when there is none."""
        return self._manager.latest_step()

    def restore_latest(self, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """The newest checkpoint as (arrays, info), or None when there is none.

        Args:
            like: a pytree of arrays or `jax.ShapeDtypeStruct` with the structure that was saved.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(arrays=ocp.args.StandardRestore(abstract), info=ocp.args.JsonRestore()),
        )
        return restored["arrays"], restored["info"]

    def close(self) -> None:
        """Waits until everything is on disk."""
        self._manager.close()
        shutil.rmtree(self._folder / _TRASH, ignore_errors=True)
