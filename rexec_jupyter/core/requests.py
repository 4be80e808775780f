"""Questions to servers, and the threads that wait for the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait

from rexec_jupyter.core import notices as n
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.exchange import Exchange


class Requests:
    """Asks, and waits.

    Parameters
    ----------
    call
        Has a method of the exchange called on the link's thread.
    """

    def __init__(self, call: Callable[..., None]) -> None:
        self._call = call
        self._waiting: dict[str, Future[n.Answered]] = {}

    def ask(self, messages: Sequence[p.Request], timeout: float) -> list[n.Answered | None]:
        """Send requests; return the answers in their order, None for what is not answered in time.

        Parameters
        ----------
        timeout
            In seconds, for all of them.
        """
        answers: list[Future[n.Answered]] = []
        try:
            for message in messages:
                answer = self._waiting[message.request] = Future()
                answers.append(answer)
                self._call(Exchange.ask, message)
            wait(answers, timeout, FIRST_EXCEPTION)
            return [answer.result() if answer.done() else None for answer in answers]
        finally:
            for message in messages:
                if self._waiting.pop(message.request, None):
                    self._call(Exchange.forget, message.request)

    # ------------------------------------------------- called on the link's thread

    def answered(self, notice: n.Answered) -> None:
        """Wake who waits for this answer."""
        answer = self._waiting.pop(notice.message.request, None)
        if answer is not None:
            answer.set_result(notice)

    def fail(self, error: RexecError) -> None:
        """Wake everybody: there will be no answers."""
        while self._waiting:
            _, answer = self._waiting.popitem()
            answer.set_exception(error)
