"""The extension of Jupyter servers."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Bool

from rexec_jupyter.labapp.actions import Actions
from rexec_jupyter.labapp.catalog import Catalog
from rexec_jupyter.labapp.handlers import ROUTES
from rexec_jupyter.labapp.job_logs import JobLogs
from rexec_jupyter.labapp.pythons import Pythons
from rexec_jupyter.labapp.stream import NAME
from rexec_jupyter.labapp.watch import Watcher

_THREADS = 12


class RexecPanel(ExtensionApp):
    """Answers the panel in the browser, below ``BASE_URL/rexec/api``.

    Attributes
    ----------
    watcher, actions, catalog, logs
        What the handlers ask.
    """

    name = NAME

    read_only = Bool(
        default_value=False,
        help="Whether the panel may only look: nothing is started, ended or changed from there.",
    ).tag(config=True)

    watcher: Watcher
    actions: Actions
    catalog: Catalog
    logs: JobLogs

    def initialize_settings(self) -> None:
        """Make what the handlers ask."""
        logger = logging.getLogger(__package__)
        logger.parent = self.log  # where whoever runs this Jupyter server looks
        logger.setLevel(self.log.level)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="rexec-panel")
        self.watcher = Watcher(self._pool)
        server: Any = self.serverapp
        pythons = Pythons(server.kernel_spec_manager, server.kernel_manager, self._pool)
        self.actions = Actions(self.watcher, pythons, self._pool)
        self.catalog = Catalog(self._pool)
        self.logs = JobLogs(self.watcher)

    def initialize_handlers(self) -> None:
        """Add the routes."""
        self.handlers.extend(ROUTES)

    async def stop_extension(self) -> None:
        """Let go of the backend."""
        await self.watcher.close()
        self.logs.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
