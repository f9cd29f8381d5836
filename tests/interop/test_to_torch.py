"""A state dict that came from PyTorch goes back: same names, layouts, dtypes and bits; zeros where it was pruned."""

import importlib.util

import numpy as np
import pytest

from jaxticket.core.errors import ConfigError, TicketError
from jaxticket.interop import from_torch, read_torch, to_torch

pytestmark = [pytest.mark.feature("other frameworks")]


@pytest.mark.parametrize("name", ["resnet20", "vgg16"])
def test_state_dict_comes_back_bit_for_bit(golden, name, tmp_path):
    state = golden.state_dict(name) | {"bn1.num_batches_tracked": np.asarray(7)}
    converted = from_torch(name, state, image_shape=(32, 32, 3))
    wrapped = {f"module.{tensor}": value for tensor, value in state.items()}
    back = to_torch(name, converted.params, converted.model_state, wrapped, file=tmp_path / "back.safetensors")
    assert back.keys() == state.keys()
    for tensor, value in read_torch(tmp_path / "back.safetensors").items():
        np.testing.assert_array_equal(value, state[tensor])
        assert value.dtype == state[tensor].dtype


def test_pruned_weights_come_back_as_zeros(golden):
    state = read_torch(golden.folder / "torch_resnet20.pth")
    converted = from_torch("resnet20", state, image_shape=(32, 32, 3), width=0.25, shortcut="pad")
    back = to_torch("resnet20", converted.params, converted.model_state, state)
    name = "layer3.2.conv2.weight"
    np.testing.assert_array_equal(back[name], state[f"{name}_orig"] * state[f"{name}_mask"])
    assert not any(tensor.endswith(("_mask", "_orig")) for tensor in back)


def test_networks_and_tensors_that_misfit_are_refused(golden, tmp_path):
    state = golden.state_dict("resnet20")
    converted = from_torch("resnet20", state, image_shape=(32, 32, 3))
    with pytest.raises(ConfigError, match="'lenet5' cannot be converted to PyTorch"):
        to_torch("lenet5", {}, {}, state)
    fewer = {name: value for name, value in state.items() if name != "bn1.weight"}
    with pytest.raises(TicketError, match="no tensor gives params/stem_bn/scale"):
        to_torch("resnet20", converted.params, converted.model_state, fewer, file=tmp_path / "never.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
def test_pytorch_loads_what_was_written(tmp_path):
    import torch
    from safetensors.torch import load_file

    layers = torch.nn.ModuleDict({"features": torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, bias=False))})
    layers["classifier"] = torch.nn.Linear(8, 10)
    like = {name: tensor.numpy() for name, tensor in layers.state_dict().items()}
    kernels = np.arange(216.0).reshape(3, 3, 3, 8), np.arange(80.0).reshape(8, 10)
    params = {"stem": {"kernel": kernels[0]}, "head": {"kernel": kernels[1], "bias": np.zeros(10)}}
    to_torch("vgg11", params, {}, like, file=tmp_path / "t.safetensors")
    layers.load_state_dict(load_file(tmp_path / "t.safetensors"))
    x = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    np.testing.assert_allclose(layers["classifier"](torch.tensor(x)).detach().numpy(), x @ kernels[1], rtol=1e-5)
    assert float(layers["features"][0].weight.detach()[5, 2, 1, 0]) == kernels[0][1, 0, 2, 5]
