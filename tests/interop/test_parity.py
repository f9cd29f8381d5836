"""The networks are PyTorch's: from PyTorch's weights they give PyTorch's logits."""

import functools

import jax
import numpy as np
import pytest

from jaxticket.interop import from_torch, read_torch
from jaxticket.models import apply_model, create_model
from jaxticket.storage import save_arrays

pytestmark = [pytest.mark.feature("other frameworks")]

OPTIONS = {
    "resnet20": {},
    "resnet18": {"variant": "imagenet"},
    "vgg16": {"last_pool": "max"},
    "mobilenet_v2": {"variant": "imagenet"},
    "densenet121": {"variant": "imagenet"},
    "shufflenet_v2": {"variant": "imagenet"},
}


def logits(name, converted, images, **options):
    forward = jax.jit(functools.partial(apply_model, create_model(name, 10, **options), train=False))
    return np.asarray(forward(converted.params, converted.model_state, images.transpose(0, 2, 3, 1))[0])


@pytest.mark.parametrize("name", OPTIONS)
def test_logits_are_those_of_pytorch(name, golden, writer, tmp_path):
    size = int(golden.values[f"{name}/size"])
    state_dict = golden.state_dict(name)
    if name == "resnet20":
        path = tmp_path / "network.safetensors"
        save_arrays(path, state_dict)
    else:
        path = tmp_path / "network.pth"
        writer.save(path, state_dict)
    converted = from_torch(name, read_torch(path), image_shape=(size, size, 3), **OPTIONS[name])
    assert converted.mask == {}
    ours = logits(name, converted, golden.filling.images(size), **OPTIONS[name])
    theirs = golden.values[f"{name}/logits"]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=min(1e-4, 2e-5 * np.abs(theirs).max()))
    assert np.abs(theirs[0] - theirs[1]).max() > 0.05 * np.abs(theirs).max()  # they depend on the image


def test_a_real_pruned_checkpoint_gives_logits_of_pytorch(golden):
    options = {"width": 0.25, "shortcut": "pad"}
    state_dict = read_torch(golden.folder / "torch_resnet20.pth")
    converted = from_torch("resnet20", state_dict, image_shape=(32, 32, 3), **options)
    ours = logits("resnet20", converted, golden.filling.images(32), **options)
    np.testing.assert_allclose(ours, golden.values["torch_resnet20.pth/logits"], rtol=0, atol=1e-4)
