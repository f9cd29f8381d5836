"""Every registered backend keeps the contract; `backend=` takes those of one's own, wherever it is an option."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxticket as jt
from jaxticket import kernels
from jaxticket.core.errors import ConfigError
from tests.kernels.backend_contract import case, check
from tests.kernels.test_sparsify import BLOCK, IDEAL, block_mask, forms, images, linen_net, masked_outputs

pytestmark = [pytest.mark.feature("sparse kernels")]


@pytest.mark.parametrize("name", kernels.BACKENDS.names())
def test_a_backend_keeps_the_contract(name):
    check(name)


def dense_matmul(x, weight, epilogue):
    return epilogue(jnp.dot(x, weight.to_dense(), preferred_element_type=jnp.float32))


def test_the_last_one_of_a_device_comes_first():
    calls = []

    def counted(x, weight, epilogue):
        calls.append(x.shape)
        return dense_matmul(x, weight, epilogue)

    def reason(weight, dtype, images):
        return "it is asked too much" if weight.shape[0] > 100 else None

    kernels.register_backend(kernels.Backend("counted", counted, device="cpu", unsupported_reason=reason))
    x, weight, _ = case("float32")
    found = jt.block_matmul(x, weight)
    assert calls == [x.shape]
    np.testing.assert_allclose(found, jt.block_matmul(x, weight, backend="xla"), atol=1e-4)
    assert kernels.backends.dispatch.choose_backend(None, case("float32", inputs=128)[1], "float32") == (
        "xla",
        "it is asked too much",
    )


def test_a_model_runs_by_the_backend_asked_for():
    kernels.register_backend(kernels.Backend("mine", dense_matmul))
    model, variables = linen_net()
    mask, x = block_mask(variables["params"]), images()
    how = {"block": BLOCK, "check_speed": False, "shrink": False, "min_speedup": 0, "backend": "mine"}
    found = jt.sparsify(model, variables, mask, x, **how)
    assert forms(found)["fc1"] != "dense"
    reasons = {layer.path: layer.reason for layer in found.report.layers}
    assert reasons["params/fc1/kernel"].endswith(", by the mine kernel")
    assert reasons["params/conv2/kernel"] == "backend='mine' cannot run it, for it has none for convolutions"
    expected = masked_outputs(model.apply, variables, mask, x)
    np.testing.assert_allclose(found.apply(found.variables, x), expected, atol=1e-5)
    with pytest.raises(ConfigError, match="timings of backend=None, but backend='mine'"):
        jt.sparsify(model, variables, mask, x, **how, timings=IDEAL)
    with pytest.raises(ConfigError, match="backend='nobody': not available here"):
        jt.sparsify(model, variables, mask, x, backend="nobody")
