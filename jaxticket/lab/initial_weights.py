"""Initial weights as stages: drawn from a seed, or given by `config.init`."""

from jaxticket import models
from jaxticket.core.keys import seed_key
from jaxticket.lab.derived import Derived, derive
from jaxticket.lab.given import given_network
from jaxticket.lab.recorder import Recorder
from jaxticket.lab.setting import Setting
from jaxticket.lab.stages.find_or_run import Stages
from jaxticket.lab.stages.references import WeightsRef
from jaxticket.training.state import Weights


def drawn_init(setting: Setting, stages: Stages, seed: int, stream: str) -> WeightsRef:
    """The network's initial weights; every `stream` of a seed is another draw."""

    def compute() -> Derived:
        return Derived(Weights(*models.init_variables(setting.model, seed_key(seed, stream), setting.image_shape)))

    config = {**setting.network_key(), "seed": seed, "stream": stream}
    return WeightsRef(derive(setting, stages, "init", compute, config=config, label=f"{stream}-{seed}"), "weights")


def given_init(setting: Setting, stages: Stages, recorder: Recorder) -> WeightsRef:
    """The weights of `config.init`; notes where those that a mask removed are missing. Raises as `Lab.init`."""
    path = setting.options.init
    weights, given = given_network(setting, stages, path, key="init", label="given weights")
    if not given.whole:
        recorder.remark(f"config.init={path!r}: the weights that its mask removed are not in it; they are 0")
    return weights
