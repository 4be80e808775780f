"""What the operator of an endpoint sets, by environment variables or a file ``.env``.

The names are those that existing deployments use; what is new begins with ``REXEC_EP_``. The
defaults are safe: nothing is sent anywhere, nobody is let in, and nothing optional runs.
"""

import re
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from rexec_jupyter.auth.settings import AuthSettings
from rexec_jupyter.web.settings import read, root_path, separated_by_commas

_FEDERATION = re.compile(r"(pelican|https?)://[A-Za-z0-9.:\[\]-]+/?")
_STORE = re.compile(r"(https?://)?[A-Za-z0-9.:\[\]-]+/?")
_WEB = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[^\s@?#]*)?")
_THREE_INTEGERS = re.compile(r"\d+\.\d+\.\d+")


Server = Literal["local", "global", "pre_ckan"]
"""The catalogs that a request may name."""


def _named(variable: str) -> str:
    return f"REXEC_EP_{variable}"


class EndpointSettings(AuthSettings):
    """All settings of an endpoint, those of `AuthSettings` included."""

    # What the endpoint says of itself.
    swagger_title: str = "rexec endpoint"
    swagger_description: str = (
        "A catalog of datasets and services, and the way to remote execution."
    )
    swagger_version: str = "1.0.0"
    organization: str = "Unknown Organization"
    ep_name: str = "Unknown EP"
    root_path: str = ""
    is_public: bool = False
    metrics_endpoint: str = ""
    metrics_interval_seconds: int = 3300

    # The service.
    max_body: int = Field(default=16 * 1024 * 1024, gt=0, validation_alias=_named("MAX_BODY"))
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), validation_alias=_named("CORS_ORIGINS")
    )

    # The local catalog.
    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///data/catalog.sqlite3"), validation_alias=_named("DATABASE_URL")
    )
    database_wait: float = Field(default=0, ge=0, validation_alias=_named("DATABASE_WAIT"))
    ckan_local_enabled: bool = True
    local_catalog_backend: str = "sql"

    # Other catalogs.
    ckan_global_url: str = ""
    pre_ckan_enabled: bool = False
    pre_ckan_url: str = ""
    pre_ckan_api_key: SecretStr = SecretStr("")
    pre_ckan_verify_ssl: bool = True
    pre_ckan_organization: str = ""

    # Remote execution, Jupyter and Kafka: where they are.
    rexec_connection: bool = False
    rexec_deployment_api_url: str = ""
    use_jupyterlab: bool = False
    jupyter_url: str = ""
    kafka_connection: bool = False
    kafka_host: str = "localhost"
    kafka_port: int = Field(default=9092, ge=1, le=65535)
    kafka_prefix: str = "data_stream_"
    max_streams: int = 10

    # Seconds that stores, federations and other catalogs have to answer.
    patience: float = Field(default=10, gt=0, le=300, validation_alias=_named("PATIENCE"))

    # S3 storage.
    s3_enabled: bool = False
    s3_endpoint: str = ""
    s3_access_key: SecretStr = SecretStr("")
    s3_secret_key: SecretStr = SecretStr("")
    s3_secure: bool = False
    s3_region: str = "us-east-1"
    # Where users reach the store, if not where the endpoint does; for presigned addresses.
    s3_public_url: str = Field(default="", validation_alias=_named("S3_PUBLIC_URL"))

    # Pelican.
    pelican_enabled: bool = False
    pelican_federation_url: str = ""
    # More of them, or other addresses of known ones: name=pelican://host,…
    pelican_federations: Annotated[dict[str, str], NoDecode] = Field(
        default={}, validation_alias=_named("PELICAN_FEDERATIONS")
    )
    pelican_direct_reads: bool = False

    # The reverse proxy to registered services.
    redirect_private: bool = Field(default=False, validation_alias=_named("REDIRECT_PRIVATE"))

    @property
    def catalog_enabled(self) -> bool:
        """Whether this endpoint has a catalog of its own."""
        return self.ckan_local_enabled and self.local_catalog_backend.lower() != "none"

    @property
    def s3_configured(self) -> bool:
        """Whether this endpoint has an object storage."""
        keys = (self.s3_access_key, self.s3_secret_key)
        return self.s3_enabled and all(key.get_secret_value() for key in keys)

    @field_validator("swagger_version")
    @classmethod
    def _comparable(cls, version: str) -> str:
        if not _THREE_INTEGERS.fullmatch(version):
            raise ValueError("clients compare it, so it must be three integers, as in 1.0.0")
        return version

    @field_validator("root_path")
    @classmethod
    def _without_final_slash(cls, path: str) -> str:
        return root_path(path)

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins_separated_by_commas(cls, value: object) -> object:
        return separated_by_commas(value)

    @field_validator("pelican_federations", mode="before")
    @classmethod
    def _pairs_separated_by_commas(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if not all(name.strip() and url.strip() for name, _, url in pairs):
            raise ValueError("it is written as name=pelican://host, separated by commas")
        return {name.strip().lower(): url.strip() for name, _, url in pairs}

    @field_validator("pelican_federation_url", "pelican_federations")
    @classmethod
    def _of_federations(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        for url in (value,) if isinstance(value, str) else value.values():
            if url and not _FEDERATION.fullmatch(url):
                raise ValueError("a federation has an address such as pelican://osg-htc.org")
        return value

    @field_validator("s3_endpoint")
    @classmethod
    def _of_store(cls, address: str) -> str:
        if address and not _STORE.fullmatch(address):
            raise ValueError("a store has an address such as localhost:9000 or https://s3.host")
        return address

    @field_validator("s3_public_url", "ckan_global_url", "pre_ckan_url")
    @classmethod
    def _of_web(cls, address: str) -> str:
        if address and not _WEB.fullmatch(address):
            raise ValueError("it begins with http:// or https:// and holds no credentials")
        return address.rstrip("/")


def read_settings() -> EndpointSettings:
    """Return the settings of this process.

    Raises
    ------
    SettingsError
        If some cannot be.
    """
    return read(EndpointSettings, "REXEC_EP")
