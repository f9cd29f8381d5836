"""Inside of `resized`, stored shapes rule over those that modules declare; outside, nothing has changed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from flax.errors import ScopeParamShapeError

from jaxticket.structure.shrink.resized import fit_nnx, resized

pytestmark = [pytest.mark.feature("smaller networks (shrink)")]


class Words(nn.Module):
    """Layers declared in `setup`, one of them rematerialised."""

    def setup(self):
        self.embed = nn.Embed(10, 8)
        self.norm = nn.LayerNorm()
        self.hidden = nn.remat(nn.Dense)(8)
        self.gain = self.param("gain", nn.initializers.ones, (8,))

    def __call__(self, tokens):
        return self.embed.attend(self.hidden(self.norm(self.embed(tokens))) * self.gain[None, None])


TOKENS = jnp.arange(6).reshape(2, 3)


def smaller(variables, size=5):
    """The first channels of every axis of 8."""
    return jax.tree.map(lambda a: a[tuple(slice(size if n == 8 else n) for n in a.shape)], variables)


def test_linen_module_computes_with_what_is_stored():
    module = Words()
    variables = smaller(module.init(jax.random.key(0), TOKENS))
    with pytest.raises(ScopeParamShapeError):
        module.apply(variables, TOKENS)
    found = jax.jit(resized(module.apply))(variables, TOKENS)
    p = variables["params"]
    x = p["embed"]["embedding"][TOKENS]
    x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)
    x = (x @ p["hidden"]["kernel"]) * p["gain"][None, None]
    np.testing.assert_allclose(found, x @ p["embed"]["embedding"].T, rtol=1e-4, atol=1e-5)
    with pytest.raises(ScopeParamShapeError):
        module.apply(variables, TOKENS)


def test_missing_parameters_are_made_as_declared():
    module = Words()
    made = jax.eval_shape(resized(module.init), jax.random.key(0), TOKENS)
    assert jax.tree.map(jnp.shape, made) == jax.tree.map(jnp.shape, module.init(jax.random.key(0), TOKENS))


def test_declared_sizes_are_back_after_an_error():
    class Outer(nn.Module):
        inner: nn.Module

        @nn.compact
        def __call__(self, x):
            try:
                return self.inner(x)
            finally:
                seen.append(self.inner.features)

    seen = []
    module = Outer(nn.Dense(8))
    variables = smaller(module.init(jax.random.key(0), jnp.zeros((1, 3))))
    assert resized(module.apply)(variables, jnp.zeros((1, 3))).shape == (1, 5)
    with pytest.raises(TypeError):
        resized(module.apply)(variables, jnp.zeros((1, 4)))  # no kernel of 3 inputs takes 4
    assert seen == [8, 8, 8]


def test_a_plain_function_is_called_as_it_is():
    assert resized(lambda params, x, *, factor: params * x * factor)(2, 3, factor=4) == 24


def test_nnx_layers_get_the_sizes_of_their_arrays():
    class Layers(nnx.Module):
        def __init__(self, rngs):
            self.embed = nnx.Embed(10, 8, rngs=rngs)
            self.attend = nnx.MultiHeadAttention(2, 8, 12, decode=False, rngs=rngs)
            self.linear = nnx.Linear(8, 3, rngs=rngs)
            self.depthwise = nnx.Conv(8, 16, (3,), feature_group_count=8, rngs=rngs)

        def __call__(self, tokens):
            x = self.attend(self.embed(tokens))
            return self.linear(x), self.depthwise(x)

    graph, state = nnx.split(Layers(nnx.Rngs(0)))
    state = jax.tree.map(lambda a: a[tuple(slice({8: 5, 16: 10}.get(n, n)) for n in a.shape)], state)
    model = fit_nnx(nnx.merge(graph, state))
    assert (model.linear.in_features, model.depthwise.feature_group_count, model.attend.head_dim) == (5, 5, 6)
    assert [y.shape for y in model(TOKENS)] == [(2, 3, 3), (2, 3, 10)]
