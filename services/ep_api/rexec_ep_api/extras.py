"""What users add to a dataset under keys of their own, and the keys that are not theirs."""

from collections.abc import Mapping
from typing import Any, Final

from rexec_ep_api.attribution import CREATOR_KEYS
from rexec_ep_api.catalog.errors import InvalidError

COMMON: Final = frozenset(("name", "title", "owner_org", "notes", "id", "resources"))
"""Keys that every dataset has itself."""

DATASET: Final = COMMON | {
    "tags",
    "private",
    "license_id",
    "version",
    "state",
    "created",
    "last_modified",
    "url",
}
"""Keys that a dataset of no particular kind has itself."""


def own_extras(extras: Mapping[str, Any] | None, reserved: frozenset[str]) -> dict[str, Any]:
    """Return the extras that a request may set.

    Who created a dataset is not among them. It is passed over rather than refused, so that what
    was read can be written back.

    Parameters
    ----------
    extras
        What the request has.
    reserved
        Keys that mean something else in datasets of this kind.

    Raises
    ------
    InvalidError
        If it has one of those.
    """
    extras = extras or {}
    found = sorted(reserved & extras.keys())
    if found:
        raise InvalidError(
            f"Reserved key error: extras cannot hold {', '.join(found)}, which the dataset has "
            "itself. Choose other keys."
        )
    return {key: value for key, value in extras.items() if key not in CREATOR_KEYS}
