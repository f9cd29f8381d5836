"""Stages that several runs want at the same time: each is computed once."""

import random
import shutil
import threading
import time

import numpy as np
import pytest

from jaxticket import storage
from jaxticket.core.errors import ConfigError, TicketError
from jaxticket.core.options import digest
from jaxticket.lab.stages import find_or_run, fingerprint
from jaxticket.lab.stages.journal import write_journal
from jaxticket.lab.stages.rerun import Rerun
from jaxticket.training.interrupts import InterruptedRun
from tests.small_runs import made_from

pytestmark = [pytest.mark.feature("stages and caches")]

WAIT = 30


class Stages(find_or_run.Stages):
    """Done one by one, as `Bench.derive` does."""

    def stage(self, *key, label=""):
        *key, run = key
        stage = self.find(*key, label=label)
        if stage.id in self.asked:
            return stage
        with self.claim([stage]) as done:
            return done.get(stage.id) or self.finish([(stage, *run(self.workplace(stage)))])[0]


def begin(folder, finish, order=("one",)):
    """Another run, in a thread, that has begun to compute stages, and ends when told; returns it."""
    cache, begun = Stages(folder, execute=True, note=lambda _: None), threading.Event()

    def work():
        stages = [cache.find(kind, 1, {}, {}) for kind in order]
        with cache.claim(stages) as done:
            assert not done
            begun.set()
            finish.wait(WAIT)
            for stage in stages:
                storage.write_bytes(stage.folder / "file", stage.kind.encode())
            cache.finish([(stage, ["file"], {"by": "another"}) for stage in stages])

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert begun.wait(WAIT)
    return thread


def never(folder):
    raise AssertionError("computed twice")


def test_what_another_run_computes_is_reused(tmp_path):
    finish, notes = threading.Event(), []

    def note(text):
        notes.append(text)
        finish.set()

    thread = begin(tmp_path, finish)
    stage = Stages(tmp_path, execute=True, note=note).stage("one", 1, {}, {}, never, label="dense-0")
    thread.join()
    assert stage.cached
    assert stage.content == {"by": "another"}
    (text,) = notes
    assert text.startswith(f"waiting for stage {stage.id} (dense-0), computed by ")
    assert sorted(path.name for path in stage.folder.iterdir()) == ["file", "manifest.json"]


def test_other_stages_of_folder_are_not_waited_for(tmp_path):
    finish = threading.Event()
    thread = begin(tmp_path, finish)
    stage = Stages(tmp_path, execute=True, note=pytest.fail).stage("two", 1, {}, {}, lambda _: ([], {"by": "me"}))
    assert not stage.cached
    finish.set()
    thread.join()


def test_waiting_can_be_interrupted(tmp_path):
    finish = threading.Event()
    thread = begin(tmp_path, finish)

    def check():
        raise InterruptedRun

    with pytest.raises(InterruptedRun):
        Stages(tmp_path, execute=True, note=lambda _: None, check=check).stage("one", 1, {}, {}, never)
    finish.set()
    thread.join()


