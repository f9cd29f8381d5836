"""Groups of every network of the table, and of Linen and NNX models it has not seen; nothing is computed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from jaxticket.core import paths
from jaxticket.interop.nnx import functional
from jaxticket.models import abstract_variables, create_model, names
from jaxticket.structure.channel_groups.trace import channel_groups

pytestmark = [pytest.mark.feature("channel groups")]


@functools.cache
def collect_groups(name, **options):
    model = create_model(name, 10, **options)
    params, state = abstract_variables(model, (32, 32, 3))
    return channel_groups(model.apply, {"params": params, **state}, jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32))


def kernels(group, role):
    """Leaves that make or read the channels of a group, without `params/` and `/kernel`."""
    found = (part.path.removeprefix("params/").removesuffix("/kernel") for part in group.slices if part.role == role)
    return sorted(found)


def flow(groups):
    """What makes, and what reads, the channels of each group, and how many there are."""
    return {(" ".join(kernels(group, "output")), " ".join(kernels(group, "input")), group.size) for group in groups}


# One network of each kind; the others are deeper or wider ones of the same code.
KINDS = {
    "alexnet", "conv2", "conv3", "densenet40", "lenet300", "lenet5", "mobilenet_v1", "mobilenet_v2", "preresnet",
    "resnet18", "resnet20", "shufflenet_v2", "vgg11", "vit_ti",
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [name if name in KINDS else pytest.param(name, marks=pytest.mark.deep) for name in names()]
)
def test_every_network_has_groups(name):
    """Image channels and classes stay; every other output of a kernel is in a group, and positions fit the leaves."""
    model = create_model(name, 10)
    params, state = abstract_variables(model, (32, 32, 3))
    leaves = paths.leaves({"params": params, **state})
    groups = collect_groups(name)
    covered = {}
    for group in groups.groups:
        for part in group.slices:
            assert part.index.shape[0] == group.size
            covered.setdefault((part.path, part.axis), []).append(part.index.ravel())
    for (path, axis), index in covered.items():
        np.testing.assert_array_equal(np.sort(np.concatenate(index)), np.arange(leaves[path].shape[axis]))
    for path, leaf in leaves.items():
        assert (path, len(leaf.shape) - 1) in covered or path.endswith(("class_token", "position"))
    assert groups.of("params/head/kernel", 1).reason == "they are an axis of an output"
    first = "params/fc1/kernel" if name == "lenet300" else "params/stem/kernel"
    assert groups.of(first, len(leaves[first].shape) - 2).reason == "they are an axis of an input"
    reasons = {group.reason for group in groups.groups} - {""}
    allowed = {"they are an axis of an output", "they are an axis of an input"}
    if name.startswith("vit"):
        allowed |= {"reduce_sum runs over them, as in a normalisation or softmax"}
        allowed |= {"their sum of products is scaled by 8, which depends on their number"}
    if name == "shufflenet_v2":
        allowed |= {"it is the only channel of its kind"}
    assert reasons <= allowed
    prunable = {place for group in groups.prunable for place in ((part.path, part.axis) for part in group.slices)}
    statistics = {path for path in leaves if path.startswith("batch_stats")}
    assert name == "shufflenet_v2" or {path for path, _ in prunable} >= statistics


def test_lenet300():
    groups = collect_groups("lenet300")
    assert flow(groups.prunable) == {("fc1", "fc2", 300), ("fc2", "head", 100)}
    assert [part.path for part in groups.of("params/fc1/kernel", 1).slices if part.role == "vector"] == [
        "params/fc1/bias"
    ]


def test_vgg11_is_a_chain_with_its_normalisations():
    groups = collect_groups("vgg11")
    makers = sorted((maker, reader) for maker, reader, _ in flow(groups.prunable))
    assert [maker for maker, _ in makers] == sorted({"stem", *(reader for _, reader in makers)} - {"head"})
    assert sorted(size for *_, size in flow(groups.prunable)) == [64, 128, 256, 256, 512, 512, 512, 512]
    vectors = {part.path for part in groups.of("params/stage2_conv1/kernel", 3).slices if part.role == "vector"}
    assert vectors == {
        f"{kind}/stage2_conv1_bn/{name}"
        for kind, name in (("params", "scale"), ("params", "bias"), ("batch_stats", "mean"), ("batch_stats", "var"))
    }


def residual_stages(blocks):
    """Makers of each stage's channels by the rule of residual networks: the shortcut, and the end of every block."""
    stage1 = ["stem", *(f"stage1_block{i}/conv2" for i in range(blocks))]
    others = [[f"stage{s}_block0/shortcut", *(f"stage{s}_block{i}/conv2" for i in range(blocks))] for s in (2, 3)]
    return {" ".join(sorted(stage)) for stage in (stage1, *others)}


def test_resnet20_ties_the_stages_through_their_shortcuts():
    groups = collect_groups("resnet20").prunable
    inner = {(f"stage{s}_block{i}/conv1", f"stage{s}_block{i}/conv2", 8 << s) for s in (1, 2, 3) for i in range(3)}
    found = flow(groups)
    assert inner <= found
    assert {makers for makers, _, _ in found - inner} == residual_stages(3)
    assert sorted(size for *_, size in found - inner) == [16, 32, 64]


