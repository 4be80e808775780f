"""Asking a store by boto3, and what boto3 reports in the words of this endpoint.

Nothing else imports boto3, which takes a while and memory, and is only there if it is used.
"""

import logging
from typing import Any, Final

import boto3
from botocore import exceptions as boto
from botocore.config import Config
from fastapi import HTTPException

from rexec_ep_api.integrations.errors import (
    ConflictError,
    ImpossibleError,
    MissingError,
    TooSlowError,
    UnreachableError,
)
from rexec_ep_api.integrations.s3.storage import Storage
from rexec_ep_api.settings import EndpointSettings
from rexec_jupyter.auth.outbound import presentable

_log = logging.getLogger(__name__)

_STORE: Final = "The object storage"
_NO_SUCH: Final = frozenset(("NoSuchBucket", "NoSuchKey", "NotFound", "404", "NoSuchUpload"))
# They concern what the operator configured, and not what the user asked for.
_NOT_LET_IN: Final = frozenset(
    (
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidToken",
        "ExpiredToken",
        "RequestTimeTooSkewed",
        "AuthorizationHeaderMalformed",
        "401",
    )
)
_BUSY: Final = frozenset(
    ("SlowDown", "ServiceUnavailable", "InternalError", "Throttling", "RequestTimeout")
)
_TAKEN: Final = "already exists. Use it, or choose another name"
_CONFLICTS: Final = {
    "BucketAlreadyExists": _TAKEN,
    "BucketAlreadyOwnedByYou": _TAKEN,
    "BucketNotEmpty": "is not empty. Delete its objects first",
}
_CONNECTIONS: Final = 32
# At their most talkative, these log what requests are signed with.
_TALKATIVE: Final = ("boto3", "botocore", "s3transfer", "urllib3")
_TOO_SLOW: Final = (boto.ReadTimeoutError, boto.ConnectTimeoutError)


def connect(settings: EndpointSettings) -> Storage:
    """Return the store that the settings name; it is not asked anything yet."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.INFO)
    client = _client(settings, settings.s3_endpoint)
    public = _client(settings, settings.s3_public_url) if settings.s3_public_url else client
    return Storage(client, public, settings.s3_region, translated, settings.patience)


def translated(error: Exception, bucket: str, key: str) -> Exception:
    """Return what is to be said of an error.

    Parameters
    ----------
    error
        What boto3 raised.
    bucket, key
        What was asked for.
    """
    if isinstance(error, boto.ClientError):
        return _told_by_store(error, bucket, key)
    if isinstance(error, _TOO_SLOW):
        return TooSlowError(_STORE)
    if isinstance(error, boto.ParamValidationError):
        return ImpossibleError(f"{_STORE} knows no such bucket or key: {_named(bucket, key)}.")
    if not isinstance(error, boto.BotoCoreError):
        return error
    # Whatever else it is, the store was not heard.
    _log.warning("%s cannot be reached: %s", _STORE, type(error).__name__)
    return UnreachableError(f"{_STORE} cannot be reached. Try again later.")


def _told_by_store(error: boto.ClientError, bucket: str, key: str) -> HTTPException:
    told = error.response.get("Error", {})
    code = str(told.get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _NO_SUCH:
        # Asked for the head of an object, a store does not say which of the two is missing.
        what = f"Object {_named(bucket, key)}" if key and code != "NoSuchBucket" else None
        return MissingError(f"{what or f'Bucket {bucket!r}'} not found")
    if code in {"InvalidRange", "416"}:
        return HTTPException(416, f"Object {_named(bucket, key)} has nothing in the asked range.")
    if code in _NOT_LET_IN or code in _BUSY or status >= 500:
        return _not_now(code or str(status))
    if code in {"AccessDenied", "403"}:
        what = _named(bucket, key) or "its buckets"
        return HTTPException(403, f"{_STORE} does not let this endpoint use {what}.")
    if code in _CONFLICTS:
        return ConflictError(f"Bucket {bucket!r} {_CONFLICTS[code]}.")
    return ImpossibleError(f"{_STORE} refuses it: {presentable(str(told.get('Message') or code))}")


def _not_now(code: str) -> HTTPException:
    if code in _NOT_LET_IN:
        _log.error("%s does not accept the credentials of this endpoint: %s", _STORE, code)
        return UnreachableError(
            f"{_STORE} does not let this endpoint in. Its operator checks S3_ACCESS_KEY, "
            "S3_SECRET_KEY and S3_REGION."
        )
    _log.warning("%s answered with %s.", _STORE, code)
    return UnreachableError(f"{_STORE} cannot answer at the moment. Try again later.")


def _named(bucket: str, key: str) -> str:
    if not key:
        return repr(bucket) if bucket else ""
    return f"{key!r} in bucket {bucket!r}"


def _client(settings: EndpointSettings, endpoint: str) -> Any:
    if endpoint and "://" not in endpoint:
        endpoint = f"{'https' if settings.s3_secure else 'http'}://{endpoint}"
    config = Config(
        connect_timeout=min(3, settings.patience),
        # What is given up after the first half ends by itself after the second.
        read_timeout=2 * settings.patience,
        retries={"mode": "standard", "total_max_attempts": 2},
        signature_version="s3v4",
        # Stores other than Amazon's seldom have a host name for each bucket, or know its newest
        # checksums.
        s3={"addressing_style": "path" if endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=_CONNECTIONS,
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key.get_secret_value(),
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        config=config,
    )
