"""What WebDAV says of files and collections."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

from rexec_ep_api.integrations.errors import UnreachableError

_DAV: Final = "{DAV:}"
_NOT_UNDERSTOOD: Final = "The Pelican federation gave a listing that cannot be understood."


class Entry(NamedTuple):
    """A file, or a collection of them.

    Attributes
    ----------
    path
        Where it is in the federation.
    """

    path: str
    size: int
    is_collection: bool
    modified: datetime | None
    content_type: str | None


def entries(body: bytes) -> list[Entry]:
    """Return what an answer to PROPFIND tells of.

    Raises
    ------
    UnreachableError
        If it cannot be understood.
    """
    try:
        text = body.decode()
        if "<!DOCTYPE" in text:
            raise UnreachableError(_NOT_UNDERSTOOD)
        # Without a document type there are no entities, which are what makes XML dangerous.
        root = ET.fromstring(text)  # noqa: S314 - as said
    except (ET.ParseError, UnicodeDecodeError, ValueError):
        raise UnreachableError(_NOT_UNDERSTOOD) from None
    return list(_entries(root))


def moment(text: str | None) -> datetime | None:
    """Return the time that an HTTP header or WebDAV tells."""
    try:
        found = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def size(text: str | None) -> int:
    """Return a length that is told in decimal digits; 0 if it is not."""
    return int(text) if text and text.isascii() and text.isdigit() else 0


def _entries(root: ET.Element) -> Iterator[Entry]:
    for response in root.iter(f"{_DAV}response"):
        address = response.findtext(f"{_DAV}href", "")
        yield Entry(
            # A full address is allowed there as well as a path.
            path=unquote(urlsplit(address).path),
            size=size(_property(response, "getcontentlength")),
            is_collection=response.find(f".//{_DAV}resourcetype/{_DAV}collection") is not None
            or _property(response, "iscollection") == "1",
            modified=moment(_property(response, "getlastmodified")),
            content_type=_property(response, "getcontenttype"),
        )


def _property(response: ET.Element, name: str) -> str | None:
    text = response.findtext(f".//{_DAV}{name}")
    return text.strip() if text and text.strip() else None
