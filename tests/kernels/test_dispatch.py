"""Which backend runs a product, and that a kernel differentiates and maps like the product that it replaces."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxticket.core.errors import ConfigError
from jaxticket.kernels import BlockSparse, DenseGroups, Timings, block_conv, block_matmul, differentiable
from jaxticket.kernels.backends.dispatch import choose_backend
from jaxticket.kernels.convert.choose_format import choose_format
from jaxticket.kernels.epilogue import Epilogue
from jaxticket.kernels.formats.conv_geometry import ConvGeometry
from jaxticket.kernels.layer_shape import LayerShape

pytestmark = [pytest.mark.feature("sparse kernels")]

CUSTOM_CALLS = {"tpu": ("tpu", "@tpu_custom_call"), "gpu": ("cuda", "@mosaic_gpu")}


def case(dtype="bfloat16", block=(16, 128), inputs=64, outputs=256, rows=8):
    """x, a weight of which half of the blocks are kept, and a bias."""
    random = np.random.default_rng(0)
    grid = np.arange((inputs // block[0]) * (outputs // block[1])).reshape(-1, outputs // block[1]) % 3 > 0
    x, weight = (jnp.asarray(random.standard_normal(shape), dtype) for shape in ((rows, inputs), (inputs, outputs)))
    mask = np.kron(grid, np.ones(block, bool)).astype(bool)
    return x, BlockSparse.from_dense(weight, mask, block), jnp.asarray(random.standard_normal(outputs), jnp.float32)


@pytest.fixture
def device(request, monkeypatch):
    """Takes this machine for one with another device: programs can be lowered for it, and run on the CPU."""
    monkeypatch.setattr(jax, "default_backend", lambda: request.param)
    return request.param


@pytest.mark.parametrize("device", ["tpu", "gpu"], indirect=True)
@pytest.mark.parametrize("activation", [None, "relu", jnp.tanh])
def test_each_device_gets_its_kernel(device, activation):
    x, weight, bias = case()
    product = jax.jit(lambda x, w, b: block_matmul(x, w, bias=b, activation=activation))
    platform, name = CUSTOM_CALLS[device]
    traced = product.trace(x, weight, bias)
    assert traced.lower(lowering_platforms=(platform,)).as_text().count(name) == 1
    assert "custom_call" not in traced.lower(lowering_platforms=("cpu",)).as_text()
    asked = jax.jit(lambda x, w: block_matmul(x, w, backend=device)).trace(x, weight)
    assert asked.lower(lowering_platforms=(platform,)).as_text().count(name) == 1
    plain = jax.jit(lambda x, w: block_matmul(x, w, backend="xla")).trace(x, weight)
    assert name not in plain.lower(lowering_platforms=(platform,)).as_text()
    expected = np.asarray(x, np.float64) @ np.asarray(weight.to_dense(), np.float64) + np.asarray(bias, np.float64)
    expected = {None: lambda y: y, "relu": lambda y: np.maximum(y, 0), jnp.tanh: np.tanh}[activation](expected)
    np.testing.assert_allclose(np.asarray(product(x, weight, bias), np.float64), expected, atol=1e-4, rtol=2**-8)


@pytest.mark.parametrize("device", ["tpu", "gpu"], indirect=True)
def test_windows_of_one_pixel_are_matmuls(device):
    x, weight, _ = case()
    kernel = BlockSparse.from_dense(weight.to_dense().reshape(1, 1, 64, 256), None, (16, 128))
    images = x.reshape(2, 2, 2, 64)
    platform, name = CUSTOM_CALLS[device]

    def loss(images, kernel):
        return block_conv(images, kernel, activation="relu").astype(jnp.float32).sum()

    program = jax.jit(jax.grad(loss, (0, 1))).trace(images, kernel).lower(lowering_platforms=(platform,)).as_text()
    assert program.count(name) == 1  # forwards; backwards there is none


@pytest.mark.parametrize("device", ["tpu", "gpu", "cpu"], indirect=True)
def test_xla_does_what_a_kernel_cannot(device):
    _, weight, _ = case()
    _, small, _ = case(block=(16, 32))
    dense = np.asarray(weight.to_dense(), np.float32)
    groups = DenseGroups.from_dense(dense)
    if device == "cpu":
        assert choose_backend(None, weight, "bfloat16") == ("xla", "there is none for cpu")
        return
    assert choose_backend(None, weight, "bfloat16") == (device, "it has a kernel for this")
    assert choose_backend("xla", weight, "bfloat16") == ("xla", "it was asked for")
    assert choose_backend(None, groups, "float32") == ("xla", "groups are dense products, which XLA does")
    wide = {"gpu": "blocks are 16x32, neither", "tpu": "blocks are 32 outputs wide"}[device]
    assert choose_backend(None, small, "bfloat16").reason.startswith(wide)
    assert choose_backend(None, weight, "float32").backend == {"gpu": "xla", "tpu": "tpu"}[device]
    with pytest.raises(ConfigError, match=f"backend='{device}': no kernel for this product, for blocks are"):
        choose_backend(device, small, "bfloat16")
    with pytest.raises(ConfigError, match=f"not available here; available: {device}, xla on {device}"):
        choose_backend("tpu" if device == "gpu" else "gpu", weight, "bfloat16")


@pytest.mark.parametrize("device", ["tpu", "gpu"], indirect=True)
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_a_sharded_batch_is_multiplied_by_xla(device, kind):
    x, weight, _ = case()
    mesh = jax.make_mesh((2,), ("data",), axis_types=(kind,), devices=jax.devices()[:2])
    x = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    platform, name = CUSTOM_CALLS[device]
    how = {"mesh": mesh, "in_specs": (PartitionSpec("data"), PartitionSpec()), "out_specs": PartitionSpec("data")}
    for product, kernels in [
        (lambda x, w: block_matmul(x, w), 0),
        (jax.shard_map(lambda x, w: block_matmul(x, w), **how), 0),
        (jax.shard_map(lambda x, w: block_matmul(x, w), **how, check_vma=False), 1),
    ]:
        assert jax.jit(product).trace(x, weight).lower(lowering_platforms=(platform,)).as_text().count(name) == kernels
    with pytest.raises(ConfigError, match="it is spread over devices"):
        jax.eval_shape(lambda x, w: block_matmul(x, w, backend=device), x, weight)


@pytest.mark.parametrize("device", ["tpu", "cpu"], indirect=True)
def test_the_report_says_what_runs_a_layer(device):
    kernel = np.asarray(case()[1].to_dense(), np.float32)
    how = {"min_speedup": 0, "timings": Timings("some", {}), "measure": False}
    geometry = ConvGeometry((1, 1), (1, 1), ((1, 1), (1, 1)))
    convolution = LayerShape((1, 8, 8, 16), (2, 2, 16, 256), "float32", geometry)
    for call, block, end in [
        (LayerShape((8, 64), (64, 256), "float32"), (16, 128), ", by the tpu kernel"),
        (LayerShape((8, 64), (64, 256), "float32"), (16, 32), ", by XLA, for blocks are 32 outputs wide"),
        (convolution, (16, 128), ", by XLA, for there is none for convolutions on tpu"),
    ]:
        reason = choose_format("fc/kernel", kernel.reshape(call.kernel), [call], block=block, **how)[1].reason
        assert reason.startswith("asked for, whatever it costs" + (end if device == "tpu" else ""))
        assert (", by" in reason) == (device == "tpu")


def test_another_generation_of_gpus_has_no_kernel(monkeypatch):
    class Blackwell:
        compute_capability = "10.0"

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [Blackwell()])
    assert choose_backend(None, case()[1], "bfloat16") == ("xla", "this GPU has compute capability 10.0, not 9")


SHAPES = []


def counted(x, values, bias, *, structure, relu, dtype):
    """In the place of a kernel: the dense product, and a note of the number of rows."""
    SHAPES.append(x.shape)
    product = jnp.dot(x, BlockSparse(values, structure).to_dense()) + bias[None]
    return (jax.nn.relu(product) if relu else product).astype(dtype)


def by_kernel(x, weight, bias, activation="relu"):
    return differentiable(counted)(x, weight, Epilogue(bias, activation, jnp.dtype("float32")))


def plain(x, weight, bias, activation="relu"):
    return Epilogue(bias, activation, jnp.dtype("float32"))(jnp.dot(x, weight.to_dense()))


def losses(activation):
    def of(product):
        return lambda x, w, b: (product(x, w, b, activation) ** 2).mean()

    return of(by_kernel), of(plain)


@pytest.mark.parametrize("activation", [None, "relu", jnp.tanh])
def test_a_kernel_differentiates_like_the_product(activation):
    arguments = case("float32", (8, 16), 24, 48)
    for order in (lambda f: jax.grad(f, (0, 1, 2)), jax.grad):
        found, expected = (jax.jit(order(loss))(*arguments) for loss in losses(activation))
        jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5), found, expected)
    x, weight, bias = arguments
    found, expected = (
        jax.jvp(lambda x, p=product: p(x, weight, bias, activation), (x,), (x,))[1] for product in (by_kernel, plain)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_mapped_axis_becomes_rows():
    x, weight, bias = case("float32", (8, 16), 24, 48)
    many = jnp.stack([x, 2 * x, -x])
    expected = jnp.stack([plain(part, weight, bias) for part in many])
    SHAPES.clear()
    np.testing.assert_allclose(jax.jit(jax.vmap(by_kernel, (0, None, None)))(many, weight, bias), expected, atol=1e-5)
    assert SHAPES[-1] == (24, 24)
    several = jnp.stack([bias, bias + 1, bias])
    found = jax.jit(jax.vmap(by_kernel, (0, None, 0)))(many, weight, several)
    np.testing.assert_allclose(found[1], plain(2 * x, weight, bias + 1), atol=1e-5)

    def slope(product):
        return jax.jit(jax.grad(lambda w: (jax.vmap(product, (0, None, None))(many, w, bias) ** 2).mean()))(weight)

    np.testing.assert_allclose(slope(by_kernel).values, slope(plain).values, atol=1e-4)
