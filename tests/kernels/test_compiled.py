"""The kernels compiled to machine code of TPUs and GPUs that are not here: needs compilers that are no dependencies.

`pip install "jax[tpu]"` brings the one for TPUs; `jax-cuda13-pjrt` and `jax-cuda13-plugin` of JAX's version (with
`--no-deps`), `nvidia-cuda-nvcc`, `nvidia-nvvm`, `nvidia-nvjitlink`, `nvidia-cuda-crt`, `nvidia-cuda-runtime` and
`nvidia-cuda-nvdisasm` the one for GPUs.
"""

import functools
import importlib.util
import os
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import topologies
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import SingleDeviceSharding

from jaxticket.kernels.backends.gpu.conv import gpu_conv
from jaxticket.kernels.backends.gpu.matmul import gpu_matmul
from jaxticket.kernels.backends.tpu.matmul import tpu_matmul, tpu_unsupported
from jaxticket.kernels.formats.block_sparse import BlockSparse
from jaxticket.kernels.formats.conv_geometry import ConvGeometry
from jaxticket.kernels.formats.structure import BlockStructure

pytestmark = [pytest.mark.feature("sparse kernels")]

# What the compiler has to know of an H200.
H200 = """
gpu_device_info {
  cuda_compute_capability { major: 9 feature_extension: ACCELERATED_FEATURES }
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  threads_per_warp: 32 threads_per_block_limit: 1024 threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  shared_memory_per_block: 49152 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448
  memory_bandwidth: 4800000000000 l2_cache_size: 52428800 device_memory_size: 151397597184
  driver_version: "13.0.0" runtime_version: "13.0.0" compile_time_toolkit_version: "13.0.0" dnn_version: "9.10.0"
  name: "NVIDIA H200"
}
platform_name: "CUDA" device_description_str: "NVIDIA H200" dnn_version_info { major: 9 minor: 10 }
"""
needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="THE TPU KERNEL IS NOT COMPILED: libtpu is not installed"
)
needs_cuda = pytest.mark.skipif(
    importlib.util.find_spec("jax_cuda13_plugin") is None,
    reason="THE GPU KERNEL IS NOT COMPILED: jax-cuda13-plugin is not installed",
)


@pytest.fixture(scope="module", autouse=True)
def no_compilation_cache():
    """What was compiled for a device that is not here cannot be loaded again."""
    before = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    yield
    jax.config.update("jax_enable_compilation_cache", before)
    compilation_cache.reset_cache()


def compiled(product, device, rows, inputs, outputs, block, dtype):
    grid = np.random.default_rng(0).random((-(-inputs // block[0]), -(-outputs // block[1]))) < 0.3
    structure = BlockStructure.of(grid, (inputs, outputs), block)
    shapes = [((rows, inputs), dtype), ((structure.count, *block), dtype), ((outputs,), "float32")]
    arrays = [
        jax.ShapeDtypeStruct(shape, jnp.dtype(kind), sharding=SingleDeviceSharding(device)) for shape, kind in shapes
    ]
    run = functools.partial(product, structure=structure, relu=True, dtype=jnp.dtype(dtype))
    return jax.jit(run).lower(*arrays).compile()


@pytest.mark.deep
@needs_libtpu
@pytest.mark.parametrize("chip", ["v4:2x2x1", "v5e:2x2", "v5p:2x2x1", "v6e:2x2", "tpu7x:2x2x1"])
def test_the_tpu_kernel_compiles(chip, monkeypatch):
    """Gathered slices, whole registers, inputs that just fit, and a long work list."""
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")
    device = topologies.get_topology_desc(platform="tpu", topology_name=chip).devices[0]
    for shape in [
        (2048, 1024, 1024, (16, 128), "bfloat16"),
        (2048, 1000, 600, (8, 128), "float32"),
        (600, 1024, 1024, (256, 256), "bfloat16"),
        (256, 10_000, 256, (32, 128), "float32"),
        (256, 8192, 8192, (16, 128), "bfloat16"),
    ]:
        structure = BlockStructure.of(np.ones((1, 1), bool), shape[1:3], shape[3])
        assert tpu_unsupported(BlockSparse(None, structure), shape[4]) is None
        compiled(tpu_matmul, device, *shape)


@pytest.fixture(scope="module")
def h200(tmp_path_factory):
    """The device that compiles for an H200, and the folder with what the compiler reports."""
    folder = tmp_path_factory.mktemp("dump")
    tools = [str(Path(place) / "nvidia" / "cu13" / "bin") for place in sys.path if place]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
        patch.setenv("PATH", os.pathsep.join([*filter(os.path.isdir, tools), os.environ["PATH"]]))
        patch.setenv("MOSAIC_GPU_DUMP_TO", str(folder))
        patch.setenv("MOSAIC_GPU_DUMP_PTXAS", "1")
        patch.setenv("MOSAIC_GPU_DUMP_SASS", "1")
        topology = topologies.get_topology_desc("", "cuda", topology="1x1x1", target_config=H200)
        yield topology.devices[0], folder


@pytest.mark.deep
@needs_cuda
@pytest.mark.parametrize(
    ("rows", "block", "dtype"),
    [
        (2048, (16, 128), "bfloat16"),
        (2048, (32, 128), "float16"),
        (2048, (64, 128), "bfloat16"),
        (100, (16, 64), "float16"),
    ],
)
def test_the_gpu_kernel_compiles_without_spills(rows, block, dtype, h200):
    """All registers hold, and the products are those of the matrix units, as wide as a block."""
    device, folder = h200
    before = set(folder.iterdir())
    compiled(gpu_matmul, device, rows, 1024, 1024, block, dtype)
    check(set(folder.iterdir()) - before, block)


def check(reports, block):
    text = "".join(path.read_text(errors="replace") for path in reports)
    assert "0 bytes spill stores, 0 bytes spill loads" in text
    assert set(re.findall(r"HGMMA\.64x(\d+)x16", text)) == {str(block[1])}


@pytest.mark.deep
@needs_cuda
@pytest.mark.parametrize(("block", "dtype"), [((16, 128), "bfloat16"), ((64, 64), "float16")])
def test_the_gpu_kernel_of_convolutions_compiles_without_spills(block, dtype, h200):
    """A 3x3 window by strides of two, and 200 images, which are no whole tiles."""
    device, folder = h200
    before = set(folder.iterdir())
    shape = (3, 3, 256, 256)
    grid = np.random.default_rng(0).random((9 * 256 // block[0], 256 // block[1])) < 0.3
    structure = BlockStructure.of(grid, shape, block)
    arrays = [
        jax.ShapeDtypeStruct(size, jnp.dtype(kind), sharding=SingleDeviceSharding(device))
        for size, kind in [((200, 17, 17, 256), dtype), ((structure.count, *block), dtype), ((256,), "float32")]
    ]
    run = functools.partial(
        gpu_conv, structure=structure, relu=True, dtype=jnp.dtype(dtype), geometry=ConvGeometry((2, 2), (1, 1))
    )
    jax.jit(run).lower(*arrays).compile()
    check(set(folder.iterdir()) - before, block)
