"""Checkpoints of one training run in a folder of its own, with Orbax.

Saving is asynchronous and atomic: a kill at any instant leaves the newest finished checkpoint readable. Orbax does not
notice every damage, so each checkpoint gets, before it takes its name, a manifest of all its files, by which it is
checked before it is read. A removed step is first renamed into a trash folder, because a kill in the middle of a plain
removal would leave a half-empty step that still looks complete; Orbax never empties that folder, so it is emptied here.
"""

import contextlib
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxticket import storage
from jaxticket.core.errors import TicketError, one_line
from jaxticket.parallel import processes
from jaxticket.storage import faults

_TRASH = "trash"
_PARTS = ("arrays", "info")


class _Manager(ocp.CheckpointManager):
    """Does not ask JAX whether to stop: JAX keeps one count of these questions, and it is the training loop's."""

    def reached_preemption(self, step: int) -> bool:
        return False


class Checkpoints:
    """The checkpoints under `folder`; the newest two are kept.

    Of several processes all have to make the same calls, on one folder that they share.

    Args:
        folder: where they are.
        note: called with one line that says which checkpoint is damaged and where training continues instead.
    """

    def __init__(self, folder: Path, note: Callable[[str], None] = lambda text: None) -> None:
        self._folder = folder.absolute()
        self._note = note
        self._checked = False
        self._newest: int | None = None
        self._saving = 0
        # Orbax would remove unfinished ones in the background, and with them what is begun in the meantime.
        self._remove(_TRASH, "*.orbax-checkpoint-tmp*")
        with self._one_line_errors("open"):
            self._manager = _Manager(
                self._folder,
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=ocp.checkpoint_managers.LatestN(2),
                    todelete_subdir=_TRASH,
                    create=True,
                    async_options=ocp.AsyncOptions(post_finalization_callback=self._seal),
                ),
            )

    def save(self, step: int, arrays: Any, info: dict[str, Any]) -> None:
        """Starts saving a pytree of arrays and a JSON-ready dictionary; the arrays are copied before it returns.

        Raises:
            TicketError: this one, or the one before, cannot be written.
        """
        with self._one_line_errors("save"):
            faults.point("checkpoint/begin")
            self._manager.wait_until_finished()
            self._saving = self._newest = step
            self._checked = True
            self._manager.save(
                step,
                args=ocp.args.Composite(arrays=ocp.args.StandardSave(arrays), info=ocp.args.JsonSave(info)),
                force=True,
            )
            faults.point("checkpoint/started")

    def latest_step(self) -> int | None:
        """The step of the newest whole checkpoint, or None when there is none; damaged ones are removed.

        Raises:
            TicketError: the operating system refuses to read one.
        """
        if not self._checked:
            latest, damaged, text = processes.broadcast(self._look() if processes.is_writer() else None)
            for step in damaged:
                self._manager.delete(step)
            if text:
                self._note(text)
            self._checked, self._newest = True, latest
        return self._newest

    def restore_latest(self, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """The newest whole checkpoint as (arrays, info), or None when there is none.

        Args:
            like: a pytree of arrays or `jax.ShapeDtypeStruct` with the structure that was saved.
        """
        step = self.latest_step()
        if step is None:
            return None
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(arrays=ocp.args.StandardRestore(abstract), info=ocp.args.JsonRestore()),
        )
        return restored["arrays"], restored["info"]

    def close(self) -> None:
        """Waits until everything is on disk.

        Raises:
            TicketError: it cannot be written.
        """
        try:
            with self._one_line_errors("save"):
                self._manager.close()
                faults.point("checkpoint/saved")
        finally:
            self._remove(_TRASH)

    def _look(self) -> tuple[int | None, list[int], str]:
        """The newest whole checkpoint, those after it, all damaged, and what to say of them."""
        damaged, reasons = [], []
        for step in sorted(self._manager.all_steps(), reverse=True):
            folder = self._folder / str(step)
            try:
                if storage.read_manifest(folder) is not None:
                    return step, damaged, _text(reasons, f"that of step {step}")
                reasons.append(f"{folder} has no manifest.json")
            except TicketError as error:
                if isinstance(error.__cause__, OSError):  # no damage, but what the user has to know of
                    raise
                reasons.append(str(error).partition(";")[0])
            damaged.append(step)
        return None, damaged, _text(reasons, "the beginning")

    def _seal(self) -> None:
        """Called in the background when everything is written and the checkpoint has not got its name yet."""
        (folder,) = self._folder.glob(f"{self._saving}.orbax-checkpoint-tmp*")
        files = [path for part in _PARTS for path in (folder / part).rglob("*") if path.is_file()]
        storage.write_manifest(folder, [str(path.relative_to(folder)) for path in files], {"step": self._saving})

    def _remove(self, *patterns: str) -> None:
        if processes.is_writer():
            for path in [path for pattern in patterns for path in self._folder.glob(pattern)]:
                shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def _one_line_errors(self, verb: str) -> Iterator[None]:
        """Turns what Orbax raises in this context into one line, and keeps it from logging whole traces besides."""
        logger = logging.getLogger("absl")
        logger.addFilter(_is_no_error)
        try:
            yield
        except TicketError:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            raise TicketError(
                f"cannot {verb} checkpoints in {self._folder}: {_reason(error)}; check its permissions and the free "
                "space; the same command continues from the checkpoint before"
            ) from error
        finally:
            logger.removeFilter(_is_no_error)


def _is_no_error(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR


def _text(reasons: list[str], where: str) -> str:
    return f"damaged checkpoint: {'; '.join(reasons)}; going on from {where}" if reasons else ""


def _reason(error: BaseException) -> str:
    """What the operating system said, which TensorStore puts last in a long message."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = re.sub(r" \[.*", "", one_line(error))
    return text.rpartition(": ")[2]