def test_overlapping_groups_do_not_wait_forever(tmp_path, monkeypatch):
    done, barrier, take = [], threading.Barrier(2), storage.Lock.take

    def slowly(lock):
        holder = take(lock)
        time.sleep(0.05)
        return holder

    monkeypatch.setattr(storage.Lock, "take", slowly)

    def run(kinds):
        cache = Stages(tmp_path, execute=True, note=lambda _: None)
        stages = [cache.find(kind, 1, {}, {}) for kind in kinds]
        barrier.wait(WAIT)
        with cache.claim(stages) as by_others:
            left = [stage for stage in stages if stage.id not in by_others]
            done.extend(stage.kind for stage in left)
            if left:
                cache.finish([(stage, [], {}) for stage in left])

    threads = [threading.Thread(target=run, args=(kinds,), daemon=True) for kinds in ("abc", "cab")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(done) == ["a", "b", "c"]


def test_awaited_run_may_die_in_last_moment(tmp_path):
    """A journal without manifests: the checkpoints are gone, and the results must not be."""
    cache = Stages(tmp_path, execute=True, note=pytest.fail)
    stage = cache.find("train", 1, {}, {})
    storage.write_bytes(stage.folder / "file", b"result")
    (stage.folder / "checkpoints").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stages, "_complete", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            cache.finish([(stage, ["file"], {"seed": 0})])
    waited = cache.stage("train", 1, {}, {}, never)
    assert waited.content["seed"] == 0
    assert sorted(path.name for path in stage.folder.iterdir()) == ["file", "manifest.json"]


def test_manifest_says_how_its_stage_was_made(tmp_path):
    cache = Stages(tmp_path, execute=True, note=pytest.fail)
    first = cache.stage("init", 1, {"seed": 0}, {}, lambda _: ([], {}))
    stage = cache.stage("train", 2, {"lr": (0.1,)}, {"start": f"{first.id}/weights"}, lambda _: ([], {}))
    expected = {"kind": "train", "version": 2, "config": {"lr": [0.1]}, "inputs": {"start": f"{first.id}/weights"}}
    assert made_from(stage.folder) == stage.made_from == expected
    assert stage.key == digest(expected, 12)
    found = Stages(tmp_path, execute=False, note=pytest.fail).find("train", 2, {"lr": (0.1,)}, expected["inputs"])
    assert found.sources == stage.sources == fingerprint.fingerprint()
    assert fingerprint.changed_files(tmp_path, stage.sources) == []


def test_manifest_of_before_that_counts_and_says_nothing(tmp_path):
    stage = Stages(tmp_path, execute=True, note=pytest.fail).stage("one", 1, {}, {}, lambda _: ([], {"a": 1}))
    storage.write_manifest(stage.folder, [], {"a": 1})
    found = Stages(tmp_path, execute=True, note=pytest.fail).stage("one", 1, {}, {}, never)
    assert (found.content, found.sources, made_from(stage.folder)) == ({"a": 1}, None, {})
    assert made_from(tmp_path / "nowhere") == {}


def edited(monkeypatch, **changes):
    """As if files of the package had been edited since."""
    files = dict(fingerprint.package_files())
    files |= {f"{name}.py": content for name, content in changes.items()}
    monkeypatch.setattr(fingerprint, "package_files", lambda: files)


def test_what_other_sources_made_is_named(tmp_path, monkeypatch):
    sources = [Stages(tmp_path, execute=True, note=pytest.fail).stage("a", 1, {}, {}, lambda _: ([], {})).sources]
    assert fingerprint.made_by_others(tmp_path, sources) == ""
    edited(monkeypatch, one="1")
    text = "1 stage was made by other sources of jaxticket (one.py); --rerun=changed does that again"
    assert fingerprint.made_by_others(tmp_path, sources) == text
    edited(monkeypatch, two="1", three="1", four="1", five="1")
    text = "2 stages were made by other sources of jaxticket (five.py, four.py, one.py, 2 more, some not noted); "
    assert fingerprint.made_by_others(tmp_path, [*sources, None]).startswith(text)


def test_only_rooms_that_can_change_a_result_count():
    names = fingerprint.package_files()
    assert {"core/prune.py", "training/step.py", "experiments/imp.py", "ticket.py", "data/sources/digits.py"} <= set(
        names
    )
    assert not [name for name in names if name.startswith(("report", "main", "sweep"))]
    assert {"experiments/colt/analysis.py", "structure/regroup/report.py"} <= set(names)
    assert not [name for name in names if name.startswith("experiments/") and "/report" in name]


def journal_of(folder, **changes):
    """A stage that was killed before its manifest was written, its journal changed; returns the stage."""
    cache = Stages(folder, execute=True, note=pytest.fail)
    stage = cache.find("train", 1, {}, {})
    storage.write_bytes(stage.folder / "file", b"result")
    stage_id = changes.pop("id", stage.id)
    result = {"files": ["file"], "content": {"accuracy": 0.9123}, **changes}
    write_journal(stage.folder / "finished.json", {stage_id: result})
    return stage


def test_a_journal_is_believed_to_the_bit(tmp_path):
    stage = journal_of(tmp_path)
    data = (stage.folder / "finished.json").read_bytes()
    rng, notes = random.Random(0), []
    for _ in range(100):
        shutil.rmtree(stage.folder)
        storage.write_bytes(stage.folder / "file", b"result")
        position = rng.randrange(len(data))
        changed = data[:position] + rng.choice((b"", bytes([data[position] ^ 1 << rng.randrange(8)])))
        storage.write_bytes(stage.folder / "finished.json", changed + data[position + 1 :] * rng.randrange(2))
        Stages(tmp_path, execute=True, note=notes.append)
        assert storage.read_manifest(stage.folder) is None
        assert not (stage.folder / "finished.json").exists()
    assert len(notes) == 100
    assert not [note for note in notes if "\n" in note or not note.endswith("the stages are done again")]
    storage.write_bytes(stage.folder / "finished.json", data)
    Stages(tmp_path, execute=True, note=pytest.fail)
    assert storage.read_manifest(stage.folder) == {"accuracy": 0.9123}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "train-0123456789ab"}, "is no stage of"),
        ({"id": "../elsewhere-0123456789ab"}, "is no stage of"),
        ({"files": ["../../file"]}, "is not a file inside"),
        ({"files": ["absent"]}, "there is no such file"),
        ({"files": [1]}, "must be strings"),
        ({"files": {}}, "files is an object; must be a list"),
        ({"content": []}, "content is a list; must be an object"),
    ],
)
def test_right_journal_costs_at_most_its_stage(tmp_path, changes, message):
    (tmp_path / "elsewhere-0123456789ab").mkdir()
    (tmp_path / "stages").mkdir()
    stage, notes = journal_of(tmp_path / "stages", **changes), []
    cache = Stages(tmp_path / "stages", execute=True, note=notes.append)
    (note,) = notes
    assert message in note
    assert "\n" not in note
    assert cache.stage("train", 1, {}, {}, lambda _: ([], {"done": "again"})).content == {"done": "again"}
    assert sorted(path.name for path in stage.folder.iterdir()) == ["file", "manifest.json"]


