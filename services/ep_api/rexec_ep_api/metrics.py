"""What the endpoint counts, and how Prometheus reads it."""

from rexec_ep_api.openapi import HEALTH
from rexec_jupyter.web.metrics import Metrics

METRICS = Metrics("rexec_ep")
router = METRICS.router(HEALTH)
