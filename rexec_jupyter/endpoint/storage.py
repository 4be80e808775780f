"""Buckets and objects of an endpoint's S3 storage."""

from __future__ import annotations

from typing import IO, Any

from rexec_jupyter.endpoint import models as m
from rexec_jupyter.endpoint.asking import ask, explained, key, reach, segment
from rexec_jupyter.endpoint.exchange import Request, Steps

# ------------------------------------------------------------------------------- buckets


def list_buckets() -> Steps[m.Buckets]:
    """Return all buckets, in a dictionary under ``buckets``."""
    found: m.Buckets = yield from ask(Request("GET", "/s3/buckets/"), "Error listing S3 buckets")
    return found


def create_bucket(bucket_name: str, **kwargs: Any) -> Steps[m.Message]:
    """Make a bucket.

    Parameters
    ----------
    bucket_name
        Its name.
    **kwargs
        What else the endpoint knows, such as ``region``.
    """
    request = Request("POST", "/s3/buckets/", json={"name": bucket_name, **kwargs})
    done: m.Message = yield from ask(request, "Error creating S3 bucket")
    return done


def get_bucket_info(bucket_name: str) -> Steps[dict[str, Any]]:
    """Return what is known of a bucket.

    Parameters
    ----------
    bucket_name
        Its name.
    """
    request = Request("GET", f"/s3/buckets/{segment(bucket_name)}")
    missing = f"S3 bucket '{bucket_name}' not found"
    found: dict[str, Any] = yield from ask(request, "Error getting S3 bucket info", missing=missing)
    return found


def delete_bucket(bucket_name: str) -> Steps[m.Message]:
    """Delete an empty bucket.

    Parameters
    ----------
    bucket_name
        Its name.
    """
    request = Request("DELETE", f"/s3/buckets/{segment(bucket_name)}")
    missing = f"S3 bucket '{bucket_name}' not found"
    done: m.Message = yield from ask(request, "Error deleting S3 bucket", missing=missing)
    return done


# ------------------------------------------------------------------------------- objects


def list_objects(bucket_name: str, prefix: str | None = None) -> Steps[m.Objects]:
    """Return the objects of a bucket, in a dictionary under ``objects``.

    Parameters
    ----------
    bucket_name
        Name of the bucket.
    prefix
        Only those whose keys begin so.
    """
    request = Request("GET", _of(bucket_name), {"prefix": prefix or None})
    found: m.Objects = yield from ask(request, "Error listing S3 objects")
    return found


def upload_object(
    bucket_name: str,
    object_key: str,
    file_data: bytes | str | IO[bytes],
    content_type: str | None = None,
) -> Steps[m.UploadedObject]:
    """Store an object.

    Parameters
    ----------
    bucket_name
        Name of the bucket.
    object_key
        Key of the object.
    file_data
        Its content, or a file that has it.
    content_type
        Its media type.
    """
    name = object_key.rsplit("/", 1)[-1]
    file = (name, file_data) if content_type is None else (name, file_data, content_type)
    request = Request(
        "POST",
        _of(bucket_name),
        files={"file": file},
        form={"object_key": object_key},
        slow=True,
    )
    done: m.UploadedObject = yield from ask(request, "Error uploading S3 object")
    return done


def download_object(bucket_name: str, object_key: str) -> Steps[bytes]:
    """Return the content of an object.

    Parameters
    ----------
    bucket_name
        Name of the bucket.
    object_key
        Key of the object.
    """
    failing = "Error downloading S3 object"
    answer = yield from reach(Request("GET", _of(bucket_name, object_key), slow=True), failing)
    if not answer.ok:
        raise explained(answer, failing, missing=_missing(bucket_name, object_key))
    return answer.content


def delete_object(bucket_name: str, object_key: str) -> Steps[m.Message]:
    """Delete an object.

    Parameters
    ----------
    bucket_name
        Name of the bucket.
    object_key
        Key of the object.
    """
    request = Request("DELETE", _of(bucket_name, object_key))
    missing = _missing(bucket_name, object_key)
    done: m.Message = yield from ask(request, "Error deleting S3 object", missing=missing)
    return done


def get_object_metadata(bucket_name: str, object_key: str) -> Steps[m.ObjectMetadata]:
    """Return what is known of an object.

    Parameters
    ----------
    bucket_name
        Name of the bucket.
    object_key
        Key of the object.
    """
    request = Request("GET", f"{_of(bucket_name, object_key)}/metadata")
    missing = _missing(bucket_name, object_key)
    found: m.ObjectMetadata = yield from ask(
        request, "Error getting S3 object metadata", missing=missing
    )
    return found


# ---------------------------------------------------------------------- addresses of objects


def generate_presigned_upload_url(
    bucket_name: str, object_key: str, expiration: int | None = None
) -> Steps[m.PresignedUrl]:
    """Return an address to which an object can be put without a token.

    Parameters
    ----------
    bucket_name
        Name of the bucket.
    object_key
        Key of the object.
    expiration
        Seconds for which it works; the endpoint's own choice if None.
    """
    return (yield from _presigned("upload", bucket_name, object_key, expiration))


def generate_presigned_download_url(
    bucket_name: str, object_key: str, expiration: int | None = None
) -> Steps[m.PresignedUrl]:
    """Return an address from which an object can be got without a token.

    Parameters
    ----------
    bucket_name
        Name of the bucket.
    object_key
        Key of the object.
    expiration
        Seconds for which it works; the endpoint's own choice if None.
    """
    return (yield from _presigned("download", bucket_name, object_key, expiration))


def _presigned(
    what: str, bucket: str, object_key: str, expiration: int | None
) -> Steps[m.PresignedUrl]:
    # The endpoint's name for it: what is called `expiration` it does not look at.
    asked = {} if expiration is None else {"expires_in": expiration}
    request = Request("POST", f"{_of(bucket, object_key)}/presigned-{what}", json=asked)
    found: m.PresignedUrl = yield from ask(request, f"Error generating presigned {what} URL")
    return found


def _of(bucket: str, object_key: str | None = None) -> str:
    path = f"/s3/objects/{segment(bucket)}"
    return path if object_key is None else f"{path}/{key(object_key)}"


def _missing(bucket: str, object_key: str) -> str:
    return f"S3 object '{object_key}' not found in bucket '{bucket}'"
