"""Initial weights as stages: drawn from a seed, or given by `config.init`."""

from jaxticket import models
from jaxticket.core.errors import ConfigError
from jaxticket.core.keys import seed_key
from jaxticket.lab.derived import Derived, derive
from jaxticket.lab.given import WHAT, given_weights, read_given
from jaxticket.lab.recorder import Recorder
from jaxticket.lab.setting import Setting
from jaxticket.lab.stages.memo import Stages
from jaxticket.lab.stages.references import WeightsRef
from jaxticket.training.state import Weights


def drawn_init(setting: Setting, stages: Stages, seed: int, stream: str) -> WeightsRef:
    """The network's initial weights; every `stream` of a seed is another draw."""

    def compute() -> Derived:
        return Derived(Weights(*models.init_variables(setting.model, seed_key(seed, stream), setting.image_shape)))

    config = {**setting.network_key(), "seed": seed, "stream": stream}
    return WeightsRef(derive(setting, stages, "init", compute, config=config, label=f"{stream}-{seed}"), "weights")


def given_init(setting: Setting, stages: Stages, recorder: Recorder) -> WeightsRef:
    """The weights that `config.init` names; it is noted where those that a mask removed are missing.

    Raises:
        ConfigError: it names nothing that has weights.
        TicketError: a file of it is damaged.
        MaskError: it belongs to another network.
    """
    path = setting.options.init
    given = read_given(setting, stages.folder, path, key="init")
    if given.weights is None:
        raise ConfigError(f"config.init={path!r}: has a mask and no weights; must be {WHAT}")
    if not given.whole:
        recorder.remark(f"config.init={path!r}: the weights that its mask removed are not in it; they are 0")
    return given_weights(setting, stages, given.weights, label="given weights")
