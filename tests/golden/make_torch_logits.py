"""Writes torch_logits.npz, torch_resnet20.pth and torch_tensors.pth: what PyTorch says, for tests without PyTorch.

    python tests/golden/make_torch_logits.py

Needs torch 2.13 and torchvision, which the project does not depend on. To be run again only when a network, the
weights of `torch_filling` or a file's content is meant to change.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune
from torch_filling import fill, images

# A torchvision that was built for another torch has no operators, but declares these two; the networks need neither.
for operator in ("nms", "qnms"):
    torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from torchvision import models  # noqa: E402

HERE = Path(__file__).resolve().parent


class Block(nn.Module):
    """A basic block of He et al. 2016a; its shortcut is a 1x1 convolution (`conv`) or zero channels (`pad`)."""

    def __init__(self, inputs, features, stride, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, features, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.missing = (features - inputs) // 2
        self.shortcut = nn.Sequential()
        if self.missing and shortcut == "conv":
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, features, 1, stride, bias=False), nn.BatchNorm2d(features))
            self.missing = 0

    def forward(self, x):
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.missing:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.missing, self.missing))
        return functional.relu(y + self.shortcut(x))


class ResNet20(nn.Module):
    def __init__(self, width=16, shortcut="conv"):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for i in range(3):
            features = width * 2**i
            strides = (2 if i else 1, 1, 1)
            blocks = [Block(inputs if j == 0 else features, features, s, shortcut) for j, s in enumerate(strides)]
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
            inputs = features
        self.linear = nn.Linear(inputs, 10)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class VGG16(nn.Module):
    def __init__(self):
        super().__init__()
        layers, inputs = [], 3
        for features, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(count):
                layers += [nn.Conv2d(inputs, features, 3, padding=1, bias=False), nn.BatchNorm2d(features), nn.ReLU()]
                inputs = features
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(512, 10)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


NETWORKS = {
    "resnet20": (ResNet20, 32),
    "resnet18": (lambda: models.resnet18(num_classes=10), 64),
    "vgg16": (VGG16, 32),
    "mobilenet_v2": (lambda: models.mobilenet_v2(num_classes=10), 64),
    "densenet121": (lambda: models.densenet121(num_classes=10), 64),
    "shufflenet_v2": (lambda: models.shufflenet_v2_x1_0(num_classes=10), 64),
}


def filled(model):
    state = {name: torch.from_numpy(fill(name, tuple(t.shape))) for name, t in model.state_dict().items()}
    model.load_state_dict(state)
    return model.eval()


def logits_of(model, size):
    with torch.no_grad():
        return model(torch.from_numpy(images(size))).numpy()


def shapes_of(model):
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    return np.array(json.dumps(shapes, separators=(",", ":")))


def logits():
    stored = {"resnet50/shapes": shapes_of(models.resnet50())}
    for name, (make, size) in NETWORKS.items():
        model = filled(make())
        stored[f"{name}/shapes"] = shapes_of(model)
        stored[f"{name}/size"] = np.array(size)
        stored[f"{name}/logits"] = logits_of(model, size)
        print(name, np.abs(stored[f"{name}/logits"]).max(), stored[f"{name}/logits"][0, :3])
    return stored


def pruned_checkpoint(path):
    """A training checkpoint of a data-parallel ResNet-20 of width 4, two of its convolutions pruned; its logits."""
    model = filled(ResNet20(width=4, shortcut="pad"))
    prune.l1_unstructured(model.layer1[0].conv1, "weight", amount=0.5)
    prune.random_unstructured(model.layer3[2].conv2, "weight", amount=0.8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [80, 120])
    checkpoint = {
        "epoch": 7,
        "arch": "resnet20",
        "best_acc1": torch.tensor(91.5),
        "state_dict": nn.DataParallel(model).state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
    }
    torch.save(checkpoint, path)
    return logits_of(model, 32)


def odd_tensors(path):
    """Tensors of all dtypes and layouts; tests/interop/test_torch_files.py says what is in them."""
    base = torch.arange(24, dtype=torch.float32)
    dtypes = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8)
    tensors = {str(dtype).removeprefix("torch."): torch.arange(-3, 3).to(dtype) for dtype in dtypes}
    tensors |= {
        "uint8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([[True], [False]]),
        "parameter": nn.Parameter(torch.full((2, 1), 0.5)),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "shared_first": base[:12].reshape(3, 4),
        "shared_transposed": base[12:].reshape(3, 4).T,
        "shared_every_third": base[2::3],
        "repeated": torch.tensor([1.0, 2.0]).expand(3, 2),
    }
    torch.save({**tensors, "step": 3, "note": "no tensor", "dtype": torch.float32, "shape": torch.Size((2, 3))}, path)


def main():
    torch.manual_seed(0)
    stored = logits()
    stored["torch_resnet20.pth/logits"] = pruned_checkpoint(HERE / "torch_resnet20.pth")
    np.savez_compressed(HERE / "torch_logits.npz", **stored)
    odd_tensors(HERE / "torch_tensors.pth")


if __name__ == "__main__":
    main()
