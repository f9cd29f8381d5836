"""The training of a dense network that was done before, compared with what an experiment asks for now."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from flax.traverse_util import flatten_dict

from jaxticket import storage
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import chosen, to_dict
from jaxticket.data.options import DataOptions
from jaxticket.lab.lab import Lab
from jaxticket.lab.stages.own_sources import with_contents
from jaxticket.lab.stages.references import Stage
from jaxticket.models.options import ModelOptions
from jaxticket.training.options import TrainOptions


def check_dense(kept: int, total: int, named: str) -> None:
    """Refuses a network that `config.dense` names and that keeps `kept` of its `total` prunable weights.

    Raises:
        ConfigError: these are not all.
    """
    if kept != total:
        raise ConfigError(
            f"config.dense={named!r}: is sparse, with {kept} of {total} weights; must be a dense training"
        )


def check_made_alike(lab: Lab, stage: Stage, named: str) -> None:
    """Refuses a training on other data, of another network or of a sparse one; says where the recipe is another.

    Raises:
        ConfigError: naming the option, its value there and here.
    """
    config, where = stage.made_from["config"], f"config.dense={named!r}: "
    mask = stage.made_from["inputs"]["mask"].partition("/")[0]
    kept = (storage.read_manifest(stage.folder.parent / mask) or {}).get("mask", {})
    check_dense(kept.get("kept", 0), kept.get("total", 0), named)
    options, names = lab.options, {field.name for field in dataclasses.fields(DataOptions)}
    data_key = lab.setting.data_key()
    model = _different(config["model"], with_contents(chosen(options.model)), ModelOptions())
    its_data, ours = ({name: kept[name] for name in names & kept.keys()} for kept in (config["data"], data_key))
    data = _different(its_data, ours, DataOptions())
    augment = [line for line in data if line.startswith("augment.")]
    for part, lines in (("model", model), ("data", [line for line in data if line not in augment])):
        if lines:
            raise ConfigError(f"{where}was trained with {part}.{lines[0]}; set config.{part} to its, or train one here")
    contents = config["data"].get("content"), lab.setting.data_content or None
    if contents[0] != contents[1] and None not in contents:
        raise ConfigError(
            f"{where}was trained on a data set {options.data.name!r} whose images differ from today's; train one here"
        )
    recipe = options.aids.training(options.train).computed
    said = [f"train.{line}" for line in _different(config["train"], with_contents(chosen(recipe)), TrainOptions())]
    said += [f"data.{line}" for line in augment]
    if (its := config.get("aids", {})) != (ours := with_contents(options.aids.key())):
        said.append(f"aids={its} (here {ours})")
    if said:
        lab.recorder.remark(f"{where}was trained with {', '.join(said)}")


def _different(theirs: Mapping[str, Any], ours: Mapping[str, Any], defaults: Any) -> list[str]:
    """`lr=0.1 (here 0.01)` for every option that differs; both have what is not the default."""
    default = flatten_dict(to_dict(defaults), sep=".")
    one, other = ({**default, **flatten_dict(dict(found), sep=".")} for found in (theirs, ours))
    different = [key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]
    return [f"{key}={one.get(key)!r} (here {other.get(key)!r})" for key in different]
