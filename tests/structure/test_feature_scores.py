"""Scores of channels from a layer's own output, channels last."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.core.errors import MaskError
from jaxticket.structure.feature_scores import feature_scores

pytestmark = [pytest.mark.feature("smaller networks (shrink)")]

# Two images of two channels, written with the channels second and stored with them last.
FEATURES = jnp.asarray(np.moveaxis((np.arange(16, dtype=np.float32) - 6).reshape(2, 2, 2, 2), 1, -1))


@pytest.mark.parametrize(("kind", "expected"), [("l1", [32, 34]), ("l2", [140, 236])])
def test_sums_over_batch_and_space(kind, expected):
    """Feature criteria."""
    assert feature_scores(FEATURES, kind).tolist() == expected


def test_saliency_is_the_sum_of_the_absolute_products():
    gradients = jnp.where(FEATURES > 0, -0.5, 2.0)
    expected = np.abs(np.asarray(FEATURES) * np.asarray(gradients)).sum((0, 1, 2))
    found = jax.jit(lambda f, g: feature_scores(f, "saliency", g))({"conv": FEATURES}, {"conv": gradients})
    assert found["conv"].tolist() == expected.tolist()


def test_half_precision_is_summed_in_single():
    features = jnp.full((64, 8, 8, 1), 0.1, jnp.bfloat16)
    found = feature_scores(features, "l1")
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, [4096 * float(features[0, 0, 0, 0])], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FEATURES, "l3"), "kind='l3': must be one of l1, l2, saliency"),
        ((FEATURES, "saliency"), "with gradients missing"),
        ((FEATURES, "l1", FEATURES), "with gradients given"),
        ((FEATURES, "saliency", FEATURES[:1]), "they must be the same"),
        ((FEATURES[0, 0, 0], "l1"), r"\[batch, \*space, channels\]"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    with pytest.raises(MaskError, match=message):
        feature_scores(*arguments)
