"""Threads that fail while a run is on."""

import logging
import sys
import threading

import pytest

from jaxticket.core.errors import TicketError
from jaxticket.training.background import quiet_background

pytestmark = [pytest.mark.feature("training")]


def fail_in_a_thread(error, hook=False):
    def work():
        if hook:  # as C++ does
            sys.excepthook(type(error), error, None)
        else:
            raise error

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_threads_that_fail_are_one_line_each(capfd):
    notes, hooks = [], (threading.excepthook, sys.excepthook)
    with quiet_background(notes.append):
        fail_in_a_thread(OSError("the disk is full\nmore"))
        fail_in_a_thread(RuntimeError("Event loop is closed"), hook=True)
        fail_in_a_thread(RuntimeError("Event loop is closed"), hook=True)
        logging.getLogger("absl").error("raised an exception: %s", "x\nTraceback")
    assert notes == [
        "a thread in the background failed: the disk is full more",
        "a thread in the background failed: Event loop is closed",
        "a thread in the background failed: raised an exception: x",
    ]
    assert capfd.readouterr() == ("", "")
    assert (threading.excepthook, sys.excepthook) == hooks


def test_whoever_waits_for_a_thread_says_what_failed(capfd):
    hooks = threading.excepthook, sys.excepthook

    def fail():
        fail_in_a_thread(OSError("full"))
        threading.Timer(0.1, fail_in_a_thread, [OSError("late")]).start()
        raise TicketError("full")

    with pytest.raises(TicketError, match="full"), quiet_background(pytest.fail):
        fail()
    assert capfd.readouterr() == ("", "")
    assert (threading.excepthook, sys.excepthook) == hooks


def test_main_threads_own_errors_go_on_as_before(capsys):
    with quiet_background(pytest.fail):
        sys.excepthook(ValueError, ValueError("mine"), None)
    assert "ValueError: mine" in capsys.readouterr().err
