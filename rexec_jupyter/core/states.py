"""The states of jobs, as `Job.state` and lists of jobs tell them."""

from __future__ import annotations

OPEN = frozenset(("waiting", "queued", "starting", "running", "streaming", "interrupting"))
"""Those of jobs that have not ended."""
