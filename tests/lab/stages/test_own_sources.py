"""Networks, readers and measures that are not the package's: their sources and their data are in the keys."""

import dataclasses
import importlib
import sys
import textwrap

import numpy as np
import pytest

from jaxticket import data, models
from jaxticket.core.errors import ConfigError
from jaxticket.data import registry
from jaxticket.data.sources import find
from jaxticket.data.sources.digits import read_digits
from jaxticket.data.splits import Split, content_digest
from jaxticket.experiments import default_config, make_plan, resolve, run_experiment
from jaxticket.lab.dry_run_table import print_dry_run
from jaxticket.lab.lab import Lab
from jaxticket.lab.stages.own_sources import own_sources
from jaxticket.models.networks.lenet import LeNet300
from tests.small_runs import imp_options

pytestmark = [pytest.mark.feature("stages and caches")]

NETWORK = """
    from flax import linen as nn
    import widths

    class MyNet(nn.Module):
        num_classes: int

        @nn.compact
        def __call__(self, x, train=False):
            x = nn.Dense(widths.HIDDEN, name="fc1")(x.reshape(x.shape[0], -1))
            return nn.Dense(self.num_classes, name="head")(nn.relu(x))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes modules into a folder of the user's, and imports them anew."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(**files):
        for name, content in files.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(content))
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return {name: importlib.import_module(name) for name in files}

    yield write
    for name in ("my_net", "widths", "my_config", "reader"):
        sys.modules.pop(name, None)


def test_what_is_the_packages_own_has_no_digest():
    assert own_sources(LeNet300, *find.SOURCES.values(), read_digits) == ""


def test_edit_of_imported_file_is_another_digest(own):
    def digest(**files):
        return own_sources(own(**files)["my_net"].MyNet)

    first = digest(widths="HIDDEN = 8", my_net=NETWORK)
    assert first == digest(widths="HIDDEN = 8", my_net=NETWORK)
    wider = digest(widths="HIDDEN = 9", my_net=NETWORK)
    other = digest(widths="HIDDEN = 9", my_net=NETWORK.replace("relu(x)", "tanh(x)"))
    assert len({first, wider, other, ""}) == 4


def test_of_config_file_get_config_does_not_count(own):
    content = "def network():\n    return 1\n\n\ndef get_config():\n    return {}\n"

    def digest(text):
        return own_sources(own(my_config=text)["my_config"].network)

    first = digest(content)
    assert digest(content.replace("{}", "{'lr': 0.1}")) == first
    assert digest(content.replace("1", "2")) != first


def test_code_without_file_counts_by_what_it_does():
    def digest(text):
        names = {}
        exec(text, names)
        return own_sources(names["f"])

    assert digest("def f(x): return x + 1") == digest("def f(x):  # a comment\n    return x + 1")
    assert digest("def f(x): return x + 1") != digest("def f(x): return x + 2")


def ids_of(options):
    """Kinds of stages of a plan -> their ids."""
    plan = make_plan(*options)
    return {stage.kind: stage.id for stage in reversed(plan.stages)}


def test_an_edited_network_is_another_stage(own, tmp_path):
    found = []
    for content in (NETWORK, NETWORK, NETWORK.replace("relu(x)", "tanh(x)")):
        module = own(widths="HIDDEN = 8", my_net=content)["my_net"]
        models.register(models.Network("my_net", module.MyNet))
        found.append(ids_of((*imp_options(**{"model.name": "my_net"}), tmp_path)))
    assert found[0] == found[1]
    assert all(found[0][kind] != found[2][kind] for kind in ("init", "mask", "train", "prune"))


@pytest.fixture
def own_digits(monkeypatch):
    """The digits as a data set of the user's; its images can be changed."""
    splits = {name: Split(split.images.copy(), split.labels.copy()) for name, split in read_digits().items()}
    row = data.DatasetSpec(
        name="mine",
        version="1.0.0",
        image_shape=(8, 8, 1),
        class_names=tuple("0123456789"),
        train_size=1437,
        test_size=360,
        sources=(lambda spec, folder: splits,),
    )
    data.register(row)
    return splits


