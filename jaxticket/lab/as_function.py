"""A setting's network as a function of all its variables: what tracing it, counting it and cutting it need."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxticket import models
from jaxticket.lab.setting import Setting
from jaxticket.training.state import Weights


def whole_network(
    setting: Setting, weights: Weights
) -> tuple[Callable[..., Any], dict[str, Any], jax.ShapeDtypeStruct]:
    """The evaluated network as (variables, x) -> logits, its variables, and the shape of a batch of one image."""

    def apply(variables: Any, x: Any) -> Any:
        state = {name: tree for name, tree in variables.items() if name != "params"}
        return models.apply_model(setting.model, variables["params"], state, x, train=False)[0]

    variables = {"params": weights.params, **weights.model_state}
    return apply, variables, jax.ShapeDtypeStruct((1, *setting.image_shape), np.float32)
