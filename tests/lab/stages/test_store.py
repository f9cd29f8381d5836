"""What there is to know of the stages of a work folder, and what to do with them."""

import json
import os
import shutil

import pytest

from jaxticket import storage
from jaxticket.core.errors import ConfigError
from jaxticket.experiments import make_plan
from jaxticket.lab.dry_run_table import print_dry_run
from jaxticket.lab.stages import fingerprint
from jaxticket.lab.stages.store import adopt, gc, list_stages, why
from tests.small_runs import imp_options

pytestmark = [pytest.mark.feature("stages and caches")]


@pytest.fixture
def workdir(small_run, tmp_path):
    """A copy of one experiment with the stages it asks for, whatever else the shared folder has, and a stray stage."""
    asked = json.loads((small_run.folder / "config.json").read_text())["stages"]
    for name in (small_run.folder.name, *(f"stages/{stage}" for stage in (fingerprint.SOURCES, *asked))):
        shutil.copytree(small_run.workdir / name, tmp_path / "runs" / name, copy_function=os.link)
    stage = tmp_path / "runs" / "stages" / "train-0123456789ab"
    storage.write_bytes(stage / "file", b"12345")
    storage.write_manifest(stage, ["file"], {})
    return tmp_path / "runs"


def test_every_stage_is_listed_with_its_users(workdir, small_run):
    entries = {entry.id: entry for entry in list_stages(workdir)}
    (own,) = (folder.name for folder in workdir.glob("imp-*"))
    for row in json.loads((workdir / own / "summary.json").read_text())["rows"]:
        entry = entries[row["stage"]]
        assert (entry.kind, entry.complete, entry.changed) == ("train", True, ())
        assert own in entry.used_by
        assert entry.sources == fingerprint.fingerprint()
        assert entry.made_from["config"]["train"]["optimizer"] == "adam"
        assert entry.size > 100_000
        assert 0 <= entry.age < 24 * 3600
    stray = entries["train-0123456789ab"]
    assert (stray.used_by, stray.sources, stray.changed, stray.made_from) == ((), None, None, {})
    assert {"init", "mask", "prune", "train"} <= {entry.kind for entry in entries.values()}


def test_why_a_stage_is_not_there(workdir, small_run):
    experiment, options = imp_options(**{"train.lr": 0.004, "levels": 1})
    plan = make_plan(experiment, options, workdir)
    todo = [stage for stage in plan.stages if not stage.cached]
    train, prune = todo[0], next(stage for stage in todo if stage.kind == "prune")
    reason = why(workdir, train.made_from)
    assert reason.different == {"config.train.lr": (0.004, 0.003)}
    assert str(reason) == f"{small_run.rows[0]['stage']} is nearest, but for config.train.lr=0.004 (there 0.003)"
    assert why(workdir, prune.made_from).only_follows
    assert str(why(workdir, {"kind": "refill", "config": {}, "inputs": {}})) == "nothing of this kind is finished"
    done = plan.stages[0]
    assert str(why(workdir, done.made_from)) == "is done, and is done again"


def test_a_plan_says_why_something_is_to_do(workdir, capsys):
    print_dry_run(make_plan(*imp_options(**{"train.lr": 0.004, "levels": 1}), workdir))
    printed = capsys.readouterr().out
    assert "(dense-0-0): train-" in printed
    assert "is nearest, but for config.train.lr=0.004 (there 0.003)" in printed
    assert "not there because they start from other stages: " in printed


def test_plan_of_another_network_says_why_once(workdir, capsys):
    print_dry_run(make_plan(*imp_options(**{"model.name": "lenet5", "model.options": {"padding": "same"}}), workdir))
    lines = [line for line in capsys.readouterr().out.splitlines() if "is nearest" in line]
    assert len({line.partition("-")[0] for line in lines}) == len(lines)
    assert all(line.count("(there ") <= 4 for line in lines)
    assert not any("{}" in line for line in lines)


def test_what_others_made_can_be_adopted(workdir, small_run, monkeypatch):
    edited = {**fingerprint.package_files(), "core/prune.py": "edited"}
    monkeypatch.setattr(fingerprint, "package_files", lambda: edited)
    name = small_run.rows[0]["stage"]
    before = {entry.id: entry for entry in list_stages(workdir)}[name]
    assert before.changed == ("core/prune.py",)
    assert adopt(workdir, [name]) == [name]
    assert adopt(workdir, [name]) == []
    after = {entry.id: entry for entry in list_stages(workdir)}[name]
    assert (after.changed, after.made_from) == ((), before.made_from)
    assert storage.read_manifest(workdir / "stages" / name) == storage.read_manifest(small_run.stage(small_run.rows[0]))
    with pytest.raises(ConfigError, match=r"train-none: is no stage of"):
        adopt(workdir, ["train-none"])


def test_only_unused_stages_are_removed_when_told(workdir, small_run):
    stray = workdir / "stages" / "train-0123456789ab"
    small = {stage.id for stage in make_plan(small_run.experiment, small_run.options, workdir).stages}
    found = gc(workdir)
    assert stray.name in found.stages
    assert not small & set(found.stages)
    assert found.size >= 5
    assert stray.exists()
    with storage.attempt(stray):
        assert stray.name not in gc(workdir, dry=False).stages
    assert gc(workdir, dry=False).stages == (stray.name,)
    assert not stray.exists()
    assert all(stage.cached for stage in make_plan(small_run.experiment, small_run.options, workdir).stages)
    assert gc(workdir).stages == ()


def test_nothing_in_use_is_removed(workdir):
    (own,) = workdir.glob("imp-*")
    with storage.attempt(own), pytest.raises(ConfigError, match="is being written by"):
        gc(workdir, dry=False)
    config = json.loads((own / "config.json").read_text())
    del config["stages"]
    (own / "config.json").unlink()
    storage.write_json(own / "config.json", config)
    assert gc(workdir, dry=False).stages == ()


def test_a_folder_without_stages_is_refused(tmp_path):
    for function in (list_stages, gc):
        with pytest.raises(ConfigError, match=r"has no folder of stages; must be the --workdir of runs"):
            function(tmp_path)
