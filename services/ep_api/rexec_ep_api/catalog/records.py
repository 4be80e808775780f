"""What the catalog takes and gives.

Times are UTC without a time zone, as in CKAN. In changes, None leaves a field as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

SERVICES = "services"
"""The organization that owns services; every catalog has it."""
MOST = 1000
"""Datasets that one search returns unless told otherwise."""


@dataclass(frozen=True, slots=True)
class NewOrganization:
    """An organization that shall exist.

    Attributes
    ----------
    name
        Unique name.
    creator
        `rexec_jupyter.auth.identity.Identity.user_id` of whoever registers it.
    creator_md5
        The same in the form of older catalogs.
    """

    name: str
    title: str
    description: str = ""
    creator: str = ""
    creator_md5: str = ""


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization."""

    id: str
    name: str
    title: str
    description: str
    creator: str
    creator_md5: str
    created: datetime


@dataclass(frozen=True, slots=True)
class NewResource:
    """A resource that shall be part of a dataset.

    Attributes
    ----------
    id
        In a patch of a dataset: which of its resources it takes the place of. None for the one
        with the same url or name.
    """

    url: str = ""
    name: str = ""
    description: str | None = None
    format: str | None = None
    mimetype: str | None = None
    size: int | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """A part of a dataset: something that can be opened at a URL."""

    id: str
    dataset_id: str
    url: str
    name: str
    description: str | None
    format: str | None
    mimetype: str | None
    size: int | None
    created: datetime
    modified: datetime


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """What shall be different about a resource."""

    name: str | None = None
    url: str | None = None
    description: str | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class NewDataset:
    """A dataset that shall exist.

    Attributes
    ----------
    owner_org
        Name or identifier of an organization.
    extras
        Anything that JSON can hold, by key.
    creator
        `rexec_jupyter.auth.identity.Identity.user_id` of whoever registers it; sees it even if
        it is private.
    """

    name: str
    title: str
    owner_org: str
    notes: str = ""
    extras: Mapping[str, Any] = field(default_factory=dict)
    resources: tuple[NewResource, ...] = ()
    tags: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    private: bool = False
    license_id: str | None = None
    version: str | None = None
    creator: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset.

    Attributes
    ----------
    owner_org
        Name of its organization.
    """

    id: str
    name: str
    title: str
    owner_org: str
    notes: str
    extras: Mapping[str, Any]
    resources: tuple[Resource, ...]
    tags: tuple[str, ...]
    groups: tuple[str, ...]
    private: bool
    license_id: str | None
    version: str | None
    creator: str
    created: datetime
    modified: datetime


@dataclass(frozen=True, slots=True)
class DatasetChange:
    """What shall be different about a dataset.

    Attributes
    ----------
    extras
        Added to those there are, or in place of those with the same keys.
    resources
        In place of those there are or, in a patch, beside them: one with the url or the name of
        another takes its place. None at all means unchanged in either case.
    """

    name: str | None = None
    title: str | None = None
    owner_org: str | None = None
    notes: str | None = None
    extras: Mapping[str, Any] | None = None
    resources: tuple[NewResource, ...] | None = None
    tags: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    private: bool | None = None
    license_id: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who is looking.

    Attributes
    ----------
    user_id
        Sees the private datasets that it created; empty for nobody known.
    sees_all
        Whether it sees the private datasets of others too.
    """

    user_id: str = ""
    sees_all: bool = False


ANYBODY = Viewer()
"""Somebody without a token."""
EVERYTHING = Viewer(sees_all=True)
"""The endpoint itself."""


@dataclass(frozen=True, slots=True)
class Term:
    """A text that must occur, whatever its case.

    Attributes
    ----------
    text
        What must occur.
    key
        In which field; None for any. ``name``, ``title``, ``notes``, ``owner_org`` (also
        ``organization``), ``tags``, ``groups``, ``id``, ``license_id``, ``version``,
        ``res_name``, ``res_url``, ``res_description``, ``res_format``, or the key of an extra,
        as it is or after ``extras_``.
    """

    text: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class ResourceFilter:
    """What one and the same resource of a dataset must have.

    Attributes
    ----------
    url, name, description
        Exactly this.
    format
        This, whatever its case.
    """

    url: str | None = None
    name: str | None = None
    description: str | None = None
    format: str | None = None

    def __bool__(self) -> bool:
        return any(
            wanted is not None for wanted in (self.url, self.name, self.description, self.format)
        )


@dataclass(frozen=True, slots=True)
class Period:
    """When the extra ``timestamp`` of a dataset must be, in UTC.

    Attributes
    ----------
    start, end
        Limits, which belong to it.
    nearest
        Whether only the one dataset is wanted that is nearest to the single limit.
    """

    start: datetime | None = None
    end: datetime | None = None
    nearest: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """Which datasets are searched for; all conditions together."""

    terms: tuple[Term, ...] = ()
    resources: ResourceFilter = ResourceFilter()
    period: Period | None = None
    viewer: Viewer = ANYBODY
    limit: int = MOST
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ResourceQuery:
    """Which resources are searched for; all conditions together, whatever the case.

    Attributes
    ----------
    q
        Occurs in the name, the url or the description.
    name, url, description
        Occurs there.
    format
        Is the format.
    """

    q: str | None = None
    name: str | None = None
    url: str | None = None
    description: str | None = None
    format: str | None = None
    viewer: Viewer = ANYBODY
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, slots=True)
class FoundResource:
    """A resource and the dataset that it belongs to."""

    resource: Resource
    dataset_name: str
    dataset_title: str


@dataclass(frozen=True, slots=True)
class Count:
    """How much the catalog holds."""

    organizations: int
    datasets: int
    services: int
    resources: int
