"""Options of the aids of sparse training; loads nothing heavy."""

import dataclasses
from typing import Any

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import chosen, option
from jaxticket.lab.stages.own_sources import own_sources
from jaxticket.recipes.choices import GHOST_LAYERS, GHOST_STARTS
from jaxticket.recipes.lrsi_options import LrsiOptions
from jaxticket.recipes.soft import SOFT_ACTIVATIONS
from jaxticket.training.options import TrainOptions


@dataclasses.dataclass(frozen=True)
class AidOptions:
    """The four aids of ToST (Jaiswal et al. 2022), each a switch of its own; what comes out is the plain network.

    Attributes:
        activation: a soft activation that replaces ReLU in the first steps; empty for none. `pswish` is a swish that
            gets sharper, the others are blended into ReLU in a straight line.
        activation_share: share of all steps with the soft activation.
        betas: sharpness of a swish at the first step, and, for `pswish`, at the last soft step.
        ghost_skips: add bypasses around hidden layers in the first steps; their strength falls in a straight line to 0.
        ghost_share: share of all steps with ghost skips.
        ghost_strength: their strength at the first step.
        ghost_layers: which layers get one: `auto` takes convolutions with a window if there are any that qualify, else
            1x1 convolutions, else dense layers; `conv` both kinds of convolutions; `dense` dense layers.
        ghost_start: the initial weights of the bypasses: kernels of 0.0001 (`constant`), or random ones behind a
            normalisation whose scale is 0 (`bn_gamma0`).
        permanent: keep soft activation and ghost skips as they are at the first step, as in the authors' program; the
            trained network is then another one, and no ticket is saved.
        label_smoothing: share of the target that is spread over the other classes in training; replaces
            `train.label_smoothing`. The authors use 0.1.
        rescale_init: scale the initial weights, layer by layer, before the first step.
        rescale_init_options: options of that scaling.
    """

    activation: str = option("", choices=lambda: ("", *SOFT_ACTIVATIONS.names()))
    activation_share: float = option(0.5, above=0, maximum=1)
    betas: tuple[float, float] = option((1.0, 20.0), above=0)
    ghost_skips: bool = option(False)
    ghost_share: float = option(0.5, above=0, maximum=1)
    ghost_strength: float = option(1.0, above=0)
    ghost_layers: str = option("auto", choices=GHOST_LAYERS)
    ghost_start: str = option("constant", choices=GHOST_STARTS)
    permanent: bool = option(False)
    label_smoothing: float = option(0.0, minimum=0, below=1)
    rescale_init: bool = option(False)
    rescale_init_options: LrsiOptions = LrsiOptions()

    @property
    def in_network(self) -> "AidOptions | None":
        """What acts in the network while it trains, and nothing else; None where nothing does."""
        off = AidOptions()
        kept = {"permanent": self.permanent}
        if self.activation:
            kept |= {name: getattr(self, name) for name in ("activation", "activation_share", "betas")}
        if self.ghost_skips:
            names = ("ghost_skips", "ghost_share", "ghost_strength", "ghost_layers", "ghost_start")
            kept |= {name: getattr(self, name) for name in names}
        return dataclasses.replace(off, **kept) if len(kept) > 1 else None

    @property
    def stays(self) -> bool:
        """Whether the trained network is not the plain one."""
        return self.permanent and self.in_network is not None

    def training(self, train: TrainOptions) -> TrainOptions:
        """How to train, with the smoothing of labels; a `ConfigError` where the loss has none to smooth."""
        if not self.label_smoothing:
            return train
        if train.loss != TrainOptions.loss:
            raise ConfigError(
                f"config.aids.label_smoothing={self.label_smoothing}: smooths the labels of cross_entropy, found "
                f"config.train.loss={train.loss!r}; leave this aid, or the treatment with it, out"
            )
        return dataclasses.replace(train, label_smoothing=self.label_smoothing, label_smoothing_kind="off_target")

    def key(self) -> dict[str, Any]:
        """What a training run depends on; empty where nothing acts in the network.

        A soft activation that is not the package's has a digest of its sources in it.
        """
        function = SOFT_ACTIVATIONS.get(self.activation).function if self.activation else None
        source = own_sources(function) if function else ""
        return {**chosen(self.in_network), **({"source": source} if source else {})} if self.in_network else {}


def check_aids(aids: AidOptions, train: TrainOptions) -> None:
    """Refuses labels that are smoothed twice, with a `ConfigError`."""
    if aids.label_smoothing and train.label_smoothing:
        raise ConfigError(
            f"config.aids.label_smoothing={aids.label_smoothing}: "
            f"config.train.label_smoothing={train.label_smoothing} is set too; "
            "set one of them to 0"
        )
