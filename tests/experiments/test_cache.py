"""Stages that several runs want at the same time: each is computed once."""

import threading
import time

import pytest

from jaxticket import storage
from jaxticket.experiments.cache import Cache
from jaxticket.training.interrupts import InterruptedRun

WAIT = 30


def begin(folder, finish, order=("one",)):
    """Another run, in a thread, that has begun to compute stages, and ends when told; returns it."""
    cache, begun = Cache(folder, execute=True, note=lambda _: None), threading.Event()

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


def test_what_another_run_computes_is_waited_for_and_reused(tmp_path):
    finish, notes = threading.Event(), []

    def note(text):
        notes.append(text)
        finish.set()

    thread = begin(tmp_path, finish)
    stage = Cache(tmp_path, execute=True, note=note).stage("one", 1, {}, {}, never, label="dense-0")
    thread.join()
    assert stage.cached
    assert stage.content == {"by": "another", "made_from": {"config": {}, "inputs": {}}}
    (text,) = notes
    assert text.startswith(f"waiting for stage {stage.id} (dense-0), computed by ")
    assert sorted(path.name for path in stage.folder.iterdir()) == ["file", "manifest.json"]


def test_other_stages_of_the_folder_are_not_waited_for(tmp_path):
    finish = threading.Event()
    thread = begin(tmp_path, finish)
    stage = Cache(tmp_path, execute=True, note=pytest.fail).stage("two", 1, {}, {}, lambda _: ([], {"by": "me"}))
    assert not stage.cached
    finish.set()
    thread.join()


def test_waiting_can_be_interrupted(tmp_path):
    finish = threading.Event()
    thread = begin(tmp_path, finish)

    def check():
        raise InterruptedRun

    with pytest.raises(InterruptedRun):
        Cache(tmp_path, execute=True, note=lambda _: None, check=check).stage("one", 1, {}, {}, never)
    finish.set()
    thread.join()


def test_groups_that_overlap_do_not_wait_for_each_other_forever(tmp_path, monkeypatch):
    done, barrier, take = [], threading.Barrier(2), storage.Lock.take

    def slowly(lock):
        holder = take(lock)
        time.sleep(0.05)
        return holder

    monkeypatch.setattr(storage.Lock, "take", slowly)

    def run(kinds):
        cache = Cache(tmp_path, execute=True, note=lambda _: None)
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


def test_who_was_waited_for_may_die_in_the_last_moment(tmp_path):
    """A journal without manifests: the checkpoints are gone, and the results must not be."""
    cache = Cache(tmp_path, execute=True, note=pytest.fail)
    stage = cache.find("train", 1, {}, {})
    storage.write_bytes(stage.folder / "file", b"result")
    (stage.folder / "checkpoints").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cache, "_complete", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            cache.finish([(stage, ["file"], {"seed": 0})])
    waited = cache.stage("train", 1, {}, {}, never)
    assert waited.content["seed"] == 0
    assert sorted(path.name for path in stage.folder.iterdir()) == ["file", "manifest.json"]
