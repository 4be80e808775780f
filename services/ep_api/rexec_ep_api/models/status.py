"""What the endpoint tells of itself."""

from pydantic import BaseModel, Field


class Status(BaseModel):
    """What the endpoint is and what it offers."""

    api_version: str = Field(description="Version of the API, three integers.")
    rexec_version: str = Field(description="Version of the software.")
    organization: str = Field(description="Who runs the endpoint.")
    ep_name: str = Field(description="What it is called.")
    group_based_access: bool = Field(description="Whether only certain groups may enter.")
    local_catalog_backend: str = Field(description="sqlite, postgresql or none.")
    backend_connected: bool = Field(description="Whether the local catalog answers.")
    global_enabled: bool = Field(
        description="Whether there is a global catalog; else the local one stands in for it."
    )
    pre_ckan_enabled: bool = Field(description="Whether datasets can be published.")
    pre_ckan_connected: bool | None = Field(
        default=None, description="Whether the catalog of published datasets answers."
    )
    kafka_enabled: bool = Field(description="Whether the endpoint has a Kafka broker.")
    kafka_host: str | None = Field(default=None, description="Where it is.")
    kafka_port: int | None = Field(default=None, description="Its port.")
    jupyterlab_enabled: bool = Field(description="Whether the endpoint has a JupyterLab.")
    jupyterlab_url: str | None = Field(default=None, description="Where it is.")
    s3_enabled: bool = Field(description="Whether the endpoint has object storage.")
    s3_connected: bool | None = Field(default=None, description="Whether it answers.")
    rexec_enabled: bool = Field(description="Whether the endpoint has remote execution.")
    auth_api_url: str = Field(description="Who checks tokens.")
    metrics_endpoint: str = Field(description="As set by the operator; nothing is sent to it.")
    metrics_interval_seconds: int = Field(description="As set by the operator.")
    is_public: bool = Field(description="As set by the operator.")


class SystemMetrics(BaseModel):
    """How busy the machine is."""

    public_ip: str = Field(description="Address of the machine, as far as it knows it itself.")
    cpu: str = Field(description="Use of the processors since it was asked last.")
    memory: str = Field(description="Memory in use, and in all.")
    disk: str = Field(description="Disk in use, and in all.")
    services: Status = Field(description="What the endpoint is and what it offers.")


class JupyterDetails(BaseModel):
    """Where JupyterLab is."""

    jupyter_url: str


class RexecDetails(BaseModel):
    """Where remote execution starts."""

    deployment_api_url: str = Field(description="Address of the API that starts servers.")


class KafkaDetails(BaseModel):
    """Where Kafka is, and how its topics are named."""

    kafka_host: str
    kafka_port: int
    kafka_connection: bool = Field(description="Whether the endpoint uses it.")
    kafka_prefix: str = Field(description="What the names of its data streams begin with.")
    max_streams: int = Field(description="How many there may be.")