@pytest.mark.parametrize("name", ["finished.json", "manifest.json"])
def test_folder_for_file_costs_at_most_its_stage(tmp_path, name):
    stage, notes = journal_of(tmp_path), []
    (stage.folder / "finished.json").unlink()
    (stage.folder / name / "deep").mkdir(parents=True)
    for _ in range(2):
        Stages(tmp_path, execute=True, note=notes.append).stage("train", 1, {}, {}, lambda _: ([], {}))
    assert len(notes) == 1
    assert sorted(path.name for path in stage.folder.iterdir()) == ["file", "manifest.json"]


def make(cache, *kinds, value=1):
    """A chain of stages, each of which starts from the array of the one before; returns those that were not cached."""
    before, done = {}, []
    for kind in kinds:

        def run(folder):
            storage.save_arrays(folder / "weights.safetensors", {"x": np.full(3, value, np.float32)})
            return ["weights.safetensors"], {"value": value}

        stage = cache.stage(kind, 1, {}, before, run)
        before = {"start": f"{stage.id}/weights"}
        done += [] if stage.cached else [kind]
    return done


def a_cache(folder, what="", folders=(), note=pytest.fail):
    return Stages(folder, execute=True, note=note, rerun=Rerun(what, folders))


def test_rerun_repeats_what_differs_once(tmp_path):
    assert make(a_cache(tmp_path), "a", "b", "c") == ["a", "b", "c"]
    assert make(a_cache(tmp_path), "a", "b", "c") == []
    assert make(a_cache(tmp_path, "all"), "a", "b", "c") == ["a", "b", "c"]
    assert make(a_cache(tmp_path, "b"), "a", "b", "c") == ["b"]  # the same bits
    notes = []
    assert make(a_cache(tmp_path, "b", note=notes.append), "a", "b", "c", value=2) == ["b", "c"]
    assert [note.partition("(")[2] for note in notes] == ["): was made from another start; it is done again"]
    assert make(a_cache(tmp_path), "a", "b", "c") == []
    assert {path.name for path in tmp_path.glob("*/*")} == {"manifest.json", "weights.safetensors"} | {
        f"{fingerprint.fingerprint()}.json"
    }


