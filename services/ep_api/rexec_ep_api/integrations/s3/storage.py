"""A store that speaks S3: its buckets and objects.

It is asked in threads of its own, so that nothing else waits for a store that is slow.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeVar

from rexec_ep_api.integrations.errors import (
    ConflictError,
    ImpossibleError,
    MissingError,
    TooSlowError,
)
from rexec_ep_api.integrations.s3.keys import checked_key

T = TypeVar("T")

_MIB: Final = 1024 * 1024
_THREADS: Final = 16
_PIECE: Final = _MIB
# Parts of an upload are held in memory, and a store takes ten thousand of them; so the later
# ones are larger, which is enough for 400 GiB.
_PART: Final = 8 * _MIB
_PARTS_OF_ONE_SIZE: Final = 1000
_MOST_PARTS: Final = 10_000
_PAGE: Final = 1000
_OLDEST_REGION: Final = "us-east-1"


class Bucket(NamedTuple):
    """A bucket."""

    name: str
    creation_date: datetime | None


class StoredObject(NamedTuple):
    """An object, as listings show it."""

    key: str
    size: int
    etag: str
    last_modified: datetime


class Page(NamedTuple):
    """Some objects of a bucket, and whether more come after them."""

    objects: list[StoredObject]
    more: bool


class ObjectDetails(NamedTuple):
    """All that is known of an object."""

    size: int
    content_type: str
    last_modified: datetime
    etag: str
    metadata: dict[str, str]


class Upload(NamedTuple):
    """What was stored."""

    size: int
    etag: str


class Download(NamedTuple):
    """An object on its way.

    Attributes
    ----------
    details
        What is known of it; the size is that of what comes.
    content_range
        Which part of the object comes, if it is not all.
    pieces
        What it holds. Closing this lets go of the store.
    """

    details: ObjectDetails
    content_range: str | None
    pieces: AsyncIterator[bytes]


class Storage:
    """Buckets and objects of one store; `rexec_ep_api.integrations.s3.boto.connect` makes it.

    Parameters
    ----------
    client
        Asks the store.
    public
        Signs addresses, which hold the host under which users reach the store.
    region
        Where buckets are made.
    explain
        Returns what is to be said of an error of the clients, about a bucket and a key.
    patience
        Seconds that the store has to answer; pieces of an object take as long as they take.
    """

    def __init__(
        self,
        client: Any,
        public: Any,
        region: str,
        explain: Callable[[Exception, str, str], Exception],
        patience: float,
    ) -> None:
        self._client = client
        self._public = public
        self._region = region
        self._explain = explain
        self._patience = patience
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")

    async def close(self) -> None:
        """Let go of the store."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._client.close)
        if self._public is not self._client:
            await asyncio.to_thread(self._public.close)

    async def ping(self) -> None:
        """Ask the store for the least that it can be asked for."""
        await self._ask(self._client.list_buckets)

    # ------------------------------------------------------------------------- buckets

    async def buckets(self) -> list[Bucket]:
        """Return all buckets."""
        answer = await self._ask(self._client.list_buckets)
        return [Bucket(item["Name"], item.get("CreationDate")) for item in answer["Buckets"]]

    async def bucket(self, name: str) -> Bucket:
        """Return a bucket."""
        await self._ask(self._client.head_bucket, name, Bucket=name)
        found = (bucket for bucket in await self.buckets() if bucket.name == name)
        # It may belong to somebody else, who lets this endpoint in.
        return next(found, Bucket(name, None))

    async def create_bucket(self, name: str, region: str | None = None) -> None:
        """Make a bucket, in the region of the endpoint unless told otherwise."""
        # Amazon's oldest region says of a bucket that is there already that it was made.
        try:
            await self.bucket(name)
        except MissingError:
            pass
        else:
            raise ConflictError(f"Bucket {name!r} already exists. Use it, or choose another name.")
        region = region or self._region
        where: dict[str, Any] = {}
        if region != _OLDEST_REGION:
            where = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        await self._ask(self._client.create_bucket, name, Bucket=name, **where)

    async def delete_bucket(self, name: str) -> None:
        """Delete an empty bucket."""
        await self._ask(self._client.delete_bucket, name, Bucket=name)

    # ------------------------------------------------------------------------- objects

    async def objects(
        self, bucket: str, prefix: str = "", after: str = "", limit: int = _PAGE
    ) -> Page:
        """Return the objects of a bucket whose keys begin with a prefix, in their order.

        Parameters
        ----------
        bucket
            Name of the bucket.
        prefix
            Only those whose keys begin so.
        after
            Only those whose keys come after this.
        limit
            How many at most.
        """
        found: list[StoredObject] = []
        more = True
        while more and len(found) < limit:
            answer = await self._ask(
                self._client.list_objects_v2,
                bucket,
                Bucket=bucket,
                Prefix=prefix,
                StartAfter=found[-1].key if found else after,
                MaxKeys=min(_PAGE, limit - len(found)),
            )
            found += (_stored(item) for item in answer.get("Contents", ()))
            more = bool(answer.get("IsTruncated"))
        return Page(found, more)

    async def details(self, bucket: str, key: str) -> ObjectDetails:
        """Return what is known of an object."""
        checked_key(key)
        answer = await self._ask(self._client.head_object, bucket, key, Bucket=bucket, Key=key)
        return _details(answer)

    async def upload(
        self, bucket: str, key: str, pieces: AsyncIterator[bytes], content_type: str | None = None
    ) -> Upload:
        """Store an object as it comes in; it is there when all of it came, or not at all.

        Parameters
        ----------
        bucket
            Name of the bucket.
        key
            Key of the object.
        pieces
            What it holds.
        content_type
            Its media type.
        """
        checked_key(key)
        target = {"Bucket": bucket, "Key": key}
        typed = target | ({"ContentType": content_type} if content_type else {})
        parts = _parts(pieces)
        first = await anext(parts, b"")
        if len(first) < _PART:
            # What is shorter than one part is the last one.
            answer = await self._move(self._client.put_object, bucket, key, Body=first, **typed)
            return Upload(len(first), _plain(answer["ETag"]))
        begun = await self._move(self._client.create_multipart_upload, bucket, key, **typed)
        target["UploadId"] = begun["UploadId"]
        try:
            return await self._upload_parts(bucket, key, first, parts, target)
        except BaseException:
            with suppress(Exception):
                await asyncio.shield(
                    self._move(self._client.abort_multipart_upload, bucket, key, **target)
                )
            raise

    async def _upload_parts(
        self,
        bucket: str,
        key: str,
        first: bytes,
        rest: AsyncIterator[bytes],
        target: dict[str, str],
    ) -> Upload:
        stored: list[dict[str, Any]] = []
        size = 0
        part = first
        while part:
            number = len(stored) + 1
            if number > _MOST_PARTS:
                raise ImpossibleError(
                    f"The object is larger than the {size // _MIB // 1024} GiB that can be "
                    "uploaded through this endpoint. Upload it in several objects, or with a "
                    "tool for the store itself."
                )
            answer = await self._move(
                self._client.upload_part, bucket, key, PartNumber=number, Body=part, **target
            )
            stored.append({"PartNumber": number, "ETag": answer["ETag"]})
            size += len(part)
            part = await anext(rest, b"")
        answer = await self._move(
            self._client.complete_multipart_upload,
            bucket,
            key,
            MultipartUpload={"Parts": stored},
            **target,
        )
        return Upload(size, _plain(answer["ETag"]))

    async def download(self, bucket: str, key: str, wanted: str | None = None) -> Download:
        """Return an object on its way.

        Parameters
        ----------
        bucket
            Name of the bucket.
        key
            Key of the object.
        wanted
            Which part of it, as the HTTP header ``Range`` says it.
        """
        checked_key(key)
        part = {"Range": wanted} if wanted else {}
        answer = await self._ask(
            self._client.get_object, bucket, key, Bucket=bucket, Key=key, **part
        )
        pieces = self._pieces(answer["Body"], bucket, key)
        return Download(_details(answer), answer.get("ContentRange"), pieces)

    async def delete(self, bucket: str, key: str) -> None:
        """Delete an object, which must be there."""
        await self.details(bucket, key)
        await self._ask(self._client.delete_object, bucket, key, Bucket=bucket, Key=key)

    async def presigned(
        self, what: Literal["upload", "download"], bucket: str, key: str, seconds: int
    ) -> str:
        """Return an address at which an object can be put or got without a token."""
        checked_key(key)
        return await self._ask(
            self._public.generate_presigned_url,
            bucket,
            key,
            ClientMethod="put_object" if what == "upload" else "get_object",
            Params={"Bucket": bucket, "Key": key},
            ExpiresIn=seconds,
        )

    # -------------------------------------------------------------------------- asking

    async def _ask(
        self, call: Callable[..., T], bucket: str = "", key: str = "", **arguments: Any
    ) -> T:
        """Ask the store something that it can answer at once."""
        try:
            async with asyncio.timeout(self._patience):
                return await self._move(call, bucket, key, **arguments)
        except TimeoutError:
            raise TooSlowError("The object storage") from None

    async def _move(
        self, call: Callable[..., T], bucket: str = "", key: str = "", **arguments: Any
    ) -> T:
        """Have a thread call the store, and say what went wrong in the words of this endpoint."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, lambda: call(**arguments))
        except Exception as error:  # noqa: BLE001 - raised again, explained
            raise self._explain(error, bucket, key) from None

    async def _pieces(self, body: Any, bucket: str, key: str) -> AsyncIterator[bytes]:
        try:
            while piece := await self._move(body.read, bucket, key, amt=_PIECE):
                yield piece
        finally:
            # Not what remains of it is read, but the connection ends.
            body.close()


async def _parts(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Join pieces to parts, of which all but the last have the size that the store asks for."""
    number = 0
    gathered = bytearray()
    async for piece in pieces:
        gathered += piece
        while len(gathered) >= (wanted := _PART * (1 + number // _PARTS_OF_ONE_SIZE)):
            yield bytes(memoryview(gathered)[:wanted])
            del gathered[:wanted]
            number += 1
    if gathered:
        yield bytes(gathered)


def _stored(item: dict[str, Any]) -> StoredObject:
    return StoredObject(item["Key"], item["Size"], _plain(item["ETag"]), item["LastModified"])


def _details(answer: dict[str, Any]) -> ObjectDetails:
    return ObjectDetails(
        size=answer["ContentLength"],
        content_type=answer.get("ContentType") or "application/octet-stream",
        last_modified=answer["LastModified"],
        etag=_plain(answer["ETag"]),
        metadata=answer.get("Metadata") or {},
    )


def _plain(etag: str) -> str:
    return etag.strip('"')
