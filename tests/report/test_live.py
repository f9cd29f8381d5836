"""The report while a run goes on, and of one that was stopped."""

import pytest

from jaxticket.experiments import run_experiment
from jaxticket.report import live
from jaxticket.report.live import LiveReport
from jaxticket.training.interrupts import InterruptedRun, Interrupts
from tests.small import Notes, options_of

pytestmark = [pytest.mark.feature("watching a run")]


class StopAfter(Notes):
    """Asks for a stop when so many networks are done."""

    def __init__(self, interrupts, networks):
        super().__init__()
        self.interrupts, self.networks = interrupts, networks

    def finish(self, text):
        self.networks -= 1
        self.interrupts.requested |= not self.networks


def test_stopped_run_leaves_partial_report_that_says_so(tmp_path):
    interrupts, said = Interrupts(), []
    how = {"progress": lambda plan: StopAfter(interrupts, 2), "interrupts": interrupts}
    with pytest.raises(InterruptedRun):
        run_experiment(*options_of("imp", levels=2), tmp_path, **how, recorded=LiveReport(said.append))
    (page,) = tmp_path.glob("imp-*/report.html")
    assert said == [f"report   {page} (not finished)"]
    text = page.read_text()
    assert "Not finished." in text
    assert "The run was stopped: 2 of 3 networks trained" in text
    interrupts.requested = False
    _, summary = run_experiment(*options_of("imp", levels=2), tmp_path, recorded=LiveReport(said.append))
    assert "progress" not in summary
    assert len(said) == 1


def test_report_is_rewritten_within_its_share_of_time(made, tmp_path, monkeypatch):
    clock, written = [0.0], []

    def write(folder):
        written.append(clock[0])
        clock[0] += 6.0

    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(live, "write_report", write)
    report = LiveReport(written.append)
    for clock[0] in (1.0, 20.0, 40.0, 60.0, 200.0, 246.1, 300.0):
        report(tmp_path, False)
    assert written == [40.0, 246.1]


def test_page_of_going_run_says_how_far(made, tmp_path):
    progress = {"networks": 45, "finished": 12, "seconds_left": 3725.0, "stopped": False}
    folder = made.folder(tmp_path / "run", made.imp_rows(levels=1, seeds=(0,)), complete=False, progress=progress)
    text = live.write_report(folder).read_text()
    assert "The run was going on when this page was written: 12 of 45 networks trained, about 1 h 02 min left" in text


def test_failing_report_does_not_cost_the_run(tmp_path):
    said = []
    report = LiveReport(said.append)
    report(tmp_path / "nowhere", True)
    assert said == [f"no report on the way (JaxticketError: {tmp_path / 'nowhere' / 'summary.json'}: not found; a "
                    "report is made from the folder of an experiment, WORKDIR/<name>-<hash>)"]  # fmt: skip
