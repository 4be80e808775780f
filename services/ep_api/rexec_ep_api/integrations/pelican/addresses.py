"""Which federations there are, and what their files are called."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from rexec_ep_api.integrations.errors import ImpossibleError, MissingError
from rexec_ep_api.settings import EndpointSettings

_SCHEMES: Final = {"pelican": "https", "https": "https", "http": "http"}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST: Final = 4096


class Federation(NamedTuple):
    """A federation.

    Attributes
    ----------
    url
        Where it tells of itself; ``pelican://`` means HTTPS.
    """

    name: str
    url: str
    description: str

    @property
    def host(self) -> str:
        """The host, with the port if there is one."""
        return urlsplit(self.url).netloc.lower()

    @property
    def discovery(self) -> str:
        """Where its configuration is."""
        scheme = _SCHEMES[urlsplit(self.url).scheme]
        return f"{scheme}://{self.host}/.well-known/pelican-configuration"


KNOWN: Final = {
    "osdf": Federation(
        "Open Science Data Federation",
        "pelican://osg-htc.org",
        "Scientific data of many institutions.",
    ),
    "path-cc": Federation(
        "PATh", "pelican://path-cc.io", "Data of the Partnership to Advance Throughput Computing."
    ),
}


def federations(settings: EndpointSettings) -> dict[str, Federation]:
    """Return the federations that can be asked, by the names they have in requests."""
    found = dict(KNOWN)
    for name, url in settings.pelican_federations.items():
        described = KNOWN.get(name, Federation(name, url, "Configured by the operator."))
        found[name] = described._replace(url=url)
    if settings.pelican_federation_url:
        found["custom"] = Federation(
            "Custom federation", settings.pelican_federation_url, "Configured by the operator."
        )
    return found


def named(name: str, among: Mapping[str, Federation]) -> Federation:
    """Return the federation of a name, or of a host.

    Raises
    ------
    MissingError
        If there is none.
    """
    wanted = name.strip().lower()
    if wanted in among:
        return among[wanted]
    for federation in among.values():
        if federation.host == wanted:
            return federation
    raise MissingError(f"No federation {name!r}. This endpoint knows {', '.join(sorted(among))}.")


def parsed(address: str, among: Mapping[str, Federation]) -> tuple[Federation, str]:
    """Return the federation and the path in ``pelican://federation/path``.

    Raises
    ------
    ImpossibleError
        If it is no such address.
    MissingError
        If there is no such federation.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme == "osdf" and "osdf" in among:
        # It is itself the federation: osdf:///path, but osdf://path is in use too.
        return among["osdf"], checked_path(unquote(f"/{parts.netloc}{parts.path}"))
    if parts.scheme != "pelican" or not parts.netloc or "@" in parts.netloc:
        raise ImpossibleError("URL must start with pelican:// and the name of a federation.")
    return named(parts.netloc, among), checked_path(unquote(parts.path))


def checked_path(path: str) -> str:
    """Return the path of a file or collection, which begins with a slash.

    Raises
    ------
    ImpossibleError
        If it leads out of where it begins, or cannot be asked for.
    """
    reason = ""
    if not path.strip("/"):
        reason = "it names no namespace"
    elif _CONTROL.search(path):
        reason = "it holds control characters"
    elif len(path) > _LONGEST:
        reason = f"it is longer than {_LONGEST} characters"
    elif {".", ".."} & set(path.split("/")):
        reason = "a part of it is . or .."
    if reason:
        raise ImpossibleError(f"{path[:80]!r} is no path in a federation: {reason}.")
    return f"/{path.lstrip('/')}"


def quoted(path: str) -> str:
    """Return a path as it stands in an address."""
    return quote(path, safe="/~")
