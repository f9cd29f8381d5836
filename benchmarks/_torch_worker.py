"""The work of `peers.py` in PyTorch, as a good user writes it and as most repositories do.

Needs torch, numpy and, for `loader`, torchvision with Pillow. Reads lines `{"case": ..., "form": ...}` and answers each
with the seconds of one round. Forms of training: `good` has the images in memory as tensors and takes batches by index,
convolutions in channels_last; `compiled` is the same under `torch.compile`; `loader` is a Dataset with torchvision's
transforms, image by image, behind a DataLoader with two workers.
"""

# pyright: reportMissingImports=false
import sys

# The folder of this file must not be searched for imports: it holds a module named like a standard one.
del sys.path[0]

import copy  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

KEPT = 0.1


class LeNet300(nn.Sequential):
    """784-300-100-10."""

    def __init__(self) -> None:
        layers = [nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)]
        super().__init__(*layers)


class Block(nn.Module):
    """A basic block."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if shortcut:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Any) -> Any:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """The CIFAR ResNets: 3 stages of 16 to 64 channels, or 4 of 64 to 512."""

    def __init__(self, widths: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        layers, inputs = [], widths[0]
        for stage, outputs in enumerate(widths):
            for number in range(blocks):
                stride = 2 if stage and not number else 1
                layers.append(Block(inputs, outputs, stride, stride != 1 or inputs != outputs))
                inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, 10)

    def forward(self, x: Any) -> Any:
        y = self.layers(functional.relu(self.bn1(self.conv1(x))))
        return self.head(y.mean((2, 3)))


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "lenet300":
        return LeNet300()
    return ResNet((16, 32, 64), 3) if name == "resnet20" else ResNet((64, 128, 256, 512), 2)


class Images(Dataset):
    """Converts and normalises one image after the other, as torchvision's data sets and transforms do."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        from PIL import Image
        from torchvision import transforms

        self.images, self.labels, self.as_image = images, labels, Image.fromarray
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.25,))])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(self.as_image(self.images[index].squeeze())), int(self.labels[index])


class Training:
    """A network under a mask of which a tenth is kept, and rounds of steps with it."""

    def __init__(self, name: str, images: np.ndarray, labels: np.ndarray, batch: int, form: str) -> None:
        self.batch, self.form = batch, form
        self.model = network(name)
        image = name != "lenet300"
        if image and form != "loader":
            self.model = self.model.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
        self.weights = [weight for weight in self.model.parameters() if weight.dim() > 1]
        self.masks = [(torch.rand_like(weight) < KEPT).to(weight.dtype) for weight in self.weights]
        self.apply = torch.compile(self.model) if form == "compiled" else self.model
        if form == "loader":
            self.loader = DataLoader(Images(images, labels), batch, shuffle=True, num_workers=2, drop_last=True)
        else:
            x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
            self.images = x.to(memory_format=torch.channels_last) if image else x
            self.labels = torch.from_numpy(labels).long()

    def batches(self, *, shuffled: bool = True) -> Any:
        if self.form == "loader":
            yield from self.loader
            return
        count = len(self.labels)
        order = torch.randperm(count) if shuffled else None
        for first in range(0, count - self.batch + 1 if shuffled else count, self.batch):
            rows = slice(first, first + self.batch) if order is None else order[first : first + self.batch]
            yield self.images[rows].float().div_(255).sub_(0.5).div_(0.25), self.labels[rows]

    def steps(self, count: int | None = None) -> None:
        for number, (x, y) in enumerate(self.batches()):
            if number == count:
                return
            self.optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(self.apply(x), y).backward()
            self.optimizer.step()
            with torch.no_grad():
                torch._foreach_mul_(self.weights, self.masks)

    @torch.no_grad()
    def evaluate(self) -> int:
        self.model.eval()
        right = sum(int((self.apply(x).argmax(1) == y).sum()) for x, y in self.batches(shuffled=False))
        self.model.train()
        return right

    def prune(self, rate: float) -> None:
        """What is smallest of what is kept, over all layers."""
        scores = torch.cat([weight.detach().abs()[mask > 0] for weight, mask in zip(self.weights, self.masks)])  # noqa: B905
        threshold = scores.kthvalue(round(rate * len(scores))).values
        with torch.no_grad():
            for weight, mask in zip(self.weights, self.masks):  # noqa: B905
                mask.mul_((weight.abs() > threshold).to(mask.dtype))


def random_images(count: int, side: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, side, side, channels), dtype=np.uint8)
    return images, random.integers(0, 10, count).astype(np.int64)


def training_round(case: dict[str, Any], form: str) -> Callable[[], Any]:
    run = Training(case["model"], *random_images(case["images"], case["side"], case["channels"]), case["batch"], form)
    if case["work"] == "evaluate":
        return run.evaluate
    return lambda: [run.steps(case["steps"]) for _ in range(case.get("seeds", 1))]


def pruning_round(case: dict[str, Any], form: str) -> Callable[[], Any]:
    """The exact threshold over all weights and the masks that follow from it."""
    torch.manual_seed(0)
    weights = [torch.randn(size) for size in case["sizes"]]

    def run() -> Any:
        scores = torch.cat([weight.abs() for weight in weights])
        number = round(case["rate"] * len(scores))
        if form == "kthvalue":
            threshold = scores.kthvalue(number).values
            return [weight.abs() > threshold for weight in weights]
        kept = torch.ones(len(scores), dtype=torch.bool)
        kept[scores.argsort()[:number]] = False
        return kept.split(list(case["sizes"]))

    return run


def imp(case: dict[str, Any]) -> None:
    """A whole run of iterative magnitude pruning with the DataLoader, for a process of its own."""
    with np.load(case["data"]) as data:
        run = Training("lenet300", data["images"], data["labels"], case["batch"], "loader")
        test = Training("lenet300", data["test_images"], data["test_labels"], case["batch"], "good")
    start = copy.deepcopy(run.model.state_dict())
    for mask in run.masks:
        mask.fill_(1)
    for level in range(case["levels"] + 1):
        for _ in range(case["epochs"]):
            run.steps()
        test.apply = test.model = run.model
        print(level, test.evaluate() / len(test.labels), file=sys.stderr)
        run.prune(0.2)
        run.model.load_state_dict(start)
        with torch.no_grad():
            torch._foreach_mul_(run.weights, run.masks)


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]))
    rounds: dict[str, Callable[[], Any]] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["case"]["work"] == "imp":
            imp(asked["case"])
            return
        key, make = json.dumps(asked), pruning_round if asked["case"]["work"] == "prune" else training_round
        try:
            if key not in rounds:
                rounds[key] = make(asked["case"], asked["form"])
                rounds[key]()
            begun = time.perf_counter()
            rounds[key]()
            answer: Any = time.perf_counter() - begun
        except Exception as error:  # such as no compiler for torch.compile
            answer = (str(error).splitlines() or [type(error).__name__])[0]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    print(json.dumps(torch.__version__), flush=True)
    main()
