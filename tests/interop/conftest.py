import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Golden:
    """What PyTorch said, and the state dicts to which it said that."""

    def __init__(self):
        self.folder = GOLDEN
        self.filling = load(GOLDEN / "torch_filling.py")
        with np.load(GOLDEN / "torch_logits.npz") as stored:
            self.values = dict(stored)

    def shapes(self, network):
        return {name: tuple(shape) for name, shape in json.loads(str(self.values[f"{network}/shapes"])).items()}

    def state_dict(self, network):
        return {name: self.filling.fill(name, shape) for name, shape in self.shapes(network).items()}


@pytest.fixture(scope="session")
def golden():
    return Golden()


@pytest.fixture(scope="session")
def writer():
    return load(HERE / "torch_writer.py")
