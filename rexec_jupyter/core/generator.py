"""A remote generator, as a generator here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

from rexec_jupyter.core.outcomes import load_value

if TYPE_CHECKING:
    from rexec_jupyter.core.job import Job

Attend = Callable[["Job[Any]", Callable[[], bool]], None]
"""Waits until something holds for a job, and shows its output meanwhile."""


class RemoteGenerator(Iterator[Any]):
    """The items of a remote generator, as they are produced there.

    Attributes
    ----------
    job
        The job that produces them.
    """

    def __init__(self, job: Job[Any]) -> None:
        self.job = job
        self._attend: Attend | None = None
        self._finished = False

    def attended(self, attend: Attend) -> Self:
        """Let `attend` do the waiting."""
        self._attend = attend
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._finished:
            raise StopIteration
        job = self.job
        if self._attend:
            self._attend(job, lambda: job.item_or_end)
        else:
            while not job.item_or_end:
                job.wait_for(lambda: job.item_or_end)
        item = job.next_item()
        if item is None:
            self._finished = True
            raise StopIteration(job.outcome_value())
        job.item_taken(item)
        return load_value(item.parts, job=job)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        item = await asyncio.to_thread(next, self, self)
        if item is self:
            raise StopAsyncIteration
        return item

    def close(self) -> None:
        """End the remote generator."""
        self._finished = True
        self.job.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._finished:
            self.job.abandon()
