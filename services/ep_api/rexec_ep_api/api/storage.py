"""Buckets and objects of the object storage that the endpoint uses."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC
from email.utils import format_datetime
from typing import IO, Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from rexec_ep_api.downloads import file_response, wanted_range
from rexec_ep_api.integrations.errors import ImpossibleError, MissingError, NotConfiguredError
from rexec_ep_api.integrations.s3.keys import checked_key
from rexec_ep_api.integrations.s3.storage import Storage
from rexec_ep_api.models.storage import (
    BucketBody,
    BucketList,
    BucketView,
    Done,
    ObjectList,
    ObjectMetadata,
    ObjectStored,
    ObjectView,
    PresignedBody,
    PresignedUrl,
)
from rexec_ep_api.openapi import STORAGE, answer, failures
from rexec_ep_api.uploads import UploadForm
from rexec_jupyter.auth.dependencies import Writer

router = APIRouter(prefix="/s3", tags=[STORAGE])

_MOST: Final = 10_000
_IN_MEMORY: Final = 1024 * 1024
_PIECE: Final = 1024 * 1024
_METADATA: Final = "/metadata"
_READING: Final = failures(400, 401, 403, 404, 422, 503, 504)
_BUCKET: Final = {"name": "rain-2026", "creation_date": "2026-05-04T12:00:00Z"}
_OBJECT: Final = {
    "key": "gauges/june.csv",
    "size": 48213,
    "etag": "9b2cf535f27731c974343645a3985328",
    "last_modified": "2026-05-04T12:00:00Z",
}
_FILE: Final = {
    "description": "What the object holds.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
_FILES: Final[dict[int | str, dict[str, Any]]] = {200: _FILE, 206: _FILE}
_FORM: Final = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "object_key": {
                        "type": "string",
                        "description": "Its key; the name of the file if left out.",
                    },
                    "file": {
                        "type": "string",
                        "format": "binary",
                        "description": "What it holds.",
                    },
                },
            },
            "example": {"object_key": "gauges/june.csv", "file": "hour,mm\n0,1.5\n"},
        }
    },
}


def _storage(request: Request, _: Writer) -> Storage:
    storage: Storage | None = request.app.state.storage
    if storage is None:
        raise NotConfiguredError(
            "S3 storage", "S3_ENABLED=true, S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY"
        )
    return storage


Store = Annotated[Storage, Depends(_storage)]
BucketName = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$",
        description="Name of the bucket.",
        examples=["rain-2026"],
    ),
]
ObjectKey = Annotated[
    str, Path(min_length=1, description="Key of the object.", examples=["gauges/june.csv"])
]

# ------------------------------------------------------------------------------- buckets


@router.get("/buckets", include_in_schema=False)
@router.get(
    "/buckets/",
    summary="List buckets",
    responses=answer({"buckets": [_BUCKET]}) | failures(401, 403, 503, 504),
)
async def buckets(store: Store) -> BucketList:
    """List the buckets that the endpoint can use; for writers."""
    found = await store.buckets()
    return BucketList(buckets=[BucketView(**bucket._asdict()) for bucket in found])


@router.post("/buckets", include_in_schema=False, status_code=201)
@router.post(
    "/buckets/",
    summary="Make a bucket",
    status_code=201,
    responses=answer(
        {"message": "Bucket 'rain-2026' created successfully", "success": True},
        "It exists now.",
        status=201,
    )
    | failures(400, 401, 403, 409, 413, 422, 503, 504),
)
async def create_bucket(store: Store, body: BucketBody) -> Done:
    """Make a bucket; for writers."""
    await store.create_bucket(body.name, body.region)
    return Done(message=f"Bucket {body.name!r} created successfully")


@router.get("/buckets/{bucket}", summary="Read a bucket", responses=answer(_BUCKET) | _READING)
async def bucket_info(store: Store, bucket: BucketName) -> BucketView:
    """Tell when a bucket was made; for writers."""
    return BucketView(**(await store.bucket(bucket))._asdict())


@router.delete(
    "/buckets/{bucket}",
    summary="Delete a bucket",
    responses=answer({"message": "Bucket 'rain-2026' deleted successfully", "success": True})
    | failures(400, 401, 403, 404, 409, 422, 503, 504),
)
async def delete_bucket(store: Store, bucket: BucketName) -> Done:
    """Delete a bucket, which must be empty; for writers."""
    await store.delete_bucket(bucket)
    return Done(message=f"Bucket {bucket!r} deleted successfully")


# ------------------------------------------------------------------------------- objects


@router.get(
    "/objects/{bucket}",
    summary="List objects",
    responses=answer({"objects": [_OBJECT], "prefix": "gauges/", "next_after": None}) | _READING,
)
async def objects(
    *,
    store: Store,
    bucket: BucketName,
    prefix: Annotated[
        str | None, Query(max_length=1024, description="Only those whose keys begin so.")
    ] = None,
    after: Annotated[
        str, Query(max_length=1024, description="Only those whose keys come after this.")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=_MOST, description="How many at most.")] = _MOST,
) -> ObjectList:
    """List the objects of a bucket in the order of their keys; for writers."""
    page = await store.objects(bucket, prefix or "", after, limit)
    return ObjectList(
        objects=[ObjectView(**item._asdict()) for item in page.objects],
        prefix=prefix,
        next_after=page.objects[-1].key if page.more and page.objects else None,
    )


@router.post(
    "/objects/{bucket}",
    summary="Upload an object",
    openapi_extra={"requestBody": _FORM},
    responses=answer(
        {"bucket": "rain-2026", "key": "gauges/june.csv", "size": 48213, "etag": _OBJECT["etag"]}
    )
    | _READING,
)
async def upload_object(request: Request, store: Store, bucket: BucketName) -> ObjectStored:
    """Store a file as an object, in place of one with the same key; for writers.

    It goes on to the store as it comes in, so it may have any size. Send `object_key` before
    `file`, or the endpoint has to keep the file until it knows the key.
    """
    form = UploadForm(request.headers.get("content-type", ""), request.stream())
    try:
        await form.open()
        pieces = form.pieces()
        if "object_key" in form.fields:
            return await _stored(store, bucket, form, pieces)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as kept:
            async for piece in pieces:
                await asyncio.to_thread(kept.write, piece)
            kept.seek(0)
            return await _stored(store, bucket, form, _pieces(kept))
    except ClientDisconnect:
        raise ImpossibleError("The upload broke off, so nothing was stored.") from None


async def _stored(
    store: Storage, bucket: str, form: UploadForm, pieces: AsyncIterator[bytes]
) -> ObjectStored:
    key = checked_key(form.fields.get("object_key") or form.filename)
    stored = await store.upload(bucket, key, pieces, form.content_type or None)
    return ObjectStored(bucket=bucket, key=key, **stored._asdict())


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, _PIECE):
        yield piece


@router.get(
    "/objects/{bucket}/{key:path}/metadata",
    summary="Read about an object",
    response_model=ObjectMetadata,
    responses=answer({**_OBJECT, "content_type": "text/csv", "metadata": {}}) | _READING,
)
async def object_metadata(
    *,
    store: Store,
    bucket: BucketName,
    key: ObjectKey,
    range_: Annotated[str | None, Header(alias="Range", include_in_schema=False)] = None,
    literal: Annotated[
        bool, Query(description="Whether /metadata belongs to the key; it is downloaded then.")
    ] = False,
) -> ObjectMetadata | StreamingResponse:
    """Tell what is known of an object; for writers.

    If there is no such object, but one whose key ends in `/metadata`, that is downloaded.
    """
    if not literal:
        try:
            found = await store.details(bucket, key)
            return ObjectMetadata(key=key, **found._asdict())
        except MissingError as missing:
            try:
                return await _download(store, bucket, key + _METADATA, range_)
            except MissingError:
                raise missing from None
    return await _download(store, bucket, key + _METADATA, range_)


@router.get(
    "/objects/{bucket}/{key:path}",
    summary="Download an object",
    response_class=StreamingResponse,
    responses=_FILES | _READING,
)
async def download_object(
    store: Store,
    bucket: BucketName,
    key: ObjectKey,
    range_: Annotated[
        str | None, Header(alias="Range", description="Which part.", examples=["bytes=0-99"])
    ] = None,
) -> StreamingResponse:
    """Return what an object holds, or the part that the header Range asks for; for writers."""
    return await _download(store, bucket, key, range_)


async def _download(store: Storage, bucket: str, key: str, range_: str | None) -> StreamingResponse:
    found = await store.download(bucket, key, wanted_range(range_))
    details = found.details
    return file_response(
        found.pieces,
        key.rstrip("/").rpartition("/")[2],
        media_type=details.content_type,
        size=details.size,
        content_range=found.content_range,
        ETag=f'"{details.etag}"',
        Last_Modified=format_datetime(details.last_modified.astimezone(UTC), usegmt=True),
    )


@router.delete(
    "/objects/{bucket}/{key:path}",
    summary="Delete an object",
    responses=answer({"message": "Object 'gauges/june.csv' deleted successfully", "success": True})
    | _READING,
)
async def delete_object(store: Store, bucket: BucketName, key: ObjectKey) -> Done:
    """Delete an object; for writers."""
    await store.delete(bucket, key)
    return Done(message=f"Object {key!r} deleted successfully")


# ---------------------------------------------------------------------- addresses of objects


def _address(what: str) -> dict[int | str, dict[str, Any]]:
    url = f"https://s3.example.org/rain-2026/gauges/june.csv?{what}"
    return answer({"url": url, "expires_in": 600}) | failures(
        400, 401, 403, 404, 413, 422, 503, 504
    )


@router.post(
    "/objects/{bucket}/{key:path}/presigned-upload",
    summary="Get an address to upload to",
    responses=_address("X-Amz-Expires=600"),
)
async def presigned_upload(
    store: Store, bucket: BucketName, key: ObjectKey, body: PresignedBody | None = None
) -> PresignedUrl:
    """Return an address of the store that takes the object without a token; for writers."""
    return await _presigned("upload", store, bucket, key, body)


@router.post(
    "/objects/{bucket}/{key:path}/presigned-download",
    summary="Get an address to download from",
    responses=_address("X-Amz-Expires=600"),
)
async def presigned_download(
    store: Store, bucket: BucketName, key: ObjectKey, body: PresignedBody | None = None
) -> PresignedUrl:
    """Return an address of the store that gives the object without a token; for writers."""
    return await _presigned("download", store, bucket, key, body)


async def _presigned(
    what: Literal["upload", "download"],
    store: Storage,
    bucket: str,
    key: str,
    body: PresignedBody | None,
) -> PresignedUrl:
    seconds = (body or PresignedBody()).seconds
    url = await store.presigned(what, bucket, key, seconds)
    return PresignedUrl(url=url, expires_in=seconds)
