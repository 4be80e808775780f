"""Asking for access to the endpoint, and deciding about it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request

from rexec_ep_api.catalog.access_requests import (
    AccessRequests,
    AlreadyDecidedError,
    AlreadyPendingError,
    Decision,
    NewAccessRequest,
)
from rexec_ep_api.models.users import (
    AccessRequest,
    AccessRequestBody,
    Approval,
    Rejection,
)
from rexec_ep_api.openapi import answer, failures
from rexec_ep_api.settings import EndpointSettings
from rexec_jupyter.auth.authenticator import Authenticator
from rexec_jupyter.auth.dependencies import Admin, BearerToken, User

router = APIRouter(prefix="/user/access-requests")

_PENDING = {
    "id": "0b0f5a3e-6a3c-4a53-9c57-2f1d7f3e5a11",
    "user_sub": "6e3b7a54",
    "username": "ann",
    "email": "ann@example.org",
    "status": "pending",
    "justification": "I register the gauges of our lab.",
    "created_at": "2026-05-04T12:00:00Z",
}
_DECIDED = {
    "decided_at": "2026-05-04T13:00:00Z",
    "decided_by_sub": "90cd11a2",
    "decided_by_username": "bob",
    "decision_notes": "Welcome.",
}
_APPROVED = _PENDING | _DECIDED | {"status": "approved", "grant_type": "writer"}
_REJECTED = _PENDING | _DECIDED | {"status": "rejected"}


def _requests(request: Request) -> AccessRequests:
    """Return where the requests are kept, if this endpoint takes any."""
    settings: EndpointSettings = request.app.state.settings
    catalog = request.app.state.catalog
    if not settings.enable_access_requests or catalog is None:
        raise HTTPException(
            503,
            "Access requests are not enabled on this endpoint. Its operator sets "
            "ENABLE_ACCESS_REQUESTS to take them; ask them for access directly.",
        )
    return AccessRequests(catalog)


Requests = Annotated[AccessRequests, Depends(_requests)]
Identifier = Annotated[str, Path(max_length=100, description="Identifier of the request.")]


@router.post(
    "",
    summary="Ask for access",
    status_code=201,
    responses=answer(_PENDING, "It waits for an administrator.", status=201)
    | failures(400, 401, 409, 413, 422, 503),
)
async def ask(user: User, requests: Requests, body: AccessRequestBody) -> AccessRequest:
    """Ask the administrators of this endpoint for access; once at a time."""
    if not user.username:
        raise HTTPException(
            400,
            "Cannot identify the requesting user: the identity service tells no username for "
            "this token. Ask the administrator of this endpoint for access directly.",
        )
    new = NewAccessRequest(user.sub, user.username, user.email, body.justification)
    try:
        return AccessRequest.model_validate(await requests.create(new))
    except AlreadyPendingError:
        raise HTTPException(
            409, "You already have a pending access request. Wait until it is decided."
        ) from None


@router.get(
    "",
    summary="List the requests for access",
    responses=answer([_PENDING]) | failures(401, 403, 422, 503),
)
async def requests_for_access(
    _: Admin,
    requests: Requests,
    status: Annotated[
        Literal["pending", "approved", "rejected", "all"],
        Query(description="Only those of which this has become."),
    ] = "pending",
) -> list[AccessRequest]:
    """List who asked for access, the newest first; for administrators."""
    found = await requests.listed(None if status == "all" else status)
    return [AccessRequest.model_validate(one) for one in found]


@router.post(
    "/{request_id}/approve",
    summary="Approve a request for access",
    responses=answer(_APPROVED) | failures(401, 403, 404, 409, 413, 422, 503),
)
async def approve(
    request: Request,
    request_id: Identifier,
    user: Admin,
    token: BearerToken,
    requests: Requests,
    approval: Approval,
) -> AccessRequest:
    """Have the identity service grant what was asked for, and record it; for administrators."""
    asked = await requests.get(request_id)
    if asked is None:
        raise _not_found(request_id)
    if asked.status != "pending":
        raise _already(asked.status)
    authenticator: Authenticator = request.app.state.auth
    # First what can fail: if it does, the request stays pending and can be approved again.
    bearer = token.get_secret_value() if token else ""
    await authenticator.grant(bearer, asked.username, approval.grant_type)
    decision = Decision("approved", user.sub, user.username, approval.grant_type, approval.notes)
    return await _decide(requests, request_id, decision)


@router.post(
    "/{request_id}/reject",
    summary="Reject a request for access",
    responses=answer(_REJECTED) | failures(401, 403, 404, 409, 413, 422, 503),
)
async def reject(
    request_id: Identifier, user: Admin, requests: Requests, rejection: Rejection
) -> AccessRequest:
    """Record that somebody is not given access; for administrators."""
    decision = Decision("rejected", user.sub, user.username, None, rejection.notes)
    return await _decide(requests, request_id, decision)


async def _decide(requests: AccessRequests, request_id: str, decision: Decision) -> AccessRequest:
    try:
        decided = await requests.decide(request_id, decision)
    except AlreadyDecidedError as cause:
        raise _already(cause.status) from None
    if decided is None:
        raise _not_found(request_id)
    return AccessRequest.model_validate(decided)


def _not_found(request_id: str) -> HTTPException:
    return HTTPException(
        404,
        f"Access request not found: there is none with the identifier {request_id!r}. "
        "GET /user/access-requests?status=all lists them.",
    )


def _already(status: str) -> HTTPException:
    return HTTPException(409, f"This access request is already {status}.")
