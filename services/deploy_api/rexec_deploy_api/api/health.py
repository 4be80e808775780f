"""Whether the service lives, and whether it can serve."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from rexec_deploy_api.models import HealthBody
from rexec_deploy_api.running import Running

TAG = "Health"
router = APIRouter(tags=[TAG])


def _running(request: Request) -> Running:
    running: Running = request.app.state.running
    return running


@router.get(
    "/health",
    summary="Whether the service lives",
    responses={503: {"model": HealthBody, "description": "It has to be started anew."}},
)
async def health(request: Request, response: Response) -> HealthBody:
    """Say that the service answers, and that what it does besides goes on."""
    alive = _running(request).alive
    response.status_code = 200 if alive else 503
    return HealthBody(status="healthy" if alive else "unhealthy")


@router.get(
    "/ready",
    summary="Whether the service can serve",
    responses={503: {"model": HealthBody, "description": "It does not know yet what there is."}},
)
async def ready(request: Request, response: Response) -> HealthBody:
    """Tell whether it knows what there is.

    The broker's silence keeps servers from getting ready, but takes nothing out of service.
    """
    running = _running(request)
    able = running.alive and running.spawner.ready
    response.status_code = 200 if able else 503
    checks = {
        "servers": running.spawner.ready,
        "broker": running.attendance.known,
        "leads": running.spawner.leads,
    }
    return HealthBody(status="ready" if able else "not_ready", checks=checks)
