"""What requests hold that register a dataset with one resource of a known kind."""

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from rexec_ep_api.models.fields import (
    EXTRAS,
    NAME,
    NOTES,
    OWNER,
    TITLE,
    Body,
    DatasetName,
    Key,
    Notes,
    ObjectUrl,
    Owner,
    TextExtras,
    Title,
    WebUrl,
    Word,
)

_MAPPING: Final = "Names of fields in the data, by what they mean."
_PROCESSING: Final = "How the data are read."
_FILE_TYPE: Final = "stream, CSV, TXT, JSON, NetCDF or another."
_TOPIC: Final = "The topic."
_HOST: Final = "Where the broker is."
_PORT: Final = "The port of the broker."

_Processing = Annotated[dict[Key, Any], Field(max_length=100)]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
_Port = Annotated[int, Field(ge=1, le=65535)]

FileType = Literal["stream", "CSV", "TXT", "JSON", "NetCDF"]
"""The types of files whose processing is known."""


class UrlBody(Body):
    """Something on the web that shall be registered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "resource_name": "river-levels",
                    "resource_title": "River levels",
                    "owner_org": "hydrology-lab",
                    "resource_url": "https://data.example.org/levels.csv",
                    "file_type": "CSV",
                    "notes": "Levels every ten minutes.",
                    "extras": {"project": "catchment"},
                    "mapping": {"time": "date", "value": "level"},
                    "processing": {"delimiter": ",", "header_line": 1, "start_line": 2},
                }
            ]
        }
    )

    resource_name: DatasetName = Field(description=NAME)
    resource_title: Title = Field(description=TITLE)
    owner_org: Owner = Field(description=OWNER)
    resource_url: WebUrl = Field(description="Where it is.")
    file_type: Word | None = Field(default=None, description=_FILE_TYPE)
    notes: Notes | None = Field(default=None, description=NOTES)
    extras: TextExtras | None = Field(default=None, description=EXTRAS)
    mapping: TextExtras | None = Field(default=None, description=_MAPPING)
    processing: _Processing | None = Field(default=None, description=_PROCESSING)


class UrlChangeBody(Body):
    """What shall be different about a registered URL; what is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"resource_url": "https://data.example.org/levels2.csv"}]}
    )

    resource_name: DatasetName | None = Field(default=None, description=NAME)
    resource_title: Title | None = Field(default=None, description=TITLE)
    owner_org: Owner | None = Field(default=None, description=OWNER)
    resource_url: WebUrl | None = Field(default=None, description="Where it is.")
    file_type: FileType | None = Field(default=None, description="What kind of file it is.")
    notes: Notes | None = Field(default=None, description=NOTES)
    extras: TextExtras | None = Field(default=None, description=EXTRAS)
    mapping: TextExtras | None = Field(default=None, description=_MAPPING)
    processing: _Processing | None = Field(default=None, description=_PROCESSING)


class S3Body(Body):
    """An object of an S3 store that shall be registered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "resource_name": "radar-mosaic",
                    "resource_title": "Radar mosaic",
                    "owner_org": "hydrology-lab",
                    "resource_s3": "s3://weather/radar/2026.nc",
                    "notes": "One file a year.",
                    "extras": {"project": "catchment"},
                }
            ]
        }
    )

    resource_name: DatasetName = Field(description=NAME)
    resource_title: Title = Field(description=TITLE)
    owner_org: Owner = Field(description=OWNER)
    resource_s3: ObjectUrl = Field(description="Where it is.")
    notes: Notes | None = Field(default="", description=NOTES)
    extras: TextExtras | None = Field(default=None, description=EXTRAS)


class S3ChangeBody(Body):
    """What shall be different about a registered object; what is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"resource_s3": "s3://weather/radar/2027.nc"}]}
    )

    resource_name: DatasetName | None = Field(default=None, description=NAME)
    resource_title: Title | None = Field(default=None, description=TITLE)
    owner_org: Owner | None = Field(default=None, description=OWNER)
    resource_s3: ObjectUrl | None = Field(default=None, description="Where it is.")
    notes: Notes | None = Field(default=None, description=NOTES)
    extras: TextExtras | None = Field(default=None, description=EXTRAS)


class KafkaBody(Body):
    """A Kafka topic that shall be registered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_name": "gauge-stream",
                    "dataset_title": "Gauges, live",
                    "owner_org": "hydrology-lab",
                    "kafka_topic": "gauges",
                    "kafka_host": "kafka.example.org",
                    "kafka_port": 9092,
                    "dataset_description": "A message every minute.",
                    "extras": {"project": "catchment"},
                    "mapping": {"time": "ts", "value": "mm"},
                    "processing": {"data_key": "gauge"},
                }
            ]
        }
    )

    dataset_name: DatasetName = Field(description=NAME)
    dataset_title: Title = Field(description=TITLE)
    owner_org: Owner = Field(description=OWNER)
    kafka_topic: _Text = Field(description=_TOPIC)
    kafka_host: _Text = Field(description=_HOST)
    kafka_port: _Port = Field(description=_PORT)
    dataset_description: Notes | None = Field(default="", description=NOTES)
    extras: TextExtras | None = Field(default=None, description=EXTRAS)
    mapping: TextExtras | None = Field(default=None, description=_MAPPING)
    processing: TextExtras | None = Field(default=None, description=_PROCESSING)


class KafkaChangeBody(Body):
    """What shall be different about a registered topic; what is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"kafka_port": 9093}]})

    dataset_name: DatasetName | None = Field(default=None, description=NAME)
    dataset_title: Title | None = Field(default=None, description=TITLE)
    owner_org: Owner | None = Field(default=None, description=OWNER)
    kafka_topic: _Text | None = Field(default=None, description=_TOPIC)
    kafka_host: _Text | None = Field(default=None, description=_HOST)
    kafka_port: _Port | None = Field(default=None, description=_PORT)
    dataset_description: Notes | None = Field(default=None, description=NOTES)
    extras: TextExtras | None = Field(default=None, description=EXTRAS)
    mapping: TextExtras | None = Field(default=None, description=_MAPPING)
    processing: TextExtras | None = Field(default=None, description=_PROCESSING)
