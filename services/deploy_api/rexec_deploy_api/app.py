"""The application: what belongs to a deploy API, put together."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from rexec_deploy_api.api import existing, health, v1
from rexec_deploy_api.asking import Parts
from rexec_deploy_api.errors import HANDLERS, also_told
from rexec_deploy_api.running import Counts, Running, open_spawner
from rexec_deploy_api.settings import PREFIX, DeploySettings
from rexec_deploy_api.spawner.base import Spawner
from rexec_deploy_api.tickets import Tickets
from rexec_jupyter._version import __version__
from rexec_jupyter.auth.authenticator import Authenticator
from rexec_jupyter.auth.roles import Access
from rexec_jupyter.web.errors import install
from rexec_jupyter.web.metrics import Metrics
from rexec_jupyter.web.surroundings import surroundings

Opener = Callable[[DeploySettings, Tickets], Awaitable[Spawner]]

_log = logging.getLogger(__name__)


def create_app(settings: DeploySettings, spawner: Opener = open_spawner) -> FastAPI:
    """Return the deploy API as an ASGI application.

    Parameters
    ----------
    settings
        What its operator set.
    spawner
        Makes what runs servers.

    Raises
    ------
    SettingsError
        If keys or profiles cannot be read.
    """
    tickets, profiles = settings.tickets(), settings.read_profiles()
    metrics = Metrics(PREFIX.lower())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state = app.state
        async with AsyncExitStack() as stack:
            state.auth = Authenticator(settings)
            stack.push_async_callback(state.auth.close)
            state.access = Access(settings)
            try:
                opened = await spawner(settings, tickets)
                running = Running(opened, tickets, profiles, settings)
                state.running = await stack.enter_async_context(running)
            except OSError as error:
                _log.critical("servers cannot be run (%s): %s", settings.spawner, error)
                raise
            state.parts = Parts(settings, running.servers, tickets, profiles)
            counts = Counts(running)
            metrics.registry.register(counts)
            stack.callback(metrics.registry.unregister, counts)
            yield

    app = FastAPI(
        title="rexec deploy API",
        description="Starts, watches and ends the servers that run the code of users.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        middleware=surroundings(
            metrics,
            root_path=settings.app_root_path,
            cors_origins=settings.cors_origins,
            max_body=settings.max_body,
            max_body_variable=f"{PREFIX}_MAX_BODY",
        ),
    )
    install(app, HANDLERS, also_told)
    for router in (v1.router, existing.router, health.router, metrics.router(health.TAG)):
        app.include_router(router)
    return app
