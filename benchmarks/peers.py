"""The same work here and in PyTorch, in turns: `python benchmarks/peers.py --torch=PYTHON`.

`PYTHON` is an interpreter that has PyTorch and torchvision; `_torch_worker.py` says how the work is written there.
Masked training of LeNet-300-100 on 28x28 images (an epoch of 60,000, batches of 128, SGD with momentum), of five seeds
of it, of ResNet-20 and ResNet-18 on 32x32 images; evaluation; the exact choice of the smallest 80 % of the 23.5 million
weights of a ResNet-50; and three levels of iterative magnitude pruning as a command, from the start of the process to
its end. Images are random where their values do not change the time. Half an hour on two quiet cores. The result is
written to `benchmarks/results/`; `python benchmarks/peers.py --table` prints it as a table.
"""

import argparse
import functools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# The folder of this file must not be searched for imports: it holds a module named like a standard one.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import subprocess  # noqa: E402

import jax  # noqa: E402
import numpy as np  # noqa: E402

import jaxticket as jt  # noqa: E402
from benchmarks._data import digits_or_random  # noqa: E402
from benchmarks._measure import RESULTS, ratio, summary, write  # noqa: E402
from jaxticket import data, models  # noqa: E402
from jaxticket.data import Split  # noqa: E402
from jaxticket.lab.seeds import choose_replication  # noqa: E402
from jaxticket.parallel import SINGLE, Vmapped  # noqa: E402
from jaxticket.training.options import TrainOptions  # noqa: E402
from jaxticket.training.run_spec import RunSpec  # noqa: E402
from jaxticket.training.state import Keys, Weights  # noqa: E402
from jaxticket.training.trainer import Trainer  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
LENET = {"work": "train", "model": "lenet300", "side": 28, "channels": 1, "images": 60_000, "batch": 128, "steps": None}
RESNET = {"work": "train", "side": 32, "channels": 3, "images": 2_000}
CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "LeNet-300-100, an epoch": (LENET, ("good", "compiled", "loader")),
    "LeNet-300-100, an epoch of five seeds": ({**LENET, "seeds": 5}, ("good",)),
    "LeNet-300-100, evaluation of 60,000": ({**LENET, "work": "evaluate"}, ("good",)),
    "ResNet-20, ten steps of 128": ({**RESNET, "model": "resnet20", "batch": 128, "steps": 10}, ("good", "compiled")),
    "ResNet-20, evaluation of 2,000": ({**RESNET, "work": "evaluate", "model": "resnet20", "batch": 250}, ("good",)),
    "ResNet-18, two steps of 64": ({**RESNET, "model": "resnet18", "batch": 64, "steps": 2}, ("good",)),
    "global pruning of 23.5 million": ({"work": "prune", "rate": 0.8, "sizes": []}, ("kthvalue", "argsort")),
}
IMP = {"work": "imp", "levels": 3, "epochs": 2, "batch": 128}


def resnet50_sizes() -> list[int]:
    """Sizes of the weights of a ResNet-50 without its first and last layer."""
    model = models.create_model("resnet50", 1000)
    shapes, _ = jax.eval_shape(lambda key: models.init_variables(model, key, (224, 224, 3)), jax.random.key(0))
    return [kept.size for kept in jt.full_mask(shapes).values()]


def ours(case: Mapping[str, Any]) -> Callable[[], Any]:
    """One round of a case."""
    if case["work"] == "prune":
        random = np.random.default_rng(0)
        weights = {str(i): random.standard_normal(size, np.float32) for i, size in enumerate(case["sizes"])}
        full = {path: np.ones(weight.shape, bool) for path, weight in weights.items()}
        params, mask = jax.device_put((weights, full))
        return lambda: jt.prune(mask, jt.magnitude(params, mask), sparsity=case["rate"])
    dataset = digits_or_random(case["side"], channels=case["channels"], train=case["images"], rest=case["images"])
    model = models.create_model(case["model"], 10)
    shape = (case["side"], case["side"], case["channels"])
    start = Weights(*models.init_variables(model, jax.random.key(0), shape))
    how = TrainOptions(
        optimizer="sgd", lr=0.01, momentum=0.9, weight_decay=1e-4, batch_size=case["batch"], epochs=10**4
    )
    trainer = Trainer(functools.partial(models.apply_model, model), dataset, how)
    full = jt.full_mask(start.params, ((r"(.*/)?kernel", True), (r".*", False)))
    mask = jt.prune(full, jt.random_scores(start.params, full, jax.random.key(1)), sparsity=0.9)
    seeds = case.get("seeds", 1)
    together = seeds > 1 and choose_replication("auto", start.params, case["batch"]) == "vmap"
    trainer, groups = trainer.on(Vmapped() if together else SINGLE), [seeds] if together else [1] * seeds
    keys = [jax.random.key(seed) for seed in range(seeds)]
    specs = [RunSpec(start, mask, Keys(key, key)) for key in keys]
    states = [trainer.begin(specs[:count]) for count in groups]
    if case["work"] == "evaluate":
        return lambda: trainer.on(SINGLE).evaluate(start, "val")
    steps = case["steps"] or trainer.duration.steps_per_epoch
    chunk = min(steps, trainer.steps_per_dispatch(start.params))

    def run() -> Any:
        for number, count in enumerate(groups):
            epoch = trainer.data.epoch(trainer.layout.stack(keys[:count]), 0)
            for first in range(0, steps, chunk):
                zero = trainer.zero_sums(count)
                states[number], _ = trainer.run(states[number], zero, epoch, min(chunk, steps - first))
        return states

    return run


