"""What SynFlow is for: at extreme sparsity one scoring of SNIP empties layers, SynFlow's rounds do not."""

import jax
import jax.numpy as jnp
import pytest

from jaxticket import models
from jaxticket.core import masks
from jaxticket.core.criteria.snip import snip
from jaxticket.core.criteria.synflow import synflow_prune
from jaxticket.core.prune import prune
from jaxticket.core.scope_counts import empty_layers

pytestmark = [pytest.mark.feature("exact pruning")]


@pytest.mark.slow
@pytest.mark.deep
def test_synflow_keeps_every_layer_of_vgg16_alive(record_property):
    """Tanaka et al. (2020), section 3: VGG-16 with 99.9 % of its weights gone. SNIP is only shown."""
    image = (32, 32, 3)
    model = models.create_model("vgg16", 10)
    params, state = models.init_variables(model, jax.random.key(0), image)
    full = masks.full_mask(params)

    def apply(params, x, train=False):
        return models.apply_model(model, params, state, x, train=train)[0]

    mask = synflow_prune(apply, params, full, (1, *image), sparsity=0.999, rounds=100)
    kept, total = masks.count(mask)
    assert total - kept == round(0.999 * total)
    assert empty_layers(mask) == []
    images = jax.random.normal(jax.random.key(1), (32, *image))
    labels = jnp.arange(32, dtype=jnp.int32) % 10
    scores = snip(lambda p, x: apply(p, x, train=True), params, full, [(images, labels)])
    emptied = empty_layers(prune(full, scores, sparsity=0.999))
    record_property("layers that SNIP empties", ", ".join(emptied))
    print(f"SNIP at 99.9 % empties {len(emptied)} of {len(full)} layers: {', '.join(emptied)}")
