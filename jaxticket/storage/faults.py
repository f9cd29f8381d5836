"""Faults on request: what a kill or a full disk does at a named point of the program, for tests.

`JAXTICKET_FAULT="POINT:COUNT[:ACTION]"` in the environment strikes when the process comes to a point for the
COUNT-th time. ACTION is `kill` (SIGKILL to itself, the default) or `full` (the disk is full). Without the variable a
point does nothing.

| point | when it is passed |
| --- | --- |
| `FILE/begin` | a file of this name is to be written atomically; nothing of it is on the disk |
| `FILE/written` | it is on the disk under a temporary name, and so are those written together with it |
| `FILE/named` | it has its final name; of files written together the later ones have not |
| `stage/commit` | all files of a stage are written; neither journal nor manifest is |
| `stage/tidied` | its checkpoints are removed; its manifest is not written |
| `checkpoint/begin` | a checkpoint is to be saved |
| `checkpoint/started` | its arrays are copied; they are being written in the background |
| `checkpoint/saved` | everything is on the disk; older checkpoints lie in the trash |

FILE is any name: `manifest.json` (with it a stage or a checkpoint is complete), `finished.json` (the journal by which a
stage is completed after a kill), `last.safetensors`, `mask.safetensors` and so on (results), `config.json`,
`summary.json`, `ticket.safetensors` and `ticket.json` (written together, in this order), `report.html`.
"""

import errno
import os
import signal
from collections import Counter

VARIABLE = "JAXTICKET_FAULT"
ACTIONS = ("kill", "full")

_passed: Counter[str] = Counter()


def point(name: str) -> None:
    """Marks a point of the program.

    Raises:
        OSError: a full disk was asked for here.
        ValueError: the environment variable is not of the form above.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    where, _, rest = wanted.partition(":")
    count, _, action = rest.partition(":")
    action = action or ACTIONS[0]
    if not count.isdecimal() or action not in ACTIONS:
        raise ValueError(f"{VARIABLE}={wanted!r}: must be POINT:COUNT or POINT:COUNT:ACTION, ACTION one of {ACTIONS}")
    if name != where:
        return
    _passed[name] += 1
    if _passed[name] != int(count):
        return
    if action == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.kill(os.getpid(), signal.SIGKILL)
