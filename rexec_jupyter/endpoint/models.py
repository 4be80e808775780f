"""What an endpoint answers: plain dictionaries and lists, with names for their fields.

Fields that not every endpoint has are not required.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Message(TypedDict):
    """What was done, in words."""

    message: str
    success: NotRequired[bool]


class Created(TypedDict):
    """The id of what was made."""

    id: str


class OrganizationCreated(Created):
    """An organization that was made."""

    message: str


class DatasetCreated(Created):
    """A dataset that was made; a warning tells if it got another name."""

    name: str
    title: str
    warning: str | None
    message: NotRequired[str]


class Resource(TypedDict):
    """A file, stream or service of a dataset."""

    id: str
    name: str | None
    url: str | None
    description: NotRequired[str | None]
    format: NotRequired[str | None]


class FoundResource(Resource):
    """A resource with the dataset it is of."""

    dataset_id: str
    dataset_name: str
    dataset_title: NotRequired[str | None]


class ResourceSearch(TypedDict):
    """Resources that were found; `count` is how many there are in all."""

    count: int
    results: list[FoundResource]


class Dataset(TypedDict):
    """A dataset, as a search finds it."""

    id: str
    name: str
    title: str | None
    owner_org: str | None
    notes: str | None
    resources: list[Resource]
    extras: dict[str, Any]
    tags: NotRequired[list[str]]
    groups: NotRequired[list[str]]
    private: NotRequired[bool]
    license_id: NotRequired[str | None]
    version: NotRequired[str | None]


class SystemStatus(TypedDict):
    """How an endpoint is set up, and how it is."""

    api_version: str
    organization: str
    ep_name: str
    group_based_access: bool
    local_catalog_backend: str
    backend_connected: bool
    pre_ckan_enabled: bool
    kafka_enabled: bool
    jupyterlab_enabled: bool
    s3_enabled: bool
    auth_api_url: str
    metrics_endpoint: str
    metrics_interval_seconds: int
    is_public: bool
    rexec_version: NotRequired[str]
    global_enabled: NotRequired[bool]
    pre_ckan_connected: NotRequired[bool | None]
    kafka_host: NotRequired[str | None]
    kafka_port: NotRequired[int | None]
    jupyterlab_url: NotRequired[str | None]
    s3_connected: NotRequired[bool | None]


class SystemMetrics(TypedDict):
    """What an endpoint's machine does."""

    public_ip: str | None
    cpu: str
    memory: str
    disk: str
    services: dict[str, Any]


class KafkaDetails(TypedDict):
    """Where an endpoint's Kafka is."""

    kafka_host: str | None
    kafka_port: int | None
    kafka_connection: bool
    kafka_prefix: NotRequired[str]
    max_streams: NotRequired[int]


class JupyterDetails(TypedDict):
    """Where an endpoint's JupyterLab is."""

    jupyter_url: str


class UserInfo(TypedDict, total=False):
    """Who the endpoint takes one for; with whatever its identity service tells besides."""

    sub: str
    username: str
    email: str
    roles: list[str]
    groups: list[Any]
    ndp_user_id: str
    effective_role: str


class Bucket(TypedDict):
    """A bucket."""

    name: str
    creation_date: str | None


class Buckets(TypedDict):
    """All buckets."""

    buckets: list[Bucket]


class StoredObject(TypedDict):
    """An object in a bucket."""

    key: str
    size: int
    etag: str
    last_modified: str | None
    content_type: str | None


class Objects(TypedDict):
    """Objects of a bucket."""

    objects: list[StoredObject]
    prefix: str | None


class UploadedObject(TypedDict):
    """An object that was stored."""

    bucket: str
    key: str
    size: int
    etag: str


class ObjectMetadata(TypedDict):
    """What is known of an object."""

    key: str
    size: int
    content_type: str | None
    last_modified: str | None
    etag: str
    metadata: dict[str, str]


class PresignedUrl(TypedDict):
    """An address that works without a token for so many seconds."""

    url: str
    expires_in: int


class Federations(TypedDict):
    """Pelican federations by name."""

    success: bool
    federations: dict[str, Any]
    count: int


class Listing(TypedDict):
    """What a Pelican namespace holds."""

    success: bool
    path: str
    files: list[Any]
    count: int


class FileInfo(TypedDict):
    """What is known of a file in a Pelican federation."""

    success: bool
    file: dict[str, Any]


class ImportedResource(TypedDict):
    """The resource that was made of a Pelican file."""

    success: bool
    resource: Resource


class Spawned(TypedDict, total=False):
    """What a deploy API says of a server that it starts or has; as it writes it."""

    Status: str
    Username: str
    NDP_Endpoint_membership: str | None
