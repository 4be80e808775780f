"""The code that loads a resource of a catalog: as a line to copy, or as a cell of a notebook.

Catalogs hold what anybody put there: it stands in the code as literals only, and what leads
nowhere, as an address that is relative, has no code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from rexec_jupyter.endpoint.formats import BYTES, READERS, WEBSOCKET, Reader, kind_of

Told = Mapping[str, Any]
"""A dataset or a resource, as endpoints tell of it."""

_HTTP = ("http", "https")
_WEB = (*_HTTP, "ftp")
_SOCKETS = ("ws", "wss")
_CARRIERS = {
    "http": ("aiohttp",),
    "https": ("aiohttp",),
    "ftp": (),
    "s3": ("s3fs",),
    "gs": ("gcsfs",),
    "abfs": ("adlfs",),
    "osdf": ("pelicanfs",),
}
"""What fsspec needs to open files there."""
_FEDERATIONS = ("pelican", "osdf")
_GDAL = (*_WEB, "s3", "gs")
_PACKED = {".gz": (), ".bz2": (), ".xz": (), ".zst": ("zstandard",)}
_CLIENT = "from rexec_jupyter.endpoint import EndpointClient"
_FSSPEC = "import fsspec"
_PELICAN = (
    "from io import BytesIO",
    "from rexec_jupyter.endpoint.federations import pelican_read",
)


@dataclass(frozen=True)
class Snippet:
    """One way to load something.

    Attributes
    ----------
    title
        How it does.
    imports, statement
        What loads it.
    shown
        What shows it, or a part of it.
    packages
        What has to be installed for it.
    """

    title: str
    imports: tuple[str, ...]
    statement: str
    shown: str
    packages: tuple[str, ...]

    @property
    def line(self) -> str:
        """It as one line."""
        return "; ".join((*self.imports, self.statement))

    @property
    def cell(self) -> str:
        """It as a cell, which shows what it loaded."""
        needs = [f"# Needs {', '.join(self.packages)}."] if self.packages else []
        return "\n".join((*needs, *self.imports, "", self.statement, self.shown))


@dataclass(frozen=True)
class _Place:
    """Where a resource is.

    Attributes
    ----------
    scheme
        Of its address.
    suffix
        How the file's name ends, without what only tells that it is packed.
    packing
        That end.
    """

    scheme: str
    suffix: str
    packing: str


def by_address(dataset: Told, resource: Told) -> Snippet | None:
    """Return what loads a resource from where it is; None if nothing is known to.

    Parameters
    ----------
    dataset
        What it belongs to.
    resource
        The resource.
    """
    if topic := _topic(dataset, resource):
        name, broker = topic
        consumer = f"KafkaConsumer({literal(name)}, bootstrap_servers={literal(broker)})"
        return Snippet(
            "As a stream",
            ("from kafka import KafkaConsumer",),
            f"messages = {consumer}",
            "messages",
            ("kafka-python",),
        )
    return _loading(dataset, resource, "By its address", literal(_text(resource, "url").strip()))


def through_client(dataset: Told, resource: Told, base: str) -> Snippet | None:
    """Return what asks the endpoint where a resource is; None if nothing is known to load it.

    Parameters
    ----------
    dataset
        What it belongs to, in the endpoint's own catalog.
    resource
        The resource.
    base
        Address of the endpoint.
    """
    client = f"EndpointClient({literal(base)})"
    if _topic(dataset, resource):
        found = f'search_datasets([{literal(_text(dataset, "id"))}], ["id"], server="local")[0]'
        statement = f'topic = {client}.{found}["extras"]'
        title = "Where it is, through the client"
        return Snippet(title, (_CLIENT,), statement, "topic", ("rexec-jupyter",))
    address = f'{client}.get_resource({literal(_text(resource, "id"))})["url"]'
    made = _loading(dataset, resource, "Through the client", address)
    return made and replace(
        made, imports=(_CLIENT, *made.imports), packages=("rexec-jupyter", *made.packages)
    )


def literal(text: str) -> str:
    """Return a text as a literal of ASCII characters, in which nothing can hide."""
    escaped = text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{escaped}"'


def _loading(dataset: Told, resource: Told, title: str, address: str) -> Snippet | None:
    """Return what loads a resource whose address the code has as `address`."""
    place = _place(_text(resource, "url"))
    if place is None:
        return None
    reader = _reader(dataset, resource, place)
    if reader.takes == "store" and place.scheme == "pelican":
        return None  # fsspec does not tell federations apart
    if reader is READERS[BYTES]:
        place = replace(place, packing="")  # it is loaded as it is
    given, imports, more = _given(reader, place, address)
    loaded = reader.load.format(given, options=_options(dataset))
    packages = [*reader.packages, *_PACKED.get(place.packing, ()), *more]
    return Snippet(
        title,
        (*reader.imports, *imports),
        f"{reader.name} = {loaded}",
        reader.shown or reader.name,
        tuple(dict.fromkeys(packages)),
    )


def _reader(dataset: Told, resource: Told, place: _Place) -> Reader:
    if place.scheme in _SOCKETS:
        return READERS[WEBSOCKET]
    kind = kind_of(_said(dataset, resource), place.suffix)
    reader = READERS[kind]
    useless = kind == WEBSOCKET or (reader.takes == "address" and place.scheme not in _HTTP)
    if place.scheme in _FEDERATIONS:
        useless |= bool(place.packing) or reader.takes == "copy"
    return READERS[BYTES] if useless else reader


def _given(
    reader: Reader, place: _Place, address: str
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return what the reader is given, and the imports and packages for that."""
    takes, scheme = reader.takes, place.scheme
    if takes == "raster":
        takes = "address" if scheme in _GDAL else "file"
    if takes == "address" or (takes == "table" and scheme in _WEB):
        return address, (), ()
    if scheme in _FEDERATIONS and takes != "store":
        return f"BytesIO(pelican_read({address}))", _PELICAN, ("rexec-jupyter[pelican]",)
    if takes == "stream" and scheme in _WEB and not place.packing:
        return f"urlopen({address})", ("from urllib.request import urlopen",), ()
    carriers = ("fsspec", *_CARRIERS[scheme])
    if takes in ("table", "store"):
        return address, (), carriers
    if takes == "copy":
        return f'fsspec.open_local("simplecache::" + {address})', (_FSSPEC,), carriers
    unpacking = ', compression="infer"' if place.packing else ""
    return f"fsspec.open({address}{unpacking}).open()", (_FSSPEC,), carriers


