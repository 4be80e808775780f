"""What every measurement works with: the floors, and a backend of its own."""

from contextlib import ExitStack
from functools import cached_property

from rexec_jupyter import connect
from tests.bench.floor import running_floor
from tests.bench.processes import private_backend
from tests.bench.remote import same


class IncorrectError(Exception):
    """Something came back wrong or incomplete: no figure would mean anything."""


def check(correct, otherwise):
    """Go on only if what was measured was also right."""
    if not correct:
        raise IncorrectError(otherwise)


class Bench(ExitStack):
    """What measurements share: made when first asked for, ended together.

    Parameters
    ----------
    quick
        Only show that everything runs; the figures are rough then.
    """

    def __init__(self, *, quick):
        super().__init__()
        self.quick = quick

    def count(self, full):
        """Return how often to repeat what is to be done `full` times."""
        return max(full // 100, 10) if self.quick else full

    @cached_property
    def floor(self):
        """The floor with CURVE."""
        return self.enter_context(running_floor(curve=True))

    @cached_property
    def plain_floor(self):
        """The floor in plaintext."""
        return self.enter_context(running_floor(curve=False))

    @cached_property
    def client(self):
        """A client of an embedded backend that nobody else uses."""
        self.enter_context(private_backend())
        client = self.enter_context(connect("local"))
        client.run(same, None)
        return client
