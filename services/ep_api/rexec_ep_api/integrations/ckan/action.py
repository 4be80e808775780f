"""The Action API of a CKAN: calling actions, and what their errors mean."""

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
from pydantic import SecretStr

from rexec_ep_api.catalog.errors import (
    CatalogError,
    DuplicateError,
    InvalidError,
    NotFoundError,
    UnknownOrganizationError,
)
from rexec_ep_api.integrations.asking import new_client, read_all, within
from rexec_ep_api.integrations.errors import UnreachableError
from rexec_jupyter.auth.outbound import presentable

_log = logging.getLogger(__name__)

_MOST: Final = 64 * 1024 * 1024
_TAKEN: Final = ("already in use", "already exists")
_NO_OWNER: Final = "organization does not exist"


class RefusedError(InvalidError):
    """The CKAN does not let whoever asks do this."""


class ActionApi:
    """The actions of one CKAN.

    Parameters
    ----------
    url
        Where it is.
    what
        What it is called in messages, at the beginning of a sentence.
    key
        API key or token; empty to be nobody in particular.
    patience
        Seconds that it has to answer.
    verify
        Whether its certificate is checked.
    """

    def __init__(
        self, url: str, what: str, key: SecretStr, patience: float, *, verify: bool = True
    ) -> None:
        self._base = f"{url.rstrip('/')}/api/3/action/"
        self._key = key
        self._patience = patience
        self._client = new_client(patience, verify=verify)
        self.what = what

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def call(self, action: str, **arguments: Any) -> Any:
        """Return the result of an action.

        Raises
        ------
        CatalogError
            If CKAN refuses it.
        UnreachableError, TooSlowError
            If CKAN does not answer.
        """
        key = self._key.get_secret_value()
        headers = {"Authorization": key} if key else {}
        async with (
            within(self._patience, self.what),
            self._client.stream(
                "POST", self._base + action, json=arguments, headers=headers
            ) as response,
        ):
            body = await read_all(response, _MOST, self.what)
        return self._result(response, body, arguments)

    async def object(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Return the result of an action that has an object for one; else as `call`."""
        result = await self.call(action, **arguments)
        if not isinstance(result, dict):
            raise UnreachableError(f"{self.what} answers {action} with no object.")
        return result

    def _result(self, response: httpx.Response, body: bytes, arguments: Mapping[str, Any]) -> Any:
        status = response.status_code
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        if isinstance(told, dict):
            if status == 200 and told.get("success") is True and "result" in told:
                return told["result"]
            if status < 500 and isinstance(error := told.get("error"), dict):
                raise self._refusal(error, arguments)
        _log.warning("%s answered with HTTP %d and no result.", self.what, status)
        if status in {401, 403}:
            raise self._locked()
        raise UnreachableError(
            f"{self.what} cannot answer at the moment (HTTP {status}). Try again later."
            if status >= 500 or status == 429
            else f"{self.what} does not answer as CKAN does (HTTP {status}). The operator of this "
            "endpoint checks its address."
        )

    def _refusal(self, error: Mapping[str, Any], arguments: Mapping[str, Any]) -> CatalogError:
        """Return the error that CKAN's own means."""
        kind = str(error.get("__type", ""))
        if kind == "Not Found Error":
            return NotFoundError(f"not found: {self.what} knows nothing of that name or id.")
        if kind == "Authorization Error":
            return self._locked()
        reasons = dict(_reasons(error))
        everything = " ".join(reasons.values()).lower()
        if _NO_OWNER in everything:
            return UnknownOrganizationError(
                f"Organization does not exist: {self.what} has none with the name or identifier "
                f"{arguments.get('owner_org')!r}."
            )
        if any(
            taken in reasons.get(name, "").lower() for name in ("name", "id") for taken in _TAKEN
        ):
            return DuplicateError(f"{self.what} has {arguments.get('name')!r} already.")
        text = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        key = self._key.get_secret_value()
        return InvalidError(f"{self.what} refuses it: {presentable(text or kind, without=key)}")

    def _locked(self) -> RefusedError:
        if not self._key.get_secret_value():
            return RefusedError(f"{self.what} does not show that to everybody.")
        _log.error("%s does not let this endpoint do what it was asked to.", self.what)
        return RefusedError(
            f"{self.what} does not let this endpoint do that. Its operator checks the API key."
        )


def _reasons(error: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in error.items():
        if name == "__type":
            continue
        texts = value if isinstance(value, list) else [value]
        yield str(name), " ".join(text if isinstance(text, str) else str(text) for text in texts)
