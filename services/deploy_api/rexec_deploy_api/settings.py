"""What the operator of a deploy API sets, by environment variables or a file ``.env``.

What exists under another name in older deployments keeps it; everything else begins with
``REXEC_DEPLOY_``.
"""

import re
import sys
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, BeforeValidator, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from rexec_deploy_api.profiles import Clocks, Profiles, read_profiles
from rexec_deploy_api.tickets import Broker, Tickets
from rexec_jupyter.auth.settings import AuthSettings
from rexec_jupyter.core.quantities import duration
from rexec_jupyter.web.settings import SettingsError, read, root_path, separated_by_commas

PREFIX = "REXEC_DEPLOY"
"""What the variables of this service begin with."""

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_KEY = re.compile(r"[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")
_ENDPOINT = re.compile(r"tcp://[A-Za-z0-9._\[\]:-]+:[0-9]{1,5}")


def _seconds(value: object) -> object:
    return duration(value) if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]


def _named(variable: str, *older: str) -> AliasChoices:
    return AliasChoices(f"{PREFIX}_{variable}", *older)


class DeploySettings(AuthSettings):
    """All settings of a deploy API, those of `AuthSettings` included."""

    # The service.
    app_root_path: str = ""
    max_body: int = Field(default=1024 * 1024, gt=0, validation_alias=_named("MAX_BODY"))
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), validation_alias=_named("CORS_ORIGINS")
    )

    # Where servers run. Those of Kubernetes have settings of their own.
    spawner: Literal["process", "kubernetes"] = Field(
        default="process", validation_alias=_named("SPAWNER")
    )
    directory: Path = Field(default=Path("data/servers"), validation_alias=_named("DIRECTORY"))

    # What they may be.
    profiles: Path | None = Field(default=None, validation_alias=_named("PROFILES"))
    python: str = Field(
        default=f"{sys.version_info.major}.{sys.version_info.minor}",
        pattern=r"^3\.[0-9]{1,2}$",
        validation_alias=_named("PYTHON"),
    )
    max_servers: int = Field(default=5, ge=1, validation_alias=_named("MAX_SERVERS"))
    allow_urls: bool = Field(default=False, validation_alias=_named("ALLOW_URLS"))
    max_requirements: int = Field(
        default=500, ge=1, le=10_000, validation_alias=_named("MAX_REQUIREMENTS")
    )
    start_timeout: Seconds = Field(default=300.0, gt=0, validation_alias=_named("START_TIMEOUT"))
    # For profiles that do not say otherwise; 0 for never.
    idle_timeout: Seconds = Field(default=0.0, validation_alias=_named("IDLE_TIMEOUT"))
    orphan_timeout: Seconds = Field(default=0.0, validation_alias=_named("ORPHAN_TIMEOUT"))
    max_lifetime: Seconds = Field(default=0.0, validation_alias=_named("MAX_LIFETIME"))
    # How much longer a user may let one live at once.
    max_extension: Seconds = Field(
        default=24 * 3600.0, gt=0, validation_alias=_named("MAX_EXTENSION")
    )

    # What is signed, and the broker that believes it.
    signing_key_file: Path = Field(
        default=Path("keys/signing.pem"), validation_alias=_named("SIGNING_KEY_FILE")
    )
    secret_file: Path = Field(default=Path("keys/secret"), validation_alias=_named("SECRET_FILE"))
    audience: str = Field(default="rexec", min_length=1, validation_alias=_named("AUDIENCE"))
    broker_host: str = Field(
        default="127.0.0.1",
        validation_alias=_named("BROKER_HOST", "REXEC_BROKER_EXTERNAL_HOST"),
    )
    broker_port: int = Field(
        default=5559,
        ge=1,
        le=65535,
        validation_alias=_named("BROKER_PORT", "REXEC_BROKER_EXTERNAL_PORT"),
    )
    broker_servers: str = Field(
        default="tcp://127.0.0.1:5560", validation_alias=_named("BROKER_SERVERS")
    )
    broker_key: str = Field(default="", validation_alias=_named("BROKER_KEY"))
    broker_key_file: Path | None = Field(default=None, validation_alias=_named("BROKER_KEY_FILE"))
    broker_health_url: str = Field(
        default="http://127.0.0.1:5562", validation_alias=_named("BROKER_HEALTH_URL")
    )

    @field_validator("app_root_path")
    @classmethod
    def _prefix(cls, path: str) -> str:
        return root_path(path)

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        return separated_by_commas(value)

    @field_validator("broker_host")
    @classmethod
    def _of_host(cls, host: str) -> str:
        if not _HOST.fullmatch(host):
            raise ValueError("it is the name or address of a host alone")
        return host

    @field_validator("broker_servers")
    @classmethod
    def _of_endpoint(cls, endpoint: str) -> str:
        if not _ENDPOINT.fullmatch(endpoint):
            raise ValueError("it is an address such as tcp://broker:5560")
        return endpoint

    @field_validator("broker_health_url")
    @classmethod
    def _of_web(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")) or "@" in url:
            raise ValueError("it begins with http:// or https:// and holds no credentials")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.broker_key and self.broker_key_file:
            raise ValueError(f"{PREFIX}_BROKER_KEY and {PREFIX}_BROKER_KEY_FILE are the same")
        if not (self.broker_key or self.broker_key_file):
            raise ValueError(
                f"{PREFIX}_BROKER_KEY or {PREFIX}_BROKER_KEY_FILE is missing: the broker's public "
                "CURVE key, without which nobody can tell that it is the broker"
            )
        return self

    def tickets(self) -> Tickets:
        """Read the keys.

        Raises
        ------
        SettingsError
            If one cannot be read, or is none.
        """
        broker = Broker(self.broker_host, self.broker_port, self.broker_servers, self._key())
        try:
            return Tickets.read(
                self.signing_key_file, self.secret_file, broker, audience=self.audience
            )
        except OSError as error:
            raise SettingsError(f"{error.filename}: {error.strerror}") from None
        except ValueError as error:
            where = f"{self.signing_key_file} and {self.secret_file}"
            raise SettingsError(f"the keys in {where} cannot be used: {error}") from None

    def read_profiles(self) -> Profiles:
        """Read the profiles.

        Raises
        ------
        SettingsError
            If they cannot be read, or something in them cannot be.
        """
        clocks = Clocks(
            idle_timeout=self.idle_timeout,
            orphan_timeout=self.orphan_timeout,
            max_lifetime=self.max_lifetime,
            start_timeout=self.start_timeout,
        )
        return read_profiles(self.profiles, clocks)

    def _key(self) -> str:
        key = self.broker_key
        if self.broker_key_file is not None:
            try:
                key = self.broker_key_file.read_text(encoding="ascii")
            except OSError as error:
                raise SettingsError(f"{error.filename}: {error.strerror}") from None
            except UnicodeDecodeError:
                key = ""
        if not _KEY.fullmatch(key.strip()):
            raise SettingsError("the broker's public CURVE key has 40 characters of Z85")
        return key.strip()


def read_settings() -> DeploySettings:
    """Return the settings of this process.

    Raises
    ------
    SettingsError
        If some cannot be.
    """
    return read(DeploySettings, PREFIX)
