"""What surrounds every request of a service."""

import re
from collections.abc import Sequence

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from rexec_jupyter.web.correlation import CorrelationMiddleware
from rexec_jupyter.web.errors import FailureMiddleware
from rexec_jupyter.web.limits import LimitsMiddleware
from rexec_jupyter.web.logging import AccessLogMiddleware
from rexec_jupyter.web.metrics import Metrics, MetricsMiddleware
from rexec_jupyter.web.redirects import RelativeRedirectsMiddleware
from rexec_jupyter.web.root_path import RootPathMiddleware


def surroundings(
    metrics: Metrics,
    *,
    root_path: str,
    cors_origins: Sequence[str],
    max_body: int,
    max_body_variable: str,
    streamed: re.Pattern[str] | None = None,
) -> list[Middleware]:
    """Return the middleware, the outermost first.

    Parameters
    ----------
    metrics
        Where requests are counted.
    root_path
        Prefix under which a proxy shows the service.
    cors_origins
        Origins of pages that may ask from within a browser.
    max_body, max_body_variable, streamed
        As for `LimitsMiddleware`.
    """
    cors = (
        Middleware(
            CORSMiddleware,
            allow_origins=cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["X-Correlation-ID"],
        ),
    )
    return [
        Middleware(RootPathMiddleware, root_path=root_path),
        Middleware(CorrelationMiddleware),
        Middleware(AccessLogMiddleware),
        Middleware(MetricsMiddleware, metrics=metrics),
        *(cors if cors_origins else ()),
        Middleware(RelativeRedirectsMiddleware),
        Middleware(FailureMiddleware),
        Middleware(
            LimitsMiddleware, max_body=max_body, variable=max_body_variable, streamed=streamed
        ),
    ]
