"""What layers are predicted to cost, and decisions by it."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxticket.core.errors import ConfigError
from jaxticket.kernels import BlockSparse, Timings, known_timings, load_timings, tune
from jaxticket.kernels.backends.cost_model import Rates, dense_work, fit_rates
from jaxticket.kernels.backends.xla.work import gathered_work
from jaxticket.kernels.convert.choose_format import choose_format
from jaxticket.kernels.convert.device_rates import FOLDER_VARIABLE
from jaxticket.kernels.formats.conv_geometry import ConvGeometry
from jaxticket.kernels.layer_shape import LayerShape

pytestmark = [pytest.mark.feature("sparse kernels")]

rate = st.floats(0.0, 1e3)
# So little a time that it looks like none is still compared, not divided by a floor.
_TINY = Rates((0.0, 0.0, 4e-294), (0.0, 0.0, 0.0), (0.0,) * 5)


@settings(max_examples=60, deadline=None)
@example(rates=_TINY, density=0.0, min_speedup=1.05)
@given(
    rates=st.builds(Rates, st.tuples(rate, rate, rate), st.tuples(rate, rate, rate), st.tuples(*[rate] * 5)),
    density=st.sampled_from([0.0, 0.2, 0.6]),
    min_speedup=st.sampled_from([1.05, 2.0]),
)
def test_a_slower_prediction_is_never_picked(rates, density, min_speedup):
    """The dispatcher takes the form of least predicted time, and none that is not faster by enough."""
    random = np.random.default_rng(0)
    grid = random.random((4, 4)) < density
    kernel = np.kron(grid, random.standard_normal((8, 8))).astype(np.float32)
    call, block = LayerShape((64, 32), (32, 32), "float32"), (8, 8)
    timings = Timings("some", {"float32": rates})
    how = {"block": block, "min_speedup": min_speedup, "timings": timings, "measure": False}
    weight, report = choose_format("fc/kernel", kernel, [call], **how)
    dense = rates.dense_seconds(call)

    def seconds(weight):  # what is stored is the least that it can cost
        return max(rates.sparse_seconds(call, weight, gathered_work), dense * weight.nbytes / kernel.nbytes)

    blocks = seconds(BlockSparse.from_dense(kernel, None, block))
    if weight is not None:
        chosen = seconds(weight)
        assert chosen * min_speedup <= dense * (1 + 1e-9)
        assert chosen <= blocks
        assert report.predicted == (dense, chosen)
    else:
        assert blocks * min_speedup >= dense * (1 - 1e-9)


def test_work_is_counted():
    kernel = np.zeros((3, 3, 4, 16), np.float32)
    kernel[0, 0, :, :8] = kernel[2, 2, :, :8] = kernel[1, 1, :, 8:] = 1
    weight = BlockSparse.from_dense(kernel, None, (4, 8))
    geometry = ConvGeometry((2, 2), (1, 1), ((1, 1), (1, 1)))
    call = LayerShape((2, 9, 7, 4), kernel.shape, "float32", geometry)
    assert call.rows == 2 * 5 * 4
    assert dense_work(call) == (40 * 36 * 16, 2 * 9 * 7 * 4 + 36 * 16 + 40 * 16, 1)
    assert gathered_work(call, weight) == (40 * (8 * 8 + 4 * 8), 40 * 12, 40 * 36, 40 * 16, 2)


def test_rates_are_found_from_measurements():
    """Rates that are not negative come back from times that they make."""
    works = np.random.default_rng(0).random((12, 3)) * [1e9, 1e6, 1]
    found = fit_rates(works, works @ [2e-11, 0.0, 3e-5])
    np.testing.assert_allclose(found, [2e-11, 0.0, 3e-5], atol=1e-15)


def test_tuning_writes_what_later_processes_read(tmp_path, monkeypatch):
    """Nothing is written unasked; what is written is found through the environment, and damage is refused."""
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    shipped = known_timings()
    assert set(shipped.rates) == {"float32"}
    monkeypatch.setattr("jaxticket.kernels.convert.device_rates._MATMULS", ((512, 64, 64), (256, 64, 128)))
    monkeypatch.setattr("jaxticket.kernels.convert.device_rates._CONVOLUTIONS", ((1, 8, 16),))
    monkeypatch.setattr("jaxticket.kernels.convert.device_rates._DENSITIES", (0.5,))
    found = tune(tmp_path / "timings", rounds=1)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "timings"))
    assert known_timings().rates == found.rates
    assert len(found.points) == 3 * 3
    (file,) = (tmp_path / "timings").iterdir()
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "rates": {"float32": {}}}))
    with pytest.raises(ConfigError, match="call tune again"):
        load_timings(tmp_path / "timings")
    with pytest.raises(ConfigError, match="dtypes='int8'"):
        tune(dtypes=["int8"])
    assert jnp.asarray(found.rates["float32"].sparse).min() >= 0