def test_other_images_are_other_stages_of_readers(own_digits, tmp_path):
    options = imp_options(**{"data.name": "mine"})
    before, again = (ids_of((*options, tmp_path)) for _ in range(2))
    assert before == again
    labels = own_digits["train"].labels
    zeros, ones = labels == 0, labels == 1
    labels[zeros], labels[ones] = 1, 0  # two classes change places
    after = ids_of((*options, tmp_path))
    assert {kind for kind in before if before[kind] == after[kind]} == {"init", "mask"}


def test_networks_are_evaluated_again_on_other_images(own_digits, tmp_path):
    def key():
        lab = Lab(imp_options(**{"data.name": "mine"})[1], tmp_path, execute=False)
        lab.evaluate(lab.init(0), lab.full_mask())
        return {stage.kind: stage.id for stage in lab.stages.asked.values()}

    before = key()
    own_digits["test"].labels[:] = own_digits["test"].labels[::-1].copy()
    after = key()
    assert {kind for kind in before if before[kind] != after[kind]} == {"evaluate"}


def test_a_dense_network_of_other_images_is_refused(own_digits, tmp_path):
    changes = {"data.name": "mine", "train.epochs": 1, "levels": 1}
    _, summary = run_experiment(*imp_options(**changes), tmp_path)
    dense = {**changes, "dense": str(tmp_path / "stages" / summary["rows"][0]["stage"])}
    assert make_plan(*imp_options(**dense), tmp_path).stages
    own_digits["train"].images[0] = 0
    with pytest.raises(ConfigError, match=r"config\.dense=.*'mine' whose images differ from today's; train one here"):
        make_plan(*imp_options(**dense), tmp_path)


def test_looks_with_other_images_are_others(small_run, own_digits, tmp_path):
    config = default_config("train")
    init = str(small_run.stage(small_run.rows[0]))
    config.update({"init": init, "analyse": True})
    config.train.epochs = 0
    config.data.name = "mine"
    options = resolve(config)
    before = ids_of((*options, tmp_path))
    own_digits["test"].images[:] = 0
    after = ids_of((*options, tmp_path))
    assert {kind for kind in before if before[kind] != after[kind]} == {"evaluate", "silence"}


def test_package_knows_content_of_its_own_data(own_digits, monkeypatch):
    assert data.is_vouched_for("digits")
    assert data.is_vouched_for("cifar10")
    assert not data.is_vouched_for("mine")
    assert not data.is_vouched_for("tiny_imagenet")  # no checksum is published
    registry.DATASETS.replace(dataclasses.replace(data.spec("mine"), name="digits"))
    assert not data.is_vouched_for("digits")
    assert data.load("mine").content == content_digest(own_digits)


def test_plan_without_data_says_keys_are_unknown(monkeypatch, tmp_path, capsys):
    options = imp_options(**{"data.name": "tiny_imagenet", "data.folder": str(tmp_path), "model.name": "resnet20"})
    monkeypatch.setenv("HOME", str(tmp_path))
    print_dry_run(make_plan(*options, tmp_path))
    assert "data: tiny_imagenet is not there to be read, and its content is in the keys" in capsys.readouterr().out


def test_users_functions_have_their_sources_in_key(own, small_run):
    def key(text):
        lab = Lab(small_run.options, small_run.workdir / "stages", execute=False)
        lab.measure("mine", own(reader=text)["reader"].measure, config={"n": 1})
        (stage,) = lab.stages.asked.values()
        return stage.key, stage.made_from["config"]

    one, other = key("def measure(): return {'a': 1}"), key("def measure(): return {'a': 2}")
    assert one[0] != other[0]
    assert {*one[1]} == {"n", "source"}


def test_digest_of_data_is_that_of_its_content():
    images, labels = np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1), np.arange(6, dtype=np.int32)
    first = content_digest({"train": Split(images, labels)})
    assert first == content_digest({"train": Split(images.copy(), labels.copy())})
    others = [Split(images[::-1], labels), Split(images, labels[::-1]), Split(images[:5], labels[:5])]
    assert len({first, *(content_digest({"train": split}) for split in others)}) == 4
