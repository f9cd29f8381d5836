"""The time left of a plan, and the rates that later plans go by."""

import dataclasses

import pytest

from jaxticket.lab import pace
from jaxticket.lab.pace import Pace, keep_rate, known_rate
from jaxticket.lab.stages.references import Stage
from jaxticket.lab.training_cost import TrainingCost
from tests.small import options_of

pytestmark = [pytest.mark.feature("watching a run")]


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(pace.time, "monotonic", lambda: Clock.now)
    return Clock


def stage(tmp_path, name, *, cached=False, macs=1000):
    return Stage("train", name, tmp_path, cached, {}, name, cost=TrainingCost(1, 100, macs))


def test_rest_takes_as_long_as_its_work(tmp_path, clock):
    planned = [stage(tmp_path, "a", cached=True), *(stage(tmp_path, name) for name in "bcd"), stage(tmp_path, "e")]
    run = Pace(planned)
    assert (run.networks, run.finished, run.seconds_left) == (5, 1, None)
    run.start("b to c", steps=100, done=0, networks=2)
    clock.now = 50.0  # of compiling, which does not count
    run.advance(10, images_per_second=1.0)
    clock.now = 60.0
    run.advance(60, images_per_second=1.0)
    assert run.macs_per_second == pytest.approx(100)  # two networks, 50 of 100 steps each, in 10 seconds
    assert run.seconds_left == pytest.approx((2 * 400 + 2000) / 100)
    run.done = {one.id: one for one in planned[:3]}
    assert run.finished == 3
    assert run.seconds_left == pytest.approx(2000 / (1800 / 10))
    run.done |= {planned[3].id: dataclasses.replace(planned[3], cached=True)}  # which another run has trained
    assert run.seconds_left == pytest.approx(1000 / 180)
    run.done |= {planned[4].id: planned[4]}
    assert run.to_json() == {"networks": 5, "finished": 5, "seconds_left": 0.0}


def test_steps_of_an_earlier_run_make_no_rate(tmp_path, clock):
    planned = [stage(tmp_path, "a"), stage(tmp_path, "b")]
    run = Pace(planned)
    run.start("a", steps=150, done=130)  # its steps are the last 100, so that 80 were done before
    run.advance(130, images_per_second=1.0)
    clock.now = 5.0
    run.advance(140, images_per_second=1.0)
    assert run.macs_per_second == pytest.approx(20)
    assert run.seconds_left == pytest.approx((100 + 1000) / 20)
    run.done = {planned[0].id: planned[0]}
    clock.now = 10.0  # 200 in 10 seconds
    run.start("b", steps=100, done=90)
    assert run.macs_per_second == pytest.approx(20)
    assert run.seconds_left == pytest.approx(100 / 20)


def test_rate_is_known_by_network_and_machine(tmp_path):
    from jaxticket.lab.setting import Setting

    same, other = (Setting(options_of("imp", **{"train.batch_size": size})[1], planning=True) for size in (64, 128))
    assert known_rate(tmp_path, same) is None
    keep_rate(tmp_path, same, 5e9)
    assert known_rate(tmp_path, same) == (5e9, True)
    assert known_rate(tmp_path, other) == (5e9, False)
    (tmp_path / "rates.json").write_text("{}")
    assert known_rate(tmp_path, same) is None
    keep_rate(tmp_path / "rates.json", same, 5e9)  # where nothing can be written nothing is noted
