"""What is shown while training."""

import contextlib
import dataclasses
import io

import pytest

from jaxticket.training import progress

pytestmark = [pytest.mark.feature("watching a run")]

RECORD = {"epoch": 3, "train_loss": 0.25, "val_accuracy": 0.9}


class Screen(io.StringIO):
    """A file that claims to be a terminal."""

    def isatty(self):
        return True


@dataclasses.dataclass
class Plan:
    """Of two networks, of which some are finished."""

    networks: int = 2
    finished: int = 1
    seconds_left: float | None = 75.0


def train_two(shown):
    """A network that goes on from its fortieth step, and one from the first."""
    shown.start("imp-1-0", steps=100, done=40)
    shown.epoch(RECORD)
    shown.advance(50, images_per_second=12345.6)
    shown.finish("imp-1-0 test 0.9")
    shown.start("imp-2-0", steps=100, done=0)
    shown.advance(70, images_per_second=2000.0)
    shown.note("a [bold] remark")
    shown.close()


def test_a_terminal_has_bars_of_networks_and_steps(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with contextlib.redirect_stdout(Screen()) as screen:
        shown = progress.for_terminal(Plan())
        assert isinstance(shown, progress.Bar)
        train_two(shown)
    text = screen.getvalue()
    for part in (
        "imp-1-0 test 0.9",
        "networks",
        "1/2",
        "about 1 min 15 s left",
        "imp-2-0",
        "70/100",
        "2,000 images/s",
        "a [bold] remark",
    ):
        assert part in text
    assert "loss" not in text.rpartition("70/100")[2]  # the epoch of the network before is not said of this one


def test_a_file_has_lines(capsys):
    shown = progress.for_terminal(Plan())
    assert isinstance(shown, progress.Lines)
    train_two(shown)
    assert capsys.readouterr().out.splitlines() == [
        "imp-1-0: going on from step 40 of 100",
        "imp-1-0 test 0.9",
        "a [bold] remark",
    ]


def test_a_long_network_has_line_now_and_then(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    shown = progress.Lines(Plan(seconds_left=None))
    shown.start("dense-0-0", steps=100, done=0)
    for epoch in range(1, 31):
        now = float(epoch)
        shown.epoch({"epoch": epoch, "train_loss": 0.5, "val_accuracy": None})
    assert capsys.readouterr().out.splitlines() == [f"dense-0-0: epoch {n} loss 0.5000" for n in (10, 20, 30)]
    assert progress.describe(RECORD) == "epoch 3 loss 0.2500 val 0.9000"


def test_lines_say_time_left_now_and_then(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    shown = progress.Lines(Plan(networks=30, finished=12))
    for clock[0] in (1.0, 11.0, 12.0):
        shown.finish("done")
    assert capsys.readouterr().out.splitlines() == [
        "done",
        "done",
        "12 of 30 networks, about 1 min 15 s left",
        "done",
    ]


def test_quiet_shows_nothing(capsys):
    train_two(progress.Quiet())
    assert capsys.readouterr().out == ""
