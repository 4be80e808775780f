"""What the operator of a service sets about identity and rights."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _named(variable: str) -> AliasChoices:
    """Return the names of a variable: that of an endpoint, and that of a deploy API."""
    return AliasChoices(f"REXEC_EP_{variable}", f"REXEC_DEPLOY_{variable}")


class AuthSettings(BaseSettings):
    """How a service finds out who asks, and who may do what.

    Everything is off by default: without an identity service or keys, no token is accepted.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        populate_by_name=True,
        frozen=True,
        hide_input_in_errors=True,
    )

    # Asking an identity service.
    auth_api_url: str = ""
    auth_timeout: float = Field(default=5.0, gt=0, le=60, validation_alias=_named("AUTH_TIMEOUT"))
    auth_cache_seconds: float = Field(
        default=60.0, ge=0, le=3600, validation_alias=_named("AUTH_CACHE_SECONDS")
    )

    # Verifying tokens by the public keys of their issuer instead.
    jwks_url: str = Field(default="", validation_alias=_named("JWKS_URL"))
    jwt_issuer: str = Field(default="", validation_alias=_named("JWT_ISSUER"))
    jwt_audience: str = Field(default="", validation_alias=_named("JWT_AUDIENCE"))

    # Who may do what.
    enable_group_based_access: bool = False
    group_names: Annotated[tuple[str, ...], NoDecode] = ()
    affinities_ep_uuid: str = ""
    enable_access_requests: bool = False
    login_failures: int = Field(default=10, ge=1, validation_alias=_named("LOGIN_FAILURES"))

    # Development: one token that may do everything, without any identity service.
    development: bool = Field(default=False, validation_alias=_named("DEVELOPMENT"))
    development_token_file: Path | None = Field(
        default=None, validation_alias=_named("DEVELOPMENT_TOKEN_FILE")
    )
    test_token: SecretStr = SecretStr("")

    @field_validator("auth_api_url", "jwks_url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        url = url.strip()
        if not url:
            return url
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it must be an address that begins with http:// or https://")
        if parts.username is not None or parts.password is not None:
            raise ValueError("it must not hold a name or password: the service tells it to users")
        return url

    @field_validator("group_names", mode="before")
    @classmethod
    def _separated_by_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.jwks_url and not self.jwt_issuer:
            raise ValueError(
                "…_JWKS_URL needs …_JWT_ISSUER: a token counts only if its issuer is known"
            )
        if (
            self.development
            and self.development_token_file is None
            and not self.test_token.get_secret_value().strip()
        ):
            raise ValueError(
                "…_DEVELOPMENT needs …_DEVELOPMENT_TOKEN_FILE or TEST_TOKEN: "
                "there is no token that everybody knows"
            )
        return self
