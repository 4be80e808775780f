"""The shared auth module under test: settings without the environment, and one loop to run in."""

import asyncio
from contextlib import contextmanager

from rexec_jupyter.auth.authenticator import Authenticator
from rexec_jupyter.auth.identity import identity_from
from rexec_jupyter.auth.settings import AuthSettings


def settings(**given):
    """Return settings that nothing but the arguments decides."""
    return AuthSettings(_env_file=None, **given)


def somebody(*, roles=(), groups=(), sub="sub-of-somebody"):
    """Return an identity as an identity service would tell of it."""
    return identity_from({"sub": sub, "roles": list(roles), "groups": list(groups)})


class Asking:
    """An authenticator in a loop of its own, asked from tests that are not asynchronous."""

    def __init__(self, runner, authenticator):
        self.runner = runner
        self.authenticator = authenticator

    def run(self, function, *arguments):
        """Run an asynchronous function of a test with the authenticator."""
        return self.runner.run(function(self.authenticator, *arguments))

    def identify(self, token):
        return self.runner.run(self.authenticator.identify(token))

    def login(self, username, password):
        return self.runner.run(self.authenticator.login(username, password))

    def grant(self, token, username, role):
        return self.runner.run(self.authenticator.grant(token, username, role))


@contextmanager
def asking(**given):
    """Yield an authenticator with these settings; it is closed at the end."""

    async def start():
        return Authenticator(settings(**given))

    with asyncio.Runner() as runner:
        authenticator = runner.run(start())
        try:
            yield Asking(runner, authenticator)
        finally:
            runner.run(authenticator.close())
