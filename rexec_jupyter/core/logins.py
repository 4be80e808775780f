"""Who the user is at which backend: addresses and tokens, in a file only the user may read."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from rexec_jupyter.core.errors import AuthenticationError, NotConfiguredError
from rexec_jupyter.core.settings import folder
from rexec_jupyter.core.trust import write_private

VARIABLE = "REXEC_TOKEN"
"""Environment variable with the token for the endpoint of ``REXEC_URL``."""
_LONGEST = 16 * 1024


class LoginError(ValueError):
    """An address or a token that cannot be used; one line for people, never with the token."""


class Login(Struct, frozen=True):
    """One token; its text is never part of a repr."""

    url: str
    token: str

    def __repr__(self) -> str:
        return f"<Login at {self.url}>"


class _File(Struct):
    logins: list[Login] = []


class Logins:
    """The user's logins, the latest first.

    Parameters
    ----------
    environment
        Environment variables, which tell where the file is.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment

    @property
    def path(self) -> Path:
        """The file."""
        return folder(self._environment) / "logins.json"

    def all(self) -> list[Login]:
        """Return every login.

        Raises
        ------
        AuthenticationError
            If the file cannot be read, or somebody else might have read it.
        """
        path = self.path
        try:
            with path.open("rb") as file:
                info = os.fstat(file.fileno())
                content = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise AuthenticationError(f"{path} cannot be read: {error.strerror}.") from None
        if info.st_uid != os.geteuid() or info.st_mode & 0o077:
            mode = stat.S_IMODE(info.st_mode)
            raise AuthenticationError(
                f"{path} is not for its owner alone (mode {mode:o}), so its tokens are not used.",
                hint="Delete it and log in again with `%rexec login`.",
            )
        try:
            return msgspec.json.decode(content, type=_File).logins
        except msgspec.MsgspecError:
            raise AuthenticationError(
                f"{path} cannot be understood.", hint="Delete it and log in again."
            ) from None

    def find(self, url: str = "") -> Login | None:
        """Return the login at an address, or the latest one; else as `all`."""
        every = self.all()
        wanted = normal(url) if url else ""
        return next((login for login in every if not wanted or login.url == wanted), None)

    def login(self, url: str, configured: str) -> Login | None:
        """Return what is to be used at an address: from ``REXEC_TOKEN`` or a login.

        Parameters
        ----------
        url
            The address.
        configured
            The address in the settings. What the environment has is for the address that the
            environment has too, or else for this one: another is not shown it.
        """
        told = self._environment.get(VARIABLE)
        whose = self._environment.get("REXEC_URL") or configured
        if told and (not whose or _same(url, whose)):
            return Login(normal(url), told)
        return self.find(url)

    def add(self, url: str, token: str) -> Login:
        """Keep a token in place of the one of this address; else as `all`.

        Raises
        ------
        LoginError
            If address or token cannot be used.
        """
        login = Login(normal(url), checked(token))
        self._write([login, *(other for other in self.all() if other.url != login.url)])
        return login

    def remove(self, url: str = "") -> list[str]:
        """Forget the token of an address, or all; return the addresses. Else as `all`."""
        every = self.all()
        wanted = normal(url) if url else ""
        gone = [login for login in every if not wanted or login.url == wanted]
        left = [login for login in every if login not in gone]
        if left:
            self._write(left)
        elif every:
            self.path.unlink()
        return [login.url for login in gone]

    def _write(self, logins: list[Login]) -> None:
        path = self.path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, msgspec.json.encode(_File(logins)))


def normal(url: str) -> str:
    """Return an address as it is compared.

    Raises
    ------
    LoginError
        If it is none, is not encrypted, or holds a secret.
    """
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname
        port = parts.port
    except ValueError:
        raise LoginError("that is no address; write https://host/path") from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise LoginError(
            "the address holds more than scheme, host and path; no secret may stand in it"
        )
    if parts.scheme not in ("https", "http") or not host:
        raise LoginError("that is no address; write https://host/path")
    if parts.scheme == "http" and host not in ("localhost", "127.0.0.1", "::1"):
        raise LoginError(f"a token would go to {host} in plain text; write https://{host}")
    where = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{where}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def endpoint_address(url: str) -> str:
    """Return the address of an endpoint that somebody set, as it is used.

    Raises
    ------
    NotConfiguredError
        If it cannot be used.
    """
    try:
        return normal(url)
    except LoginError as error:
        raise NotConfiguredError(
            f"The address of the endpoint cannot be used: {error}.",
            hint="Correct it where it was set: `%rexec config url`, REXEC_URL or connect(…); "
            "`local` is the backend of this computer.",
        ) from None


def _same(url: str, other: str) -> bool:
    try:
        return normal(url) == normal(other)
    except LoginError:
        return False


def checked(token: str) -> str:
    """Return a token as it is sent.

    Raises
    ------
    LoginError
        If it can be none.
    """
    token = token.strip()
    if not token:
        raise LoginError("the token is empty")
    if len(token) > _LONGEST or not token.isascii() or not token.isprintable() or " " in token:
        raise LoginError("that is no token: it has characters that no token has, or too many")
    return token
