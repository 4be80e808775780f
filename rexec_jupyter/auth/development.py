"""Development mode: one token that may do everything, for one's own machine and for trying out."""

import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rexec_jupyter.auth.cache import Fingerprints
from rexec_jupyter.auth.identity import Identity, identity_from
from rexec_jupyter.auth.settings import AuthSettings

_log = logging.getLogger(__name__)

_SHORTEST: Final = 16
_REMIND: Final = 60.0

_TEST_USER: Final = identity_from(
    {"sub": "test_user", "username": "Test User", "roles": ["ndp_admin"], "groups": []}
)
_LOCAL_USER: Final = identity_from(
    {"sub": "local_user", "username": "Local user", "roles": ["ndp_admin"], "groups": []}
)


class DevelopmentError(ValueError):
    """Development mode is asked for in a way that would be open to others."""


class Development:
    """Knows the tokens of development mode; none, unless it is on.

    It says so in the log at the start, and again and again while it is used.

    Parameters
    ----------
    settings
        Whether it is on, and with which token.
    clock
        What tells the time, in seconds.

    Raises
    ------
    DevelopmentError
        If others could read the file that the token comes from, or the token is too short.
    """

    def __init__(self, settings: AuthSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._reminded = float("-inf")
        self._tokens: dict[bytes, Identity] = {}
        self._fingerprints = Fingerprints()
        test_token = settings.test_token.get_secret_value().strip()
        if not settings.development:
            if test_token:
                _log.warning(
                    "TEST_TOKEN is set but not accepted: it would let anybody who knows it do "
                    "everything. Unset it, or set …_DEVELOPMENT as well to try things out."
                )
            return
        if test_token:
            self._tokens[self._fingerprints.of(test_token)] = _TEST_USER
        if settings.development_token_file is not None:
            token = _read(settings.development_token_file)
            self._tokens[self._fingerprints.of(token)] = _LOCAL_USER
        _log.warning(
            "DEVELOPMENT MODE: whoever has the development token may do everything here, "
            "without any identity service. Never use it where others can reach this service."
        )

    def identity(self, token: str) -> Identity | None:
        """Return whom a token stands for in development mode, if for anybody."""
        identity = self._tokens.get(self._fingerprints.of(token)) if self._tokens else None
        if identity is not None:
            self._remind()
        return identity

    def _remind(self) -> None:
        now = self._clock()
        if now - self._reminded >= _REMIND:
            self._reminded = now
            _log.warning("DEVELOPMENT MODE: the development token is in use.")


def _read(path: Path) -> str:
    """Return the token in a file, which nobody else may read."""
    try:
        with path.open(encoding="ascii") as file:
            status = os.fstat(file.fileno())
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as cause:
        raise DevelopmentError(
            f"The development token in {path} cannot be read: {type(cause).__name__}."
        ) from None
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or status.st_uid != os.geteuid():
        raise DevelopmentError(
            f"Others can read the development token in {path}. Make it yours alone: "
            f"chmod 600 {path}"
        )
    if len(token) < _SHORTEST or not token.isprintable() or " " in token:
        raise DevelopmentError(
            f"The development token in {path} must be one line of at least {_SHORTEST} "
            "characters, such as python -c 'import secrets; print(secrets.token_urlsafe())' gives."
        )
    return token
