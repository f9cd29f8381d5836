"""Signals as requests."""

import os
import signal
import threading

import pytest

from jaxticket.training.interrupts import InterruptedRun, Interrupts

pytestmark = [pytest.mark.feature("crashes, signals and full disks")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_request_until_context_ends(number):
    before = signal.getsignal(number)
    with Interrupts() as interrupts:
        interrupts.check()
        assert not interrupts.requested
        os.kill(os.getpid(), number)
        assert interrupts.requested
        with pytest.raises(InterruptedRun):
            interrupts.check()
    assert signal.getsignal(number) == before


def test_only_a_second_ctrl_c_stops_at_once():
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_in_a_thread_signals_keep_their_meaning():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run():
        with Interrupts() as interrupts:
            seen.append((interrupts.requested, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(False, before)]
