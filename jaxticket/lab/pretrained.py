"""The dense network that an experiment prunes: trained now, or before, or given."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxticket.core import masks
from jaxticket.core.errors import ConfigError
from jaxticket.lab.given import given_network, given_ticket, split_name
from jaxticket.lab.lab import Lab
from jaxticket.lab.made_alike import check_dense, check_made_alike
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.stages.references import MaskRef, Stage, WeightsRef, stage_in, stored_weights
from jaxticket.lab.trained import WEIGHTS, Trained
from jaxticket.ticket import DESCRIPTION


@dataclasses.dataclass(frozen=True)
class Dense:
    """A dense network, and where its tickets may be rewound to.

    Attributes:
        weights: what is pruned.
        trained: the training that is a row; None where it is not known, or `weights` are not of its end: then they are
            evaluated.
        points: optimizer steps -> the weights of then, 0 for the initial ones; those that are known.
        named: how the configuration named it.
        facts: what else its row says.
    """

    weights: WeightsRef
    trained: Trained | None
    points: Mapping[int, WeightsRef]
    named: str = ""
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def at(self, step: int, *, instead: str) -> WeightsRef:
        """The weights after a step; 0 are the initial ones.

        Args:
            step: how many steps of its training.
            instead: what can be done where they are not known.

        Raises:
            ConfigError: they are not.
        """
        if step in self.points:
            return self.points[step]
        if step:
            known = ", ".join(map(str, sorted(self.points))) or "none"
            raise ConfigError(
                f"config.dense={self.named!r}: its weights at the rewind point are not known: asked for step {step}, "
                f"known are {known}; rewind to one of those, or train it here"
            )
        raise ConfigError(
            f"config.dense={self.named!r}: its initial weights are not known, so that nothing can be rewound to them; "
            f"{instead}, or name them with config.init"
        )


def dense_network(lab: Lab, options: ExperimentOptions, mask: MaskRef, *, seed: int, rewind_step: int = 0) -> Dense:
    """The network of `config.dense`, else one that is trained, as a row; one whose training is not known is evaluated.

    Where it is trained, the weights after `rewind_step` are kept too. `mask` keeps everything; `options` have a key
    `dense`.
    """
    named = getattr(options, "dense", "")
    if named:
        dense = loaded_dense(lab, named, seed=seed)
    else:
        init = lab.init(seed)
        trained = lab.train(init, mask, seed=seed, label=f"dense-0-{seed}", snapshot_step=rewind_step)
        dense = Dense(trained.weights, trained, {0: init, **({rewind_step: trained.snapshot} if rewind_step else {})})
    evaluated = {"start_step": lab.setting.duration.total_steps, "label": f"dense-0-{seed}"}
    trained = dense.trained or lab.train(dense.weights, mask, seed=seed, **evaluated)
    start = dense.points.get(0, dense.weights)
    lab.record("dense", 0, seed, trained, mask, start=start, facts=dense.facts)
    return dense


def loaded_dense(lab: Lab, named: str, *, seed: int) -> Dense:
    """A network that was trained before.

    What follows from a stage has the keys, and so the results, it has where that stage was made. Its tickets go back to
    its own initial weights, whatever `seed` says.

    Args:
        lab: whose network and data it must be of.
        named: a stage `train-...` of any work folder, with `:exact10` or `:best10` for weights that were saved on the
            way; a ticket with trained weights; or a file of weights.
        seed: of the initial weights where `config.init` names some and the network has none.

    Raises:
        ConfigError: there is nothing of the kind, or it was trained on other data or is sparse.
        TicketError: a file is damaged.
        MaskError: it belongs to another network.
    """
    path, name = split_name(named, key="dense")
    if re.fullmatch(r"train-[0-9a-f]{12}", path.absolute().name) and (stage := stage_in(path, label="dense")):
        return _of_stage(lab, stage, name, named, seed)
    if (path / DESCRIPTION).is_file():
        weights, _, ticket = given_ticket(lab, path, key="dense")
        if ticket.meta.get("weights") != "trained":
            raise ConfigError(
                f"config.dense={named!r}: holds the weights of a rewind point; must be a ticket whose "
                "meta['weights'] is 'trained', or a stage train-..."
            )
        mask = ticket.mask
    elif path.is_dir():
        raise ConfigError(
            f"config.dense={named!r}: is no finished training; must be a folder WORKDIR/stages/train-..., a ticket "
            "with trained weights, or a file of weights"
        )
    else:
        weights, given = given_network(lab, named, key="dense", label=path.name)
        mask = given.mask
    check_dense(*masks.count(mask), named)
    return Dense(weights, None, {0: lab.init(seed)} if lab.options.init else {}, named)


def _of_stage(lab: Lab, stage: Stage, name: str, named: str, seed: int) -> Dense:
    lab.stages.asked.setdefault(stage.id, stage)
    trained = Trained(stage, WEIGHTS[lab.options.train.select_checkpoint])
    weights = trained.weights
    if name:
        saved = sorted(file.stem for file in stage.folder.glob("*.safetensors") if re.search(r"\d$", file.stem))
        if name not in saved:
            has = ", ".join(saved) or "none; config.train.save_epochs keeps some"
            raise ConfigError(f"config.dense={named!r}: weights that were saved on the way are {has}")
        weights = WeightsRef(stage, name)
    loaded = weights.load()
    lab.setting.check_same_network(loaded.params, Path(named), key="dense", model_state=loaded.model_state)
    if not stage.made_from:
        return Dense(weights, None if name else trained, {}, named)  # of a version that did not say
    check_made_alike(lab, stage, named)
    if lab.options.init:
        raise ConfigError(
            f"config.init={lab.options.init!r}: {named} has initial weights of its own; leave config.init empty"
        )
    points = {0: init} if (init := _own_init(lab, stage)) else {}
    points |= {step: WeightsRef(stage, saved) for step, saved in _saved_steps(stage).items()}
    facts = {}
    if (its := stage.made_from["config"].get("seed", seed)) != seed:
        lab.recorder.remark(f"config.dense={named!r}: has seed {its}; its tickets go back to its own initial weights")
        facts["dense_seed"] = its
    return Dense(weights, None if name else trained, points, named, facts)


def _own_init(lab: Lab, stage: Stage) -> WeightsRef | None:
    """The initial weights of a training: beside it, or made again; None where neither is possible."""
    stages, key = stage.folder.parent, stage.made_from["inputs"]["start"]
    if key.startswith("lrsi-") and (scaled := stored_weights(stages, key)):
        key = scaled.stage.made_from.get("inputs", {}).get("start", key)
    found = stored_weights(stages, key)
    if found is None:
        drawn = lab.init(stage.made_from["config"]["seed"])
        return drawn if drawn.key == key else None
    lab.stages.asked.setdefault(found.stage.id, found.stage)
    return found


def _saved_steps(stage: Stage) -> dict[int, str]:
    """Optimizer steps after which weights were kept -> their names."""
    steps = {line["epoch"]: line["step"] for line in stage.content.get("history", ())}
    saved = {steps[epoch]: f"exact{epoch}" for epoch in stage.content.get("saved_epochs", ()) if epoch in steps}
    snapshot = stage.made_from["config"].get("snapshot_step", 0)
    return {**saved, **({snapshot: "snapshot"} if snapshot else {})}