def test_only_what_changed_sources_made_is_done_again(tmp_path, monkeypatch):
    make(a_cache(tmp_path), "a", "b")
    assert make(a_cache(tmp_path, "changed"), "a", "b") == []
    edited(monkeypatch, one="1")
    assert make(a_cache(tmp_path, "changed"), "a", "b", "c") == ["a", "b", "c"]
    assert make(a_cache(tmp_path, "changed"), "a", "b", "c") == []


@pytest.mark.parametrize("moment", ["weights.safetensors/named", "stage/commit", "finished.json/named", "stage/tidied"])
def test_killed_rerun_leaves_old_stage_or_new(tmp_path, monkeypatch, moment):
    make(a_cache(tmp_path), "a")
    (folder,) = tmp_path.glob("a-*")

    def kill(name):
        if name == moment:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("jaxticket.storage.faults.point", kill)
        with pytest.raises(KeyboardInterrupt):
            make(a_cache(tmp_path, "all"), "a", value=2)
    assert storage.read_manifest(folder) == {"value": 1}
    complete = moment in ("finished.json/named", "stage/tidied")
    assert make(a_cache(tmp_path), "a") == []
    assert storage.read_manifest(folder) == {"value": 2 if complete else 1}
    assert make(a_cache(tmp_path, "all"), "a", value=3) == ["a"]
    assert storage.read_manifest(folder) == {"value": 3}
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "weights.safetensors"]


def test_rerun_killed_while_moving_files_is_completed(tmp_path, monkeypatch):
    make(a_cache(tmp_path), "a")
    (folder,) = tmp_path.glob("a-*")
    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_manifest", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            make(a_cache(tmp_path, "all"), "a", value=2)
    with pytest.raises(TicketError, match="is not what"):  # a mixture, which nobody takes for a stage
        storage.read_manifest(folder)
    assert make(a_cache(tmp_path), "a") == []
    assert storage.read_manifest(folder) == {"value": 2}


def test_rerun_goes_on_where_it_was_stopped(tmp_path):
    stages, own = tmp_path / "stages", tmp_path / "imp-1"
    make(a_cache(stages), "a", "b")

    def command(*kinds, what="all"):
        rerun = Rerun(what, [own])
        rerun.begin(own)
        return rerun, make(Stages(stages, execute=True, note=pytest.fail, rerun=rerun), *kinds)

    assert command("a")[1] == ["a"]
    assert command("a", "b", what="b")[1] == ["b"]  # another wish
    assert command("a")[1] == ["a"]
    rerun, done = command("a", "b")
    assert done == ["b"]
    rerun.finish()
    assert command("a", "b")[1] == ["a", "b"]
    storage.write_bytes(own / "rerun.json", b"{}")  # damaged notes cost what they said
    assert command("a", "b")[1] == ["a", "b"]


def test_what_another_run_replaced_is_not_read(tmp_path):
    cache = a_cache(tmp_path)
    make(cache, "a", "b")
    read, unread = cache.asked.values()
    assert read.load("weights")["x"].tolist() == [1, 1, 1]
    make(a_cache(tmp_path, "all"), "a", "b", value=2)
    assert read.load("weights")["x"].tolist() == [1, 1, 1], "it is still in memory"
    with pytest.raises(TicketError, match="another run has put a new file there"):
        unread.load("weights")


def test_a_kind_that_command_has_not_is_refused():
    with pytest.raises(ConfigError, match=r"--rerun=trian: must be one of all, changed, prune, train; did you mean"):
        Rerun("trian").check({"train", "prune"})
    Rerun("train").check({"train", "prune"})
    Rerun().check(set())


def test_training_that_other_sources_began_counts_as_theirs(tmp_path, monkeypatch):
    cache = a_cache(tmp_path)
    stage = cache.find("train", 1, {}, {})
    cache.begin([stage])
    begun = fingerprint.fingerprint()
    edited(monkeypatch, one="1")
    cache.begin([stage])
    (done,) = cache.finish([(stage, [], {})])
    assert done.sources == begun
    assert sorted(path.name for path in done.folder.iterdir()) == ["manifest.json"]
