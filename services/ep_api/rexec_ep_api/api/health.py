"""Whether the service lives, and whether it can serve."""

from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from rexec_ep_api.checks import Check, check_all
from rexec_ep_api.openapi import HEALTH, answer

router = APIRouter(tags=[HEALTH])

_WHEN = "2026-05-04T12:00:00+00:00"


class Health(BaseModel):
    """That the service lives."""

    status: Literal["healthy"] = "healthy"
    timestamp: str


class Readiness(BaseModel):
    """Whether the service can serve, and how what it needs is."""

    status: Literal["ready", "not_ready"]
    timestamp: str
    checks: dict[str, Check] = Field(description="By name of what the service uses.")


_READY = {
    "status": "ready",
    "timestamp": _WHEN,
    "checks": {
        "local_catalog": {"status": "up", "latency_ms": 0.4, "backend": "sqlite"},
        "pre_ckan": {"status": "disabled"},
        "minio": {"status": "disabled"},
        "kafka": {"status": "disabled"},
    },
}


@router.get(
    "/health",
    summary="Whether the service lives",
    responses=answer({"status": "healthy", "timestamp": _WHEN}),
)
async def health() -> Health:
    """Say that the service answers, whatever the state of what it uses."""
    return Health(timestamp=_now())


@router.get(
    "/ready",
    summary="Whether the service can serve",
    response_model_exclude_none=True,
    responses=answer(_READY, "It can serve.")
    | {503: {"model": Readiness, "description": "It cannot serve: its catalog does not answer."}},
)
async def ready(request: Request, response: Response) -> Readiness:
    """Ask everything that the service uses; only the catalog decides whether it can serve.

    A store or a broker that is down takes its own routes with it and nothing else, so it is told
    here without taking the endpoint out of service.
    """
    checks = await check_all(request.app)
    able = checks["local_catalog"].status != "down"
    if not able:
        response.status_code = 503
    return Readiness(status="ready" if able else "not_ready", timestamp=_now(), checks=checks)


def _now() -> str:
    return datetime.now(UTC).isoformat()