def _place(url: str) -> _Place | None:
    """Return where an address leads; None if it leads nowhere, or nothing is known that goes."""
    try:
        parts = urlsplit(url.strip())
        where = parts.hostname or (parts.scheme == "osdf" and parts.path.strip("/"))
        known = {*_CARRIERS, *_FEDERATIONS, *_SOCKETS}
        _ = parts.port  # that it is a number
        path = PurePosixPath(unquote(parts.path))
    except ValueError:
        return None
    if not where or parts.scheme not in known:
        return None
    packing = path.suffix.lower() if path.suffix.lower() in _PACKED else ""
    return _Place(parts.scheme, (path.with_suffix("") if packing else path).suffix, packing)


def _topic(dataset: Told, resource: Told) -> tuple[str, str] | None:
    """Return the name and the broker of a Kafka topic; None if that is none."""
    extras = _extras(dataset)
    host, port = extras.get("host"), extras.get("port")
    if _text(resource, "format").strip().lower() != "kafka" or not host or not port:
        return None
    return str(extras.get("topic") or _text(resource, "name")), f"{host}:{port}"


def _said(dataset: Told, resource: Told) -> Iterator[str]:
    """Return what is told of the format."""
    yield _text(resource, "format")
    yield _text(resource, "mimetype")
    if _single(dataset):
        yield _text(_extras(dataset), "file_type")


def _options(dataset: Told) -> str:
    """Return how a table is written, where whoever registered it said so."""
    said = _extras(dataset).get("processing")
    if not isinstance(said, Mapping) or not _single(dataset):
        return ""
    separator, comment = _text(said, "delimiter"), _text(said, "comment_char")
    options = f", sep={literal(separator)}" if separator not in ("", ",") else ""
    return options + (f", comment={literal(comment)}" if comment else "")


def _single(dataset: Told) -> bool:
    """Whether what is told of a dataset is told of the one resource that it has."""
    return len(dataset.get("resources") or ()) == 1


def _extras(dataset: Told) -> Told:
    extras = dataset.get("extras")
    if isinstance(extras, list):  # as CKAN has them
        pairs = (pair for pair in extras if isinstance(pair, Mapping))
        return {_text(pair, "key"): pair.get("value") for pair in pairs}
    return extras if isinstance(extras, Mapping) else {}


def _text(told: Told, name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""
