"""What the endpoint counts, and how Prometheus reads it.

Labels hold the template of a route, never the address that was asked for: no name of a dataset,
no user and no token ends in one. Several worker processes count into one directory, which
``PROMETHEUS_MULTIPROC_DIR`` names.
"""

import os
import time

from fastapi import APIRouter, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that names the directory that several workers count into."""

router = APIRouter(tags=["Health and status"])

_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# When each series began, which doubles them and nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has it untyped
_registry = CollectorRegistry()
_requests = Counter(
    "rexec_ep_requests",
    "Requests answered",
    ["method", "route", "status"],
    registry=_registry,
)
_seconds = Histogram(
    "rexec_ep_request_seconds",
    "Seconds from a request to the end of its answer",
    ["method", "route"],
    buckets=_BUCKETS,
    registry=_registry,
)
_under_way = Gauge(
    "rexec_ep_requests_under_way",
    "Requests being handled",
    registry=_registry,
    multiprocess_mode="livesum",
)


class MetricsMiddleware:
    """Counts requests and measures how long they take."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        _under_way.inc()
        try:
            await self._app(scope, receive, watched)
        finally:
            _under_way.dec()
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = route_template(scope)
            _requests.labels(method, route, str(status)).inc()
            _seconds.labels(method, route).observe(time.perf_counter() - began)


def route_template(scope: Scope) -> str:
    """Return the template of the route that handled a request, or ``unmatched``."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "The metrics in Prometheus' text format.",
            "content": {
                "text/plain": {
                    "schema": {"type": "string"},
                    "example": 'rexec_ep_requests_total{method="GET",route="/search",'
                    'status="200"} 12.0\n',
                }
            },
        }
    },
)
def metrics() -> Response:
    """Count requests by method, route and status, and tell how long they took."""
    registry = _registry
    if os.environ.get(SHARED):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # likewise
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
