"""The values that requests about the catalog consist of, and what they can hold."""

import math
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    StringConstraints,
    model_validator,
)

LONGEST_URL: Final = 8192
"""Characters that an address may have."""

_DEEPEST: Final = 32
_LONGEST_INTEGER: Final = 2**63
_WEB: Final = ("http://", "https://")
_LINKS: Final = (*_WEB, "s3://", "ws://", "wss://", "/", ".")


class Body(BaseModel):
    """A body that holds nothing but what every database and every JSON reader can keep.

    Python's JSON reader takes more than JSON has: infinite numbers, and halves of surrogate pairs.
    Databases know no NUL character. All of it is refused here, wherever in the body it is.
    """

    @model_validator(mode="before")
    @classmethod
    def _can_be_kept(cls, value: Any) -> Any:
        _check(value)
        return value


def said(**values: Any) -> dict[str, Any]:
    """Return what a request says: null means the same as leaving out."""
    return {name: value for name, value in values.items() if value is not None}


def _check(value: Any, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"Values are nested more than {_DEEPEST} deep")
    match value:
        case str():
            _check_text(value)
        case float() if not math.isfinite(value):
            raise ValueError("JSON has neither infinite numbers nor NaN; use null or a text")
        case int() if abs(value) >= _LONGEST_INTEGER:
            raise ValueError("An integer has more than 64 bits; write it as a text")
        case dict():
            for key, item in value.items():
                _check(key, depth + 1)
                _check(item, depth + 1)
        case list() | tuple():
            for item in value:
                _check(item, depth + 1)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("A text holds a NUL character, which no database keeps")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(
                "A text holds half of a surrogate pair, which is no character"
            ) from None


def _web_address(address: str) -> str:
    if not address.lower().startswith(_WEB):
        raise ValueError("An address on the web begins with http:// or https://")
    return _with_host(address)


def _object_address(address: str) -> str:
    if not address.lower().startswith((*_WEB, "s3://")):
        raise ValueError("The address of an object begins with s3://, http:// or https://")
    return _with_host(address)


def _link(address: str) -> str:
    if not address.lower().startswith(_LINKS):
        raise ValueError(
            "The address of a resource begins with http://, https://, s3://, ws://, wss://, / or ."
        )
    return address if address.startswith(("/", ".")) else _with_host(address)


def _with_host(address: str) -> str:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"It is no address: {error}") from None
    if not parts.hostname and not (parts.scheme == "s3" and parts.netloc):
        raise ValueError("The address names no host")
    return address


def _without_credentials(address: str) -> str:
    if "@" in urlsplit(address).netloc:
        raise ValueError("The address holds a user name or password, which everybody would read")
    return address


# No blank and no control character: neither belongs in an address, and headers break at some.
_Address = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=LONGEST_URL,
        pattern=r"^[^\s\x00-\x1f\x7f]+$",
    ),
]

WebUrl = Annotated[_Address, AfterValidator(_web_address)]
"""``http://`` or ``https://``."""

ObjectUrl = Annotated[_Address, AfterValidator(_object_address)]
"""An object of an S3 store, by ``s3://`` or by its address on the web."""

ResourceUrl = Annotated[_Address, AfterValidator(_link)]
"""Where the content of a resource is; relative ones count too."""

ServiceUrl = Annotated[WebUrl, AfterValidator(_without_credentials)]
"""Where a service answers; it is shown to everybody."""

DatasetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+$", max_length=200)]
"""Lower-case letters, digits, ``_`` and ``-``."""

Title = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Owner = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Notes = Annotated[str, StringConstraints(max_length=1_000_000)]
Word = Annotated[str, StringConstraints(max_length=200)]
Words = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=200)]], Field(max_length=1000)
]
Key = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Extras = Annotated[dict[Key, Any], Field(max_length=1000)]
TextExtras = Annotated[dict[Key, str], Field(max_length=1000)]

OWNER: Final = "Name or identifier of the organization that it belongs to."
NAME: Final = "Unique name: lower-case letters, digits, _ and -."
TITLE: Final = "What people read."
NOTES: Final = "What it is, in any length."
EXTRAS: Final = "Anything else, by key."


class Created(BaseModel):
    """What was registered."""

    id: str = Field(description="Identifier of its dataset.")