class Torch:
    """The worker: a process that stays, so that its turns are as warm as ours."""

    def __init__(self, python: str, threads: int) -> None:
        command = [python, "-W", "ignore", str(ROOT / "benchmarks" / "_torch_worker.py"), str(threads)]
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._read()

    def seconds(self, case: Mapping[str, Any], form: str) -> float | str:
        """Of one round; or why there is none."""
        assert self.process.stdin
        print(json.dumps({"case": case, "form": form}), file=self.process.stdin, flush=True)
        return self._read()

    def _read(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())


def compared(name: str, case: Mapping[str, Any], forms: Sequence[str], torch: Torch, rounds: int) -> dict[str, Any]:
    """Seconds of a case in turns, and how many times as fast we are."""
    run, seconds, failed = ours(case), {"ours": []}, {}
    jax.block_until_ready(run())
    jax.block_until_ready(run())
    for _ in range(rounds):
        begun = time.perf_counter()
        jax.block_until_ready(run())
        seconds["ours"].append(time.perf_counter() - begun)
        for form in forms:
            found = torch.seconds(case, form) if form not in failed else ""
            if isinstance(found, float):
                seconds.setdefault(form, []).append(found)
            else:
                failed.setdefault(form, found)
    faster = {form: ratio(seconds, form, "ours") for form in seconds if form != "ours"}
    print(name, {form: found["median"] for form, found in faster.items()}, failed, flush=True)
    return {
        "seconds": {form: summary(times) for form, times in seconds.items()},
        "times_faster": faster,
        "failed": failed,
    }


def whole_runs(torch: Torch, rounds: int) -> dict[str, Any]:
    """Three levels of pruning as commands, each from a cold start."""
    dataset = data.load("fashion_mnist")
    seconds: dict[str, list[float]] = {"ours": [], "loader": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.npz"
        train, test = dataset.train, dataset.test
        assert isinstance(train, Split)
        assert isinstance(test, Split)
        np.savez(
            file, images=train.images, labels=train.labels.astype(np.int64),
            test_images=test.images, test_labels=test.labels.astype(np.int64),
        )  # fmt: skip
        for number in range(rounds):
            asked = json.dumps({"case": {**IMP, "data": str(file)}, "form": "loader"})
            main = [
                sys.executable,
                "-m",
                "jaxticket.main",
                "--config=configs/imp.py:model=lenet300,dataset=fashion_mnist",
            ]
            own = [
                *main, f"--workdir={folder}/{number}", f"--config.levels={IMP['levels']}", "--config.seeds=(0,)",
                f"--config.train.epochs={IMP['epochs']}", f"--config.train.batch_size={IMP['batch']}",
                "--config.train.optimizer=sgd", "--config.train.momentum=0.9", "--config.train.lr=0.01",
            ]  # fmt: skip
            for form, command, given in (("ours", own, ""), ("loader", torch.command, asked)):
                begun = time.perf_counter()
                subprocess.run(command, input=given, text=True, check=True, capture_output=True, cwd=ROOT)
                seconds[form].append(time.perf_counter() - begun)
    faster = {"loader": ratio(seconds, "loader", "ours")}
    print("whole runs", faster, flush=True)
    return {"seconds": {form: summary(times) for form, times in seconds.items()}, "times_faster": faster, "failed": {}}


def table(results: Mapping[str, Any]) -> str:
    """The results as a table in Markdown."""
    lines = ["| work | ours | PyTorch | times as fast (range) |", "|---|---|---|---|"]
    for name, found in results["cases"].items():
        for form, faster in found["times_faster"].items():
            own, other = (found["seconds"][which]["median"] for which in ("ours", form))
            lines.append(
                f"| {name} | {own:.3g} s | {form}: {other:.3g} s | "
                f"{faster['median']:.2f} ({faster['min']:.2f} to {faster['max']:.2f}) |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--torch", default=sys.executable, help="a Python interpreter that has PyTorch")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds of each")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--table", action="store_true", help="prints the results there are")
    options = parser.parse_args()
    if options.table:
        for path in sorted(RESULTS.glob("peers-*.json")):
            print(f"{path.name}\n\n{table(json.loads(path.read_text()))}\n")
        return
    threads = len(os.sched_getaffinity(0))
    torch = Torch(options.torch, threads)
    CASES["global pruning of 23.5 million"][0]["sizes"] = resnet50_sizes()
    chosen = {name: case for name, case in CASES.items() if options.only in name}
    cases = {name: compared(name, *case, torch, options.rounds) for name, case in chosen.items()}
    if options.only in "three levels of pruning, a command":
        cases["three levels of pruning, a command"] = whole_runs(torch, min(options.rounds, 3))
    results = {"threads": threads, "torch": torch.version, "cases": cases}
    if not options.only:
        print(write("peers", results))
    print(table(results))


if __name__ == "__main__":
    main()
