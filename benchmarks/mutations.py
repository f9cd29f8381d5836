"""Whether the tests notice when a headline promise is broken: `python benchmarks/mutations.py`.

One line at a time is changed in a copy of the sources, so that a number of pruned weights is no longer exact, a pruned
weight no longer zero, a continued run no longer the same to the bit or a shrunk network no longer the masked one, and
the tests that guard the promise are run on it. A change that they let pass has survived. First they run on what is not
changed, where they must pass. Ten minutes on two cores; the result is written to `benchmarks/results/`.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
# The folder of this file must not be searched for imports: it holds a module named like a standard one.
sys.path[0] = str(ROOT)

import subprocess  # noqa: E402

from benchmarks._measure import write  # noqa: E402


class Mutation(NamedTuple):
    """What is replaced in a file of the package."""

    file: str
    old: str
    new: str
    breaks: str


SELECT = ("core/test_prune.py", "core/test_prune_contract.py")
ZERO = (
    "core/test_optax.py",
    "core/test_every_optimizer.py",
    "training/test_loop.py",
    "training/test_mask_updates.py",
)
RESUME = ("training/test_loop.py", "training/test_mask_updates.py", "training/test_checkpoints.py")
SHRINK = ("structure/shrink",)

RESTORED = "(state, sums, best), saved = found"


def forgetting(field: str) -> str:
    """Restores all of the state but a field of it."""
    return f"(new, sums, best), saved = found\n        state = dataclasses.replace(new, {field}=state.{field})"


PROMISES: dict[str, tuple[tuple[str, ...], tuple[Mutation, ...]]] = {
    "the number of pruned weights is exact, ties go in order, nothing comes back": (
        SELECT,
        (
            Mutation("core/topk.py", "counts <= numbers[:, None]", "counts < numbers[:, None]", "one too few"),
            Mutation("core/topk.py", "~(is_lower | is_next)", "~is_lower", "ties all stay"),
            Mutation("core/topk.py", "mask[slot.path] & kept[row]", "kept[row]", "what is pruned may come back"),
            Mutation("core/topk.py", "lowest - bits, bits)", "bits, bits)", "negative scores in the wrong order"),
            Mutation("core/topk.py", "numbers - number_lower, first", "numbers, first", "ties counted twice"),
            Mutation("core/topk.py", "(positions < ", "(positions <= ", "one tie too many"),
            Mutation(
                "core/topk.py",
                "return jnp.where(kept, ordered_integers(score, wide=wide), pruned)",
                "return ordered_integers(score, wide=wide)",
                "pruned weights count as kept",
            ),
            Mutation(
                "core/scope_counts.py", "return part - least(part, total - kept)", "return part", "sparsity as a rate"
            ),
            Mutation("core/scope_counts.py", "[round(float(s)", "[int(float(s)", "rounds down"),
        ),
    ),
    "what is pruned stays zero, in the weights and in the optimizer": (
        ZERO,
        (
            Mutation(
                "training/step.py",
                "apply_mask(_with_scale_penalty(grads, state.params, parts.options.bn_l1), state.mask)",
                "_with_scale_penalty(grads, state.params, parts.options.bn_l1)",
                "gradients of pruned weights",
            ),
            Mutation(
                "training/step.py",
                "params=apply_mask(state.params, mask)",
                "params=state.params",
                "weights stay when the mask changes",
            ),
            Mutation(
                "training/step.py",
                "opt_state=zero_pruned(state.opt_state, state.params, mask)",
                "opt_state=state.opt_state",
                "moments stay when the mask changes",
            ),
            Mutation(
                "training/trainer.py",
                "masks.apply_mask(jax.tree.map(jnp.array, start.params), mask)",
                "jax.tree.map(jnp.array, start.params)",
                "the start is not masked",
            ),
            Mutation(
                "core/optax.py",
                "return apply_mask(updates, mask), zero",
                "return updates, zero",
                "updates of optimizers that mix weights",
            ),
            Mutation(
                "core/optax.py",
                "zero_pruned(opt_state, grads, mask)",
                "opt_state",
                "moments that do not start at zero",
            ),
            Mutation(
                "core/optax.py",
                ".update(apply_mask(grads, mask), opt_state",
                ".update(grads, opt_state",
                "norms and moments feel pruned weights",
            ),
        ),
    ),
    "a run that was stopped ends in the same bits": (
        RESUME,
        (
            Mutation(
                "training/checkpointing.py", RESTORED, "(state, sums, _), saved = found", "the best weights forgotten"
            ),
            Mutation(
                "training/checkpointing.py", RESTORED, "(state, _, best), saved = found", "the epoch's sums forgotten"
            ),
            Mutation("training/checkpointing.py", RESTORED, forgetting("opt_state"), "the moments forgotten"),
            Mutation("training/checkpointing.py", RESTORED, forgetting("mask"), "the mask forgotten"),
            Mutation(
                "training/checkpointing.py",
                RESTORED,
                forgetting("mask_state"),
                "the mask update forgotten",
            ),
            Mutation(
                "training/checkpointing.py",
                '[RunInfo(**info) for info in saved["runs"]]',
                "list(infos)",
                "the history forgotten",
            ),
            Mutation(
                "training/loop.py",
                "self.step = int(self.layout.fetch(self.state.step)[0])",
                "self.step = 0",
                "counted from the start again",
            ),
            Mutation(
                "training/loop.py",
                "self._save(wait=True)",
                "self.sums = before; self._save(wait=True)",
                "sums of the dispatch before saved",
            ),
            Mutation(
                "training/checkpoints.py",
                "if storage.read_manifest(folder) is not None:",
                "if folder.exists():",
                "damaged checkpoints read",
            ),
        ),
    ),
    "a shrunk network computes what the masked one does": (
        SHRINK,
        (
            Mutation(
                "structure/shrink/removal.py",
                "if term_marks is not None and term_marks.any():",
                "if False:",
                "constants of removed channels are ignored",
            ),
            Mutation(
                "structure/shrink/shrink.py",
                "if not going.isdisjoint(channels):",
                "if False:",
                "nothing is folded into biases",
            ),
            Mutation(
                "structure/shrink/shrink.py",
                "np.asarray(leaves[path])) + constant",
                "np.asarray(leaves[path])) - constant",
                "folded with the wrong sign",
            ),
            Mutation(
                "structure/shrink/slicing.py",
                "part.index[list(channels)]",
                "part.index[[c - 1 for c in channels]]",
                "the channel beside it is cut",
            ),
            Mutation(
                "structure/shrink/shrink.py",
                "start + channel not in followed.blocked",
                "True",
                "channels that must stay go",
            ),
        ),
    ),
}


def passes(copy: Path, tests: tuple[str, ...]) -> bool:
    """Whether tests pass on the sources in a folder.

    Raises:
        RuntimeError: they neither pass nor fail, as no test was found or collecting them failed.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not deep"]
    done = subprocess.run(
        [*command, *(f"tests/{test}" for test in tests)], cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return done.returncode == 0


def survives(copy: Path, mutation: Mutation, tests: tuple[str, ...]) -> bool:
    """Whether tests pass with a change, which is taken back.

    Raises:
        ValueError: what is to be changed is not there exactly once.
    """
    path = copy / "jaxticket" / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise ValueError(f"{mutation.file} has {mutation.old!r} {text.count(mutation.old)} times; mend this benchmark")
    path.write_text(text.replace(mutation.old, mutation.new))
    try:
        return passes(copy, tests)
    finally:
        path.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="promises that contain this")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("jaxticket", "tests", "configs", "pyproject.toml"):
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
        for promise, (tests, mutations) in PROMISES.items():
            if options.only not in promise:
                continue
            if not passes(copy, tests):
                sys.exit(f"the tests of {promise!r} fail without any change; mend them first")
            found[promise] = {"tests": tests, "mutations": []}
            for mutation in mutations:
                begun = time.monotonic()
                survived = survives(copy, mutation, tests)
                found[promise]["mutations"].append({**mutation._asdict(), "survived": survived})
                verdict = "SURVIVED" if survived else "noticed"
                print(f"{verdict} in {time.monotonic() - begun:.0f} s: {mutation.breaks} ({mutation.file})", flush=True)
    every = [mutation["survived"] for entry in found.values() for mutation in entry["mutations"]]
    print(f"{every.count(False)} of {len(every)} noticed")
    if not options.only:
        print(write("mutations", {"noticed": every.count(False), "of": len(every), "promises": found}))
    sys.exit(any(every))


if __name__ == "__main__":
    main()
