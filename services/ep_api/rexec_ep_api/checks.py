"""How the things are that the endpoint uses, asked all at once and never for long."""

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Literal, Protocol

from fastapi import FastAPI
from pydantic import BaseModel, Field

from rexec_ep_api.catalog.store import Catalog
from rexec_ep_api.settings import EndpointSettings

_log = logging.getLogger(__name__)

_PATIENCE = 2.0


class Check(BaseModel):
    """How one of them is."""

    status: Literal["up", "down", "disabled"]
    latency_ms: float | None = Field(default=None, description="How long it took to answer.")
    backend: str | None = Field(default=None, description="What stands behind it.")
    error: str | None = Field(default=None, description="What is wrong with it.")


class Answering(Protocol):
    """An optional part of the endpoint that can be asked whether it is there."""

    async def ping(self) -> object:
        """Return anything, or raise why not."""


_DISABLED = Check(status="disabled")


async def check_all(app: FastAPI) -> dict[str, Check]:
    """Return how everything is, by name."""
    local, pre_ckan, store, kafka = await asyncio.gather(
        check_catalog(app), check_pre_ckan(app), check_store(app), check_kafka(app)
    )
    return {"local_catalog": local, "pre_ckan": pre_ckan, "minio": store, "kafka": kafka}


async def check_catalog(app: FastAPI) -> Check:
    """Return how the local catalog is."""
    catalog: Catalog | None = app.state.catalog
    if catalog is None:
        return _DISABLED
    return await _measured(catalog.ping(), "The catalog", catalog.backend)


async def check_pre_ckan(app: FastAPI) -> Check:
    """Return how the catalog of published datasets is."""
    return await _asked(app.state.pre_ckan, "The pre-CKAN catalog")


async def check_store(app: FastAPI) -> Check:
    """Return how the object storage is."""
    return await _asked(app.state.storage, "The object storage")


async def check_kafka(app: FastAPI) -> Check:
    """Return whether something listens where Kafka is said to be."""
    settings: EndpointSettings = app.state.settings
    if not settings.kafka_connection:
        return _DISABLED
    return await _measured(_reach(settings.kafka_host, settings.kafka_port), "Kafka")


async def _asked(part: Answering | None, what: str) -> Check:
    return _DISABLED if part is None else await _measured(part.ping(), what)


async def _reach(host: str, port: int) -> None:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    await writer.wait_closed()


async def _measured(answer: Awaitable[object], what: str, backend: str | None = None) -> Check:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(_PATIENCE):
            await answer
    except TimeoutError:
        error = f"{what} did not answer within {_PATIENCE:g} seconds."
        return Check(status="down", backend=backend, error=error)
    except Exception:  # noqa: BLE001 - whatever it is, it is down
        _log.warning("%s cannot be reached", what, exc_info=True)
        return Check(status="down", backend=backend, error=f"{what} cannot be reached.")
    latency = round((time.perf_counter() - began) * 1000, 3)
    return Check(status="up", latency_ms=latency, backend=backend)
