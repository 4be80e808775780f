"""How an endpoint is."""

from __future__ import annotations

import warnings
from typing import Any

from rexec_jupyter.endpoint import models as m
from rexec_jupyter.endpoint.asking import ask
from rexec_jupyter.endpoint.errors import EndpointError, UnreachableError
from rexec_jupyter.endpoint.exchange import Request, Steps, reason, refusal

OLDEST = (0, 2, 0)
"""The oldest version of the API that has all that is asked for here."""


def get_system_status() -> Steps[m.SystemStatus]:
    """Return how the endpoint is set up, and how it is."""
    told: m.SystemStatus = yield from _about("/status/", "system status")
    return told


def get_system_metrics() -> Steps[m.SystemMetrics]:
    """Return what the endpoint's machine does."""
    told: m.SystemMetrics = yield from _about("/status/metrics", "system metrics")
    return told


def get_kafka_details() -> Steps[m.KafkaDetails]:
    """Return where the endpoint's Kafka is."""
    told: m.KafkaDetails = yield from _about("/status/kafka-details", "Kafka details")
    return told


def get_jupyter_details() -> Steps[m.JupyterDetails]:
    """Return where the endpoint's JupyterLab is."""
    told: m.JupyterDetails = yield from _about("/status/jupyter", "Jupyter details")
    return told


def _about(path: str, what: str) -> Steps[Any]:
    return (yield from ask(Request("GET", path), f"Failed to fetch {what}"))


def available() -> Steps[None]:
    """Make sure that there is an endpoint."""
    try:
        answer = yield Request("GET", "/")
    except UnreachableError as error:
        raise UnreachableError(error.message, hint=error.hint) from None
    if not answer.ok:
        raise refusal(
            answer,
            f"API connection check failed with status code {answer.status} "
            f"({reason(answer.status)}): {answer.url}",
            hint="Check the address.",
        )


def version() -> Steps[str | None]:
    """Return the version of the API if it tells. Never fails."""
    try:
        # The first real request tells what is wrong, if something is.
        answer = yield Request("GET", "/status/", retries=0)
        told = answer.json() if answer.ok else None
    except EndpointError:
        return None
    if not isinstance(told, dict):
        return None
    names = ("version", "api_version", "app_version")
    return next((str(told[name]) for name in names if told.get(name)), None)


def warn_if_old(version: str | None, *, stacklevel: int) -> None:
    """Warn of an API that lacks some of what is asked for here."""
    numbers = (version or "").split(".")
    if len(numbers) != len(OLDEST) or not all(number.isdecimal() for number in numbers):
        return
    if tuple(map(int, numbers)) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        warnings.warn(
            f"API version compatibility warning: Current API version ({version}) is below the "
            f"minimum required version ({oldest}). Some features may not work as expected. "
            "Consider updating the API server.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
