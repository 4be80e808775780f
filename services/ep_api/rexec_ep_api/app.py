"""The application: what belongs to an endpoint, put together."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import psutil
from fastapi import FastAPI

from rexec_ep_api import errors, metrics
from rexec_ep_api.api import (
    datasets,
    health,
    organizations,
    pelican,
    redirect,
    resources,
    root,
    search,
    services,
    status,
    storage,
    users,
)
from rexec_ep_api.api.registrations import kafka, s3, url
from rexec_ep_api.catalog.errors import CatalogError
from rexec_ep_api.catalog.store import Catalog
from rexec_ep_api.integrations.parts import open_parts
from rexec_ep_api.openapi import TAGS
from rexec_ep_api.pages import router as pages
from rexec_ep_api.settings import EndpointSettings
from rexec_jupyter.auth.authenticator import Authenticator
from rexec_jupyter.auth.roles import Access
from rexec_jupyter.auth.throttle import LoginThrottle
from rexec_jupyter.web.errors import install
from rexec_jupyter.web.surroundings import surroundings

# The order counts where paths overlap: the fixed before the variable.
_ROUTERS = (
    search.router,  # asked most, so it is found first
    root.router,
    health.router,
    status.router,
    metrics.router,
    users.router,
    organizations.router,
    datasets.router,
    resources.router,
    redirect.router,
    services.router,
    url.router,
    storage.router,
    s3.router,
    kafka.router,
    pelican.router,
    pages.router,
)

# Objects stream through to the store, which has limits of its own.
_STREAMED = re.compile(r"/s3/objects/[^/]+")


def create_app(settings: EndpointSettings) -> FastAPI:
    """Return the endpoint as an ASGI application.

    Parameters
    ----------
    settings
        What its operator set.
    """
    app = FastAPI(
        title=settings.swagger_title,
        description=settings.swagger_description,
        version=settings.swagger_version,
        openapi_tags=TAGS,
        # The pages of `pages` do the same without anything from elsewhere.
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        middleware=surroundings(
            metrics.METRICS,
            root_path=settings.root_path,
            cors_origins=settings.cors_origins,
            max_body=settings.max_body,
            max_body_variable="REXEC_EP_MAX_BODY",
            streamed=_STREAMED,
        ),
    )
    app.state.settings = settings
    install(app, {CatalogError: errors.on_catalog})
    for router in _ROUTERS:
        app.include_router(router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what the requests use, and close it after the last one."""
    state = app.state
    settings: EndpointSettings = state.settings
    async with AsyncExitStack() as stack:
        state.auth = Authenticator(settings)
        stack.push_async_callback(state.auth.close)
        state.access = Access(settings)
        state.logins = LoginThrottle(settings.login_failures)
        state.catalog = None
        if settings.catalog_enabled:
            state.catalog = await Catalog.open(
                settings.database_url.get_secret_value(), patience=settings.database_wait
            )
            stack.push_async_callback(state.catalog.close)
        await open_parts(state, settings, stack)
        psutil.cpu_percent()  # what comes later is measured from here
        yield
