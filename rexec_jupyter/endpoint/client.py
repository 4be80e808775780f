"""The endpoint client: catalog, storage and remote execution of an endpoint.

`EndpointClient` has the methods of ``ndp_ep.APIClient`` with the same parameters and results;
`AsyncEndpointClient` has them as coroutines.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from rexec_jupyter.endpoint import (
    catalog,
    federations,
    paging,
    pelican,
    registrations,
    rexec,
    status,
    storage,
    users,
)
from rexec_jupyter.endpoint import events as pelican_events
from rexec_jupyter.endpoint.address import base, check_secret
from rexec_jupyter.endpoint.binding import (
    aside,
    asynchronous,
    asynchronously_paged,
    here,
    paged,
    sync,
)
from rexec_jupyter.endpoint.errors import InvalidError
from rexec_jupyter.endpoint.transport import RETRIES, TIMEOUT, AsyncDriver, Channel, Driver

if TYPE_CHECKING:
    from rexec_jupyter.local.lease import EndpointLease


class _Client:
    """What both clients have."""

    _driver: Any
    # What keeps the embedded backend going, if it is its endpoint.
    _lease: EndpointLease | None = None

    def __init__(
        self,
        base_url: str,
        token: str | None,
        username: str | None,
        password: str | None,
    ) -> None:
        if token and (username or password):
            raise InvalidError(
                "Provide either a token or username/password, not both.", hint="Leave one out."
            )
        self.base_url = base(base_url)
        if token:
            check_secret(self.base_url)
        self.api_version: str | None = None

    @property
    def token(self) -> str | None:
        """The bearer token, if there is one."""
        channel: Channel = self._driver
        return channel.token or None

    def __repr__(self) -> str:
        login = "logged in" if self.token else "not logged in"
        return f"<{type(self).__name__} at {self.base_url}, {login}>"


class EndpointClient(_Client):
    """An endpoint: its catalog, its storage and its remote execution.

    Parameters
    ----------
    base_url
        The endpoint's address. A bare host gets ``https://``, or ``http://`` on this computer.
    token
        Bearer token.
    username, password
        In place of a token.
    timeout
        Seconds that the endpoint may be silent.
    retries
        How often a request that may be repeated is.

    Attributes
    ----------
    base_url
        The endpoint's address.
    api_version
        Version of its API, once it is known.

    Raises
    ------
    EndpointError
        If both a token and a name are given, or the address cannot be used.
    """

    _driver: Driver

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        *,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
    ) -> None:
        super().__init__(base_url, token, username, password)
        self._driver = Driver(self.base_url, token or "", timeout, retries)
        try:
            if username and password:
                self.get_token(username, password)
            if self.token:
                self.api_version = self._driver.run(status.version())
                status.warn_if_old(self.api_version, stacklevel=2)
            else:
                self._driver.run(status.available())
        except BaseException:
            self.close()
            raise

    @classmethod
    def local(cls, *, start: bool = True, timeout: float = TIMEOUT, retries: int = RETRIES) -> Self:
        """Return a client of the endpoint on this computer, which lasts until it is closed.

        Parameters
        ----------
        start
            Whether it may be started if none runs.
        timeout
            Seconds that the endpoint may be silent.
        retries
            How often a request that may be repeated is.

        Raises
        ------
        NotConfiguredError
            If none runs, and it may not be started.
        StartError
            If it does not get ready.
        """
        from rexec_jupyter.local.lease import EndpointLease  # noqa: PLC0415 - only if wanted

        lease = EndpointLease(start=start)
        try:
            client = cls(lease.url, lease.token, timeout=timeout, retries=retries)
        except BaseException:
            lease.close()
            raise
        client._lease = lease
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._driver.close()
        if self._lease is not None:
            self._lease.close()

    def get_token(self, username: str, password: str) -> None:
        """Log in; from then on the client uses the token that it is given.

        Raises
        ------
        EndpointError
            If it is given none.
        """
        self._driver.token = self._driver.run(users.login(username, password))

    get_user_info = sync(users.get_user_info)

    get_system_status = sync(status.get_system_status)
    get_system_metrics = sync(status.get_system_metrics)
    get_kafka_details = sync(status.get_kafka_details)
    get_jupyter_details = sync(status.get_jupyter_details)

    list_organizations = sync(catalog.list_organizations)
    register_organization = sync(catalog.register_organization)
    delete_organization = sync(catalog.delete_organization)
    register_general_dataset = sync(catalog.register_general_dataset)
    update_general_dataset = sync(catalog.update_general_dataset)
    patch_general_dataset = sync(catalog.patch_general_dataset)
    get_dataset = sync(catalog.get_dataset)
    publish_dataset = sync(catalog.publish_dataset)
    search_datasets = sync(catalog.search_datasets)
    advanced_search = sync(catalog.advanced_search)
    iterate_datasets = paged(paging.datasets)
    search_resources = sync(catalog.search_resources)
    iterate_resources = paged(paging.resources)
    get_resource = sync(catalog.get_resource)
    patch_resource = sync(catalog.patch_resource)
    delete_resource = sync(catalog.delete_resource)
    delete_resource_by_id = sync(catalog.delete_resource_by_id)
    delete_resource_by_name = sync(catalog.delete_resource_by_name)
    patch_dataset_resource = sync(catalog.patch_dataset_resource)
    delete_dataset_resource = sync(catalog.delete_dataset_resource)

    register_kafka_topic = sync(registrations.register_kafka_topic)
    update_kafka_topic = sync(registrations.update_kafka_topic)
    register_url = sync(registrations.register_url)
    update_url_resource = sync(registrations.update_url_resource)
    register_s3_link = sync(registrations.register_s3_link)
    update_s3_resource = sync(registrations.update_s3_resource)
    patch_s3_resource = sync(registrations.patch_s3_resource)
    register_service = sync(registrations.register_service)
    update_service = sync(registrations.update_service)
    patch_service = sync(registrations.patch_service)

    list_buckets = sync(storage.list_buckets)
    create_bucket = sync(storage.create_bucket)
    get_bucket_info = sync(storage.get_bucket_info)
    delete_bucket = sync(storage.delete_bucket)
    list_objects = sync(storage.list_objects)
    upload_object = sync(storage.upload_object)
    download_object = sync(storage.download_object)
    delete_object = sync(storage.delete_object)
    get_object_metadata = sync(storage.get_object_metadata)
    generate_presigned_upload_url = sync(storage.generate_presigned_upload_url)
    generate_presigned_download_url = sync(storage.generate_presigned_download_url)

    list_federations = sync(pelican.list_federations)
    browse_pelican = sync(pelican.browse_pelican)
    get_pelican_info = sync(pelican.get_pelican_info)
    download_pelican = sync(pelican.download_pelican)
    import_pelican_metadata = sync(pelican.import_pelican_metadata)
    pelican_read = here(federations.pelican_read)
    pelican_list = here(federations.pelican_list)
    pelican_fetch = here(federations.pelican_fetch)
    subscribe_pelican = here(pelican_events.subscribe_pelican)

    setup_rexec_environment = sync(rexec.setup_rexec_environment)
    terminate_rexec_environment = sync(rexec.terminate_rexec_environment)


APIClient = EndpointClient
"""The name that programs written for ``ndp_ep`` use."""


class AsyncEndpointClient(_Client):
    """As `EndpointClient`, for event loops: it is entered with ``async with``."""

    _driver: AsyncDriver

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        *,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
    ) -> None:
        super().__init__(base_url, token, username, password)
        self._driver = AsyncDriver(self.base_url, token or "", timeout, retries)
        self._login = (username, password) if username and password else ()

    @classmethod
    async def local(
        cls,
        *,
        start: bool = True,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - it is kept for later requests
        retries: int = RETRIES,
    ) -> Self:
        """Return a client of the endpoint on this computer, which lasts until it is closed.

        Parameters
        ----------
        start
            Whether it may be started if none runs.
        timeout
            Seconds that the endpoint may be silent.
        retries
            How often a request that may be repeated is.

        Raises
        ------
        NotConfiguredError
            If none runs, and it may not be started.
        StartError
            If it does not get ready.
        """
        from rexec_jupyter.local.lease import EndpointLease  # noqa: PLC0415 - only if wanted

        lease = await asyncio.to_thread(EndpointLease, start=start)
        client = cls(lease.url, lease.token, timeout=timeout, retries=retries)
        client._lease = lease
        return client

    async def __aenter__(self) -> Self:
        try:
            if self._login:
                await self.get_token(*self._login)
                self._login = ()
            if self.token:
                self.api_version = await self._driver.run(status.version())
                status.warn_if_old(self.api_version, stacklevel=2)
            else:
                await self._driver.run(status.available())
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._driver.close()
        if self._lease is not None:
            self._lease.close()

    async def get_token(self, username: str, password: str) -> None:
        """Log in; from then on the client uses the token that it is given.

        Raises
        ------
        EndpointError
            If it is given none.
        """
        self._driver.token = await self._driver.run(users.login(username, password))

    get_user_info = asynchronous(users.get_user_info)

    get_system_status = asynchronous(status.get_system_status)
    get_system_metrics = asynchronous(status.get_system_metrics)
    get_kafka_details = asynchronous(status.get_kafka_details)
    get_jupyter_details = asynchronous(status.get_jupyter_details)

    list_organizations = asynchronous(catalog.list_organizations)
    register_organization = asynchronous(catalog.register_organization)
    delete_organization = asynchronous(catalog.delete_organization)
    register_general_dataset = asynchronous(catalog.register_general_dataset)
    update_general_dataset = asynchronous(catalog.update_general_dataset)
    patch_general_dataset = asynchronous(catalog.patch_general_dataset)
    get_dataset = asynchronous(catalog.get_dataset)
    publish_dataset = asynchronous(catalog.publish_dataset)
    search_datasets = asynchronous(catalog.search_datasets)
    advanced_search = asynchronous(catalog.advanced_search)
    iterate_datasets = asynchronously_paged(paging.datasets)
    search_resources = asynchronous(catalog.search_resources)
    iterate_resources = asynchronously_paged(paging.resources)
    get_resource = asynchronous(catalog.get_resource)
    patch_resource = asynchronous(catalog.patch_resource)
    delete_resource = asynchronous(catalog.delete_resource)
    delete_resource_by_id = asynchronous(catalog.delete_resource_by_id)
    delete_resource_by_name = asynchronous(catalog.delete_resource_by_name)
    patch_dataset_resource = asynchronous(catalog.patch_dataset_resource)
    delete_dataset_resource = asynchronous(catalog.delete_dataset_resource)

    register_kafka_topic = asynchronous(registrations.register_kafka_topic)
    update_kafka_topic = asynchronous(registrations.update_kafka_topic)
    register_url = asynchronous(registrations.register_url)
    update_url_resource = asynchronous(registrations.update_url_resource)
    register_s3_link = asynchronous(registrations.register_s3_link)
    update_s3_resource = asynchronous(registrations.update_s3_resource)
    patch_s3_resource = asynchronous(registrations.patch_s3_resource)
    register_service = asynchronous(registrations.register_service)
    update_service = asynchronous(registrations.update_service)
    patch_service = asynchronous(registrations.patch_service)

    list_buckets = asynchronous(storage.list_buckets)
    create_bucket = asynchronous(storage.create_bucket)
    get_bucket_info = asynchronous(storage.get_bucket_info)
    delete_bucket = asynchronous(storage.delete_bucket)
    list_objects = asynchronous(storage.list_objects)
    upload_object = asynchronous(storage.upload_object)
    download_object = asynchronous(storage.download_object)
    delete_object = asynchronous(storage.delete_object)
    get_object_metadata = asynchronous(storage.get_object_metadata)
    generate_presigned_upload_url = asynchronous(storage.generate_presigned_upload_url)
    generate_presigned_download_url = asynchronous(storage.generate_presigned_download_url)

    list_federations = asynchronous(pelican.list_federations)
    browse_pelican = asynchronous(pelican.browse_pelican)
    get_pelican_info = asynchronous(pelican.get_pelican_info)
    download_pelican = asynchronous(pelican.download_pelican)
    import_pelican_metadata = asynchronous(pelican.import_pelican_metadata)
    pelican_read = aside(federations.pelican_read)
    pelican_list = aside(federations.pelican_list)
    pelican_fetch = aside(federations.pelican_fetch)
    subscribe_pelican = here(pelican_events.subscribe_pelican)

    setup_rexec_environment = asynchronous(rexec.setup_rexec_environment)
    terminate_rexec_environment = asynchronous(rexec.terminate_rexec_environment)
