"""Opening what is configured, and nothing else."""

import asyncio
from contextlib import AsyncExitStack

from starlette.datastructures import State

from rexec_ep_api.integrations.ckan.catalog import CkanCatalog
from rexec_ep_api.integrations.pelican.federation import Pelican
from rexec_ep_api.settings import EndpointSettings


async def open_parts(state: State, settings: EndpointSettings, stack: AsyncExitStack) -> None:
    """Have an application hold what it may use besides its own catalog.

    Parameters
    ----------
    state
        Gets ``storage``, ``pelican``, ``global_ckan`` and ``pre_ckan``: None for what is not
        configured.
    settings
        What the operator set.
    stack
        Closes it all at the end.
    """
    state.storage = state.pelican = state.global_ckan = state.pre_ckan = None
    if settings.s3_configured:
        # Only those who use it pay for boto3 in time and memory, or need to have it.
        from rexec_ep_api.integrations.s3.boto import connect  # noqa: PLC0415

        state.storage = await asyncio.to_thread(connect, settings)
        stack.push_async_callback(state.storage.close)
    if settings.pelican_enabled:
        state.pelican = Pelican(settings.patience, direct_reads=settings.pelican_direct_reads)
        stack.push_async_callback(state.pelican.close)
    if settings.ckan_global_url:
        state.global_ckan = CkanCatalog(
            settings.ckan_global_url, "The global catalog", settings.patience
        )
        stack.push_async_callback(state.global_ckan.close)
    if settings.pre_ckan_enabled and settings.pre_ckan_url:
        state.pre_ckan = CkanCatalog(
            settings.pre_ckan_url,
            "The pre-CKAN catalog",
            settings.patience,
            settings.pre_ckan_api_key,
            verify=settings.pre_ckan_verify_ssl,
        )
        stack.push_async_callback(state.pre_ckan.close)
