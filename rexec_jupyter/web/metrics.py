"""What a service counts, and how Prometheus reads it.

Labels hold the template of a route, never the address that was asked for: no name of anything,
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

_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# When each series began, which doubles them and nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has it untyped


class Metrics:
    """What one service counts of its requests.

    Parameters
    ----------
    prefix
        Of the names, such as ``rexec_ep``.

    Attributes
    ----------
    registry
        Where more can be counted.
    """

    def __init__(self, prefix: str) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            f"{prefix}_requests",
            "Requests answered",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            f"{prefix}_request_seconds",
            "Seconds from a request to the end of its answer",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.under_way = Gauge(
            f"{prefix}_requests_under_way",
            "Requests being handled",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self._prefix = prefix

    def router(self, tag: str) -> APIRouter:
        """Return the route that shows them."""
        router = APIRouter(tags=[tag])
        example = (
            f'{self._prefix}_requests_total{{method="GET",route="/health",status="200"}} 12.0\n'
        )
        content = {"text/plain": {"schema": {"type": "string"}, "example": example}}
        router.add_api_route(
            "/metrics",
            self._shown,
            summary="Metrics for Prometheus",
            description="Count requests by method, route and status, and tell how long they took.",
            operation_id="metrics_metrics_get",
            response_class=Response,
            responses={
                200: {
                    "description": "The metrics in Prometheus' text format.",
                    "content": content,
                }
            },
        )
        return router

    def _shown(self) -> Response:
        registry = self.registry
        if os.environ.get(SHARED):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # likewise
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class MetricsMiddleware:
    """Counts requests and measures how long they take.

    Parameters
    ----------
    app
        What handles the rest.
    metrics
        Where they are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

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

        metrics = self._metrics
        began = time.perf_counter()
        metrics.under_way.inc()
        try:
            await self._app(scope, receive, watched)
        finally:
            metrics.under_way.dec()
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = route_template(scope)
            metrics.requests.labels(method, route, str(status)).inc()
            metrics.seconds.labels(method, route).observe(time.perf_counter() - began)


def route_template(scope: Scope) -> str:
    """Return the template of the route that handled a request, or ``unmatched``."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
