"""Addresses: where an endpoint is, and where its tokens may go."""

from __future__ import annotations

from urllib.parse import urlsplit

from rexec_jupyter.core.logins import LoginError, normal
from rexec_jupyter.endpoint.errors import UnsafeAddressError

HERE = ("localhost", "127.0.0.1", "[::1]")
"""This computer, as it stands in addresses."""


def base(url: str, what: str = "endpoint") -> str:
    """Return an address with its scheme and without a slash at the end.

    A bare host gets ``https://``, or ``http://`` on this computer.

    Raises
    ------
    UnsafeAddressError
        If it is none, or holds a secret.
    """
    url = url.strip()
    if "://" not in url:
        here = url.startswith(HERE)  # what only begins like it gets no token in plain text
        url = f"{'http' if here else 'https'}://{url}"
    try:
        # Whether a token may go there is asked when there is one.
        scheme, _, rest = url.partition("://")
        plain = scheme.lower() == "http"
        encrypted = normal(f"https://{rest}" if plain else url)
    except LoginError as error:
        raise UnsafeAddressError(f"The address of the {what} cannot be used: {error}.") from None
    return encrypted.replace("https", "http", 1) if plain else encrypted


def check_secret(url: str) -> None:
    """Refuse to send a secret to an address where others could read it.

    Raises
    ------
    UnsafeAddressError
        Then.
    """
    root = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    try:
        normal(root)
    except LoginError as error:
        raise UnsafeAddressError(f"No token is sent there: {error}.") from None


def origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port."""
    parts = urlsplit(url)
    ports = {"http": 80, "https": 443}
    return parts.scheme, parts.hostname or "", parts.port or ports.get(parts.scheme)


def without_path(url: str) -> str:
    """Return scheme, host and port as they stand in addresses."""
    scheme, host, port = origin(url)
    usual = {"http": 80, "https": 443}.get(scheme)
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" + (f":{port}" if port != usual else "")
