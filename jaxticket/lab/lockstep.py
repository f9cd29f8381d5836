"""Functions in lockstep: each runs as if alone, until all of them wait for an answer; then all are answered at once.

Each function has a thread, but exactly one of all threads runs at any time, in a fixed order. So nothing needs a lock,
and a run is repeated exactly.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any


class _Abandoned(BaseException):
    """Ends a function that waits for an answer which will not come."""


class _Seat(threading.Thread):
    """A function and the baton it needs to run."""

    def __init__(self, function: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.question: Any = None
        self.error: BaseException | None = None
        self.done = False
        self._function = function
        self._answer: Any = None
        self._abandoned = False
        self._may_run, self._has_stopped = threading.Semaphore(0), threading.Semaphore(0)

    def run(self) -> None:
        """The thread's life."""
        self._may_run.acquire()
        try:
            if not self._abandoned:
                self._function()
        except _Abandoned:
            pass
        except BaseException as error:  # raised again where the functions were started
            self.error = error
        self.done = True
        self._has_stopped.release()

    def ask(self, question: Any) -> Any:
        """Within the thread: waits for the answer."""
        self.question = question
        self._has_stopped.release()
        self._may_run.acquire()
        if self._abandoned:
            raise _Abandoned
        return self._answer

    def go_on(self, answer: Any = None) -> None:
        """From outside: lets the function run until it asks or is done."""
        self._answer = answer
        self._may_run.release()
        self._has_stopped.acquire()

    def abandon(self) -> None:
        """From outside: ends the thread at the question it waits with, or at its next one."""
        self._abandoned = True
        self._may_run.release()
        self.join()


def in_lockstep(functions: Sequence[Callable[[], None]], answer: Callable[[list[Any]], Sequence[Any]]) -> None:
    """Runs all functions to their end.

    Args:
        functions: without arguments; each may call `ask` at any depth.
        answer: takes the questions of all functions that are not done, in their order, and returns as many answers; it
            runs in the thread of the caller.

    Raises:
        BaseException: the first error of a function or of `answer`; no other function goes on after it.
    """
    seats = [_Seat(function) for function in functions]
    for seat in seats:
        seat.start()
    try:
        answers: Sequence[Any] = [None] * len(seats)
        waiting = seats
        while waiting:
            for seat, given in zip(waiting, answers, strict=True):
                seat.go_on(given)
                if seat.error is not None:
                    raise seat.error
            waiting = [seat for seat in waiting if not seat.done]
            answers = answer([seat.question for seat in waiting]) if waiting else []
    finally:
        for seat in seats:
            seat.abandon()


def ask(question: Any, alone: Callable[[list[Any]], Sequence[Any]]) -> Any:
    """The answer to a question: with those of the other functions, or by `alone` where there is no lockstep."""
    seat = threading.current_thread()
    return seat.ask(question) if isinstance(seat, _Seat) else alone([question])[0]