def test_resnet20_with_padded_shortcuts_keeps_its_stages():
    """Zero channels are put beside those of a stage, as many as depend on their number."""
    groups = collect_groups("resnet20", shortcut="pad")
    assert {makers for makers, *_ in flow(groups.prunable)} == {
        f"stage{s}_block{i}/conv1" for s in (1, 2, 3) for i in range(3)
    }
    assert groups.of("params/stage2_block1/conv2/kernel", 3).reason == "they are padded"


def test_mobilenet_v1_ties_depthwise_to_pointwise():
    groups = collect_groups("mobilenet_v1").prunable
    assert len(groups) == 14
    assert {len(kernels(group, "output")) for group in groups} == {1, 2}
    assert sum(group.size for group in groups) == 32 + 64 + 2 * 128 + 2 * 256 + 6 * 512 + 2 * 1024
    assert all(len(kernels(group, "input")) == 1 for group in groups)


def test_densenet40_reads_channels_in_all_later_layers():
    groups = collect_groups("densenet40").prunable
    assert len(groups) == 39
    stem = next(group for group in groups if "stem" in kernels(group, "output"))
    assert (stem.size, len(kernels(stem, "input"))) == (24, 13)
    sizes = sorted({group.size for group in groups})
    assert sizes[0] == 12


def test_shufflenet_ties_the_halves_but_not_the_branches():
    """The inner 58 or more channels of each block go one by one, those that are shuffled in sets."""
    groups = collect_groups("shufflenet_v2").prunable
    inner = {(group.size, len(kernels(group, "output"))) for group in groups if len(kernels(group, "output")) == 2}
    assert inner == {(24, 2), (58, 2), (116, 2), (232, 2)}
    assert sorted(group.size for group in groups if len(kernels(group, "output")) > 2) == [6, 29]


def test_vit_loses_the_hidden_features_of_its_perceptrons():
    groups = collect_groups("vit_ti")
    assert flow(groups.prunable) == {(f"block{i}/mlp1", f"block{i}/mlp2", 768) for i in range(12)}
    assert "normalisation" in groups.of("params/position", 2).reason
    assert "scaled by 8" in groups.of("params/block0/qkv/kernel", 1).reason


class Linen(nn.Module):
    """Two kinds of normalisation, an embedding of positions, Flax's attention and a transposed convolution."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.BatchNorm(use_running_average=True, name="bn")(nn.Conv(8, (3, 3), name="conv")(x)))
        x = nn.relu(nn.GroupNorm(2, name="gn")(nn.ConvTranspose(12, (2, 2), (2, 2), name="up")(x)))
        x = nn.max_pool(nn.Conv(6, (1, 1), name="mix")(x), (2, 2), (2, 2))
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        x = x + nn.Embed(x.shape[1], x.shape[2], name="positions")(jnp.arange(x.shape[1]))[None]
        x = nn.MultiHeadDotProductAttention(4, qkv_features=20, name="attention")(x, x)
        return nn.Dense(3, name="head")(x.mean(axis=1))


def test_an_unseen_linen_model():
    x = jax.ShapeDtypeStruct((1, 4, 4, 2), jnp.float32)
    variables = jax.eval_shape(Linen().init, jax.random.key(0), x)
    groups = channel_groups(Linen().apply, variables, x)
    assert flow(groups.prunable) == {
        ("conv", "up", 8),
        ("attention/key attention/query attention/value", "attention/out", 4),
        ("attention/value", "attention/out", 5),
        ("attention/out", "head", 6),
        ("mix positions/embedding", "attention/key attention/query attention/value", 6),
    }
    assert groups.of("params/up/kernel", 3).reason == "a reshape splits them by a factor that the function fixes"
    assert groups.of("params/attention/query/kernel", 2).reason.startswith("their sum of products is scaled")


class Nnx(nnx.Module):
    """A convolution with normalisation and two dense layers."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(2, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.fc = nnx.Linear(8, 5, rngs=rngs)
        self.head = nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.conv(x))).mean(axis=(1, 2))
        return self.head(nnx.relu(self.fc(x)))


def test_an_unseen_nnx_model():
    """Statistics that the function closes over hold their channels; with them in `params` all can go."""
    x = jax.ShapeDtypeStruct((1, 4, 4, 2), jnp.float32)
    model = Nnx(nnx.Rngs(0))
    fn, params = functional(model)
    groups = channel_groups(fn, params, x)
    assert flow(groups.prunable) == {("fc", "head", 5)}
    assert groups.of("conv/kernel", 3).reason == "a constant of shape (8,) meets them, which is no part of params"
    model.eval()
    graph, state = nnx.split(model)
    groups = channel_groups(lambda state, x: nnx.merge(graph, state, copy=True)(x), nnx.to_pure_dict(state), x)
    assert flow(groups.prunable) == {("conv", "fc", 8), ("fc", "head", 5)}
    conv = groups.of("conv/kernel", 3)
    assert {part.path for part in conv.slices if part.role == "vector"} == {
        "conv/bias", "norm/scale", "norm/bias", "norm/mean", "norm/var"
    }  # fmt: skip
