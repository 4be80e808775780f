"""What the endpoint is, what it offers, and where."""

import shutil
import socket
from typing import Annotated

import psutil
from fastapi import APIRouter, Depends, HTTPException, Request

from rexec_ep_api.checks import check_all
from rexec_ep_api.integrations.errors import NotConfiguredError
from rexec_ep_api.models.status import (
    JupyterDetails,
    KafkaDetails,
    RexecDetails,
    Status,
    SystemMetrics,
)
from rexec_ep_api.openapi import HEALTH, answer, failures
from rexec_ep_api.settings import EndpointSettings
from rexec_jupyter._version import __version__
from rexec_jupyter.auth.dependencies import User, Writer

router = APIRouter(prefix="/status", tags=[HEALTH])

_STATUS = {
    "api_version": "1.0.0",
    "rexec_version": __version__,
    "organization": "Hydrology Lab",
    "ep_name": "rain",
    "group_based_access": False,
    "local_catalog_backend": "postgresql",
    "backend_connected": True,
    "global_enabled": False,
    "pre_ckan_enabled": False,
    "kafka_enabled": True,
    "kafka_host": "kafka.example.org",
    "kafka_port": 9092,
    "jupyterlab_enabled": False,
    "s3_enabled": False,
    "rexec_enabled": True,
    "auth_api_url": "https://idp.example.org/information",
    "metrics_endpoint": "",
    "metrics_interval_seconds": 3300,
    "is_public": False,
}


def _settings(request: Request) -> EndpointSettings:
    settings: EndpointSettings = request.app.state.settings
    return settings


Settings = Annotated[EndpointSettings, Depends(_settings)]


@router.get(
    "/",
    summary="What the endpoint is and what it offers",
    response_model_exclude_none=True,
    responses=answer(_STATUS) | failures(401, 503),
)
async def status(request: Request, settings: Settings, _: User) -> Status:
    """Tell the version, the names and which parts of the endpoint are in use and answer."""
    return await _status(request, settings)


@router.get(
    "/metrics",
    summary="How busy the machine is",
    response_model_exclude_none=True,
    responses=answer(
        {
            "public_ip": "203.0.113.7",
            "cpu": "12.5%",
            "memory": "3GB/16GB",
            "disk": "40GB/100GB",
            "services": _STATUS,
        }
    )
    | failures(401, 503),
)
async def system_metrics(request: Request, settings: Settings, _: User) -> SystemMetrics:
    """Tell the use of processors, memory and disk, and what the endpoint offers."""
    memory = psutil.virtual_memory()
    disk = shutil.disk_usage("/")
    return SystemMetrics(
        public_ip=_own_address(),
        cpu=f"{psutil.cpu_percent():.1f}%",
        memory=f"{_gigabytes(memory.total - memory.available)}/{_gigabytes(memory.total)}",
        disk=f"{_gigabytes(disk.used)}/{_gigabytes(disk.total)}",
        services=await _status(request, settings),
    )


@router.get(
    "/kafka-details",
    summary="Where Kafka is",
    responses=answer(
        {
            "kafka_host": "kafka.example.org",
            "kafka_port": 9092,
            "kafka_connection": True,
            "kafka_prefix": "data_stream_",
            "max_streams": 10,
        }
    )
    | failures(401, 503),
)
async def kafka_details(settings: Settings, _: User) -> KafkaDetails:
    """Tell the address of the Kafka broker and how topics are named."""
    if not settings.kafka_connection:
        raise NotConfiguredError("Kafka", "KAFKA_CONNECTION=true, KAFKA_HOST and KAFKA_PORT")
    return KafkaDetails(
        kafka_host=settings.kafka_host,
        kafka_port=settings.kafka_port,
        kafka_connection=settings.kafka_connection,
        kafka_prefix=settings.kafka_prefix,
        max_streams=settings.max_streams,
    )


@router.get(
    "/jupyter",
    summary="Where JupyterLab is",
    responses=answer({"jupyter_url": "https://jupyter.example.org/lab"}) | failures(401, 404, 503),
)
async def jupyter(settings: Settings, _: User) -> JupyterDetails:
    """Tell the address of the JupyterLab of this endpoint."""
    if not settings.use_jupyterlab:
        raise HTTPException(
            404, "This endpoint has no JupyterLab. Its operator sets USE_JUPYTERLAB to offer one."
        )
    return JupyterDetails(jupyter_url=settings.jupyter_url)


@router.get(
    "/rexec",
    summary="Where remote execution starts",
    responses=answer({"deployment_api_url": "https://compute.example.org/rexec"})
    | failures(401, 403, 404, 503),
)
async def rexec(settings: Settings, _: Writer) -> RexecDetails:
    """Tell the address of the API that starts servers; for writers."""
    if not settings.rexec_connection:
        raise HTTPException(
            404,
            "This endpoint has no remote execution. Its operator sets REXEC_CONNECTION and "
            "REXEC_DEPLOYMENT_API_URL to offer it.",
        )
    return RexecDetails(deployment_api_url=settings.rexec_deployment_api_url)


async def _status(request: Request, settings: EndpointSettings) -> Status:
    checks = await check_all(request.app)
    catalog, pre_ckan, store = checks["local_catalog"], checks["pre_ckan"], checks["minio"]
    kafka, jupyterlab = settings.kafka_connection, settings.use_jupyterlab
    return Status(
        api_version=settings.swagger_version,
        rexec_version=__version__,
        organization=settings.organization,
        ep_name=settings.ep_name,
        group_based_access=settings.enable_group_based_access,
        local_catalog_backend=catalog.backend or "none",
        backend_connected=catalog.status == "up",
        global_enabled=bool(settings.ckan_global_url),
        pre_ckan_enabled=settings.pre_ckan_enabled,
        pre_ckan_connected=pre_ckan.status == "up" if settings.pre_ckan_enabled else None,
        kafka_enabled=kafka,
        kafka_host=settings.kafka_host if kafka else None,
        kafka_port=settings.kafka_port if kafka else None,
        jupyterlab_enabled=jupyterlab,
        jupyterlab_url=settings.jupyter_url if jupyterlab else None,
        s3_enabled=settings.s3_enabled,
        s3_connected=store.status == "up" if settings.s3_enabled else None,
        rexec_enabled=settings.rexec_connection,
        auth_api_url=settings.auth_api_url,
        metrics_endpoint=settings.metrics_endpoint,
        metrics_interval_seconds=settings.metrics_interval_seconds,
        is_public=settings.is_public,
    )


def _own_address() -> str:
    """Return the address that packets would leave from; none leaves."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _gigabytes(count: int) -> str:
    return f"{count / 1024**3:.0f}GB"
