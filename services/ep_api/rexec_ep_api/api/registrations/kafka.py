"""Kafka topics: registering and changing them."""

from typing import Any

from fastapi import APIRouter, Request

from rexec_ep_api.api.common import (
    CHANGE_FAILURES,
    REGISTERED,
    REGISTRATION_FAILURES,
    DatasetKey,
    WritableServer,
)
from rexec_ep_api.attribution import creator_extras
from rexec_ep_api.catalog.records import DatasetChange, NewDataset, NewResource
from rexec_ep_api.duplicates import create_once
from rexec_ep_api.extras import own_extras
from rexec_ep_api.models.common import Message
from rexec_ep_api.models.fields import Created, said
from rexec_ep_api.models.registrations import KafkaBody, KafkaChangeBody
from rexec_ep_api.openapi import REGISTRATIONS, answer
from rexec_ep_api.registering import KAFKA, change, find
from rexec_ep_api.servers import catalog_for
from rexec_jupyter.auth.dependencies import Writer

router = APIRouter(prefix="/kafka", tags=[REGISTRATIONS])

_UPDATED = answer({"message": "Kafka dataset updated successfully"})


@router.post(
    "",
    summary="Register a Kafka topic",
    status_code=201,
    responses=REGISTERED | REGISTRATION_FAILURES,
)
async def register_kafka(
    *, request: Request, user: Writer, body: KafkaBody, server: WritableServer = "local"
) -> Created:
    """Register a dataset that is one Kafka topic; for writers."""
    new = NewDataset(
        name=body.dataset_name,
        title=body.dataset_title,
        owner_org=body.owner_org,
        notes=body.dataset_description or "",
        extras=_extras(body) | creator_extras(request, user),
        resources=(NewResource(name=body.kafka_topic, format=KAFKA.format),),
        creator=user.user_id,
    )
    return Created(id=(await create_once(catalog_for(request, server), new)).id)


@router.put("/{dataset}", summary="Change a registered topic", responses=_UPDATED | CHANGE_FAILURES)
async def update_kafka(
    *,
    request: Request,
    _: Writer,
    dataset: DatasetKey,
    body: KafkaChangeBody,
    server: WritableServer = "local",
) -> Message:
    """Change what is said and keep the rest; for writers."""
    catalog = catalog_for(request, server)
    await change(
        catalog,
        await find(catalog, dataset, KAFKA),
        KAFKA,
        DatasetChange(
            name=body.dataset_name,
            title=body.dataset_title,
            owner_org=body.owner_org,
            notes=body.dataset_description,
            extras=_extras(body),
        ),
        {"name": body.kafka_topic},
    )
    return Message(message="Kafka dataset updated successfully")


router.patch(
    "/{dataset}",
    name="patch_kafka",
    summary="Change a registered topic in part",
    responses=_UPDATED | CHANGE_FAILURES,
)(update_kafka)


def _extras(body: KafkaBody | KafkaChangeBody) -> dict[str, Any]:
    return own_extras(body.extras, KAFKA.reserved) | said(
        host=body.kafka_host,
        port=body.kafka_port,
        topic=body.kafka_topic,
        mapping=body.mapping,
        processing=body.processing,
    )
