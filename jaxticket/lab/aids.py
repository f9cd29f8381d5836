"""Soft activations and ghost skips as an aid of the one trainer (Jaiswal et al. 2022)."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxticket import models
from jaxticket.core.errors import ConfigError
from jaxticket.lab.aid_options import AidOptions
from jaxticket.models.layers import activation
from jaxticket.recipes.annealing import annealed, soft_phase
from jaxticket.recipes.ghost_skips import ghost_parameters, ghost_plan, with_ghosts
from jaxticket.recipes.soft import soft_activation
from jaxticket.training.aids import Aid
from jaxticket.training.state import Weights


class NetworkAid(Aid):
    """Soft activations, ghost skips, or both, in a network of `jaxticket.models`.

    Both follow the step, so a run that begins late is in the phase of its step. They end together, with the one that
    lasts longer.

    `image_shape` is (height, width, channels), `total_steps` those of a whole training run.

    Raises:
        ConfigError: the network does not have the activation that is softened, or no layer that a skip could pass.
    """

    def __init__(self, model: Any, image_shape: Sequence[int], options: AidOptions, total_steps: int) -> None:
        plain = getattr(model, "activation", None)
        if options.activation and plain is None:
            raise ConfigError(
                f"config.aids.activation={options.activation!r}: is a soft ReLU, and the network takes none; call "
                "self.activation in it, a field or argument with default nn.relu, or set config.aids.activation to ''"
            )
        if options.activation and plain not in ("relu", jax.nn.relu):
            raise ConfigError(
                f"config.aids.activation={options.activation!r}: is a soft ReLU, and the network's activation is "
                f"{plain!r}; set config.model.options.activation to 'relu', or config.aids.activation to ''"
            )
        self._model, self._options = model, options
        self._plain = activation(plain) if plain is not None else jax.nn.relu
        shares = [options.activation_share] * bool(options.activation) + [options.ghost_share] * options.ghost_skips
        self._steps = None if options.permanent else max(_steps(share, total_steps) for share in shares)
        soft_steps = None if options.permanent else _steps(options.activation_share, total_steps)
        ghost_steps = None if options.permanent else _steps(options.ghost_share, total_steps)
        self._phase = soft_phase(options.activation or "swish", soft_steps, options.betas)
        self._strength = annealed(options.ghost_strength, ghost_steps)
        self.plan = self._planned(tuple(image_shape)) if options.ghost_skips else {}

    @property
    def steps(self) -> int | None:
        """The first step of the plain network; None where the aids are permanent."""
        return self._steps

    def begin(self, params: Any, model_state: Any, key: jax.Array) -> tuple[Any, Any]:
        """The parameters of the ghost skips."""
        del params, model_state
        return ghost_parameters(self.plan, key, self._options.ghost_start)

    def apply(
        self,
        own: Weights,
        params: Any,
        model_state: Any,
        images: jax.Array,
        step: jax.Array,
        *,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, Any, Any]:
        """The network as it is at a step."""
        act = self._plain
        if self._options.activation:
            beta, blend = self._phase(step)
            act = functools.partial(soft_activation, kind=self._options.activation, beta=beta, blend=blend)

        def forward(act: Any) -> tuple[jax.Array, Any]:
            model = models.with_activation(self._model, act)
            return models.apply_model(model, params, model_state, images, train=train, key=key)

        if not self.plan:
            return *forward(act), own.model_state
        strength = self._strength(step)
        (logits, state), after = with_ghosts(forward, self.plan, *own, strength, act, train=train)
        return logits, state, after

    def _planned(self, image_shape: tuple[int, ...]) -> Any:
        shapes = models.abstract_variables(self._model, image_shape)
        images = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)

        def forward(act: Any, params: Any, model_state: Any, x: jax.Array) -> Any:
            return models.apply_model(models.with_activation(self._model, act), params, model_state, x, train=True)

        plan = ghost_plan(forward, (*shapes, images), self._plain, self._options.ghost_layers)
        if not plan:
            network = type(getattr(self._model, "network", self._model)).__name__
            raise ConfigError(
                f"config.aids.ghost_layers={self._options.ghost_layers!r}: no layer of this {network} qualifies for a "
                "ghost skip; choose others, such as 'conv' or 'dense', or set config.aids.ghost_skips to False"
            )
        return plan


def _steps(share: float, total: int) -> int:
    return max(round(share * total), 1)
