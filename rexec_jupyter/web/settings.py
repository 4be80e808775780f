"""How a service reads what its operator set."""

from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

_Settings = TypeVar("_Settings", bound=BaseSettings)


class SettingsError(ValueError):
    """Something that the operator set cannot be; the text says what, but not to what value."""


def read(kind: type[_Settings], prefix: str) -> _Settings:
    """Return the settings of this process.

    Parameters
    ----------
    kind
        What they are.
    prefix
        What this service's variables begin with, of those that others call otherwise.

    Raises
    ------
    SettingsError
        If some cannot be.
    """
    try:
        return kind()
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)
        raise SettingsError("; ".join(_sentence(item, prefix) for item in wrong)) from None


def root_path(path: str) -> str:
    """Return a prefix of paths with a slash at its beginning and none at its end."""
    path = path.strip("/")
    return f"/{path}" if path else ""


def separated_by_commas(value: object) -> object:
    """Return the parts of a text that are separated by commas; anything else as it is."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _sentence(item: ErrorDetails, prefix: str) -> str:
    message = item["msg"].removeprefix("Value error, ")
    # What is wrong with several together says itself which.
    if not item["loc"]:
        return message
    name = str(item["loc"][0]).upper()
    return f"{name.replace('REXEC_EP', prefix, 1)}: {message}"
