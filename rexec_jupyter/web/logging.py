"""The log: one line of JSON for each thing that happened, with the request it belongs to."""

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rexec_jupyter.auth.redaction import RedactingFilter
from rexec_jupyter.web.correlation import correlation_id
from rexec_jupyter.web.metrics import route_template

_access = logging.getLogger("rexec.access")


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if identifier := correlation_id():
            line["correlation_id"] = identifier
        line |= getattr(record, "fields", {})
        if record.exc_text:  # what the filter left of the traceback
            line["exception"] = record.exc_text
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(level: str) -> None:
    """Write the log of this process to stderr as JSON, without anything secret."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(RedactingFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # They tell of every request that is made, with its address.
    for name in ("httpx", "httpcore", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)


class AccessLogMiddleware:
    """Logs each request: who asked for what, and how it went. Never the query string."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or not _access.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        try:
            await self._app(scope, receive, watched)
        finally:
            client = scope.get("client")
            fields = {
                "method": scope["method"],
                "path": scope["path"],
                "route": route_template(scope),
                "status": status,
                "milliseconds": round((time.perf_counter() - began) * 1000, 2),
                "client": client[0] if client else None,
            }
            _access.info("%s %s", scope["method"], scope["path"], extra={"fields": fields})
