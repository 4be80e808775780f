"""What older clients ask: one server a user, begun and ended by forms that hold the token."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from rexec_deploy_api import models as m
from rexec_deploy_api.api import v1
from rexec_deploy_api.asking import Given, begin, deployer
from rexec_deploy_api.profiles import Wanted
from rexec_jupyter.auth.authenticator import Authenticator
from rexec_jupyter.auth.dependencies import BearerToken
from rexec_jupyter.auth.errors import RefusedError
from rexec_jupyter.auth.identity import Identity
from rexec_jupyter.auth.redaction import keep_out

TAG = "As older clients ask"
router = APIRouter(tags=[TAG])

_NAME: Final = "default"
_MOST_FIELDS: Final = 20_000
_TRUE: Final = frozenset(("true", "1", "yes", "on", "t", "y"))
_FALSE: Final = frozenset(("false", "0", "no", "off", "f", "n", ""))
# One spelling is that of the clients; the other is the word.
_REQUIREMENTS: Final = ("requirments", "requirements")

# Whether it says which is seen when it is parsed.
_OF_PYTHON: Final = re.compile(r"\s*python(?![\w.-])", re.IGNORECASE)

Form = Mapping[str, Sequence[str]]


def _documented(required: Sequence[str], **fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the OpenAPI document says of a form."""
    schema = {"type": "object", "properties": fields, "required": list(required)}
    content = {"application/x-www-form-urlencoded": {"schema": schema}}
    return {"requestBody": {"content": content}}


_TEXT: Final = {"type": "string"}
_LINES: Final = {"type": "array", "items": _TEXT}


async def _form(request: Request) -> Form:
    """Return the fields of the form that a request holds, each with its values."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        pairs = await _parts(request)
    else:
        body = await request.body()
        if body and kind not in ("application/x-www-form-urlencoded", ""):
            raise HTTPException(422, "The body is no form: send application/x-www-form-urlencoded.")
        try:
            pairs = parse_qsl(
                body.decode("utf-8"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MOST_FIELDS,
            )
        except UnicodeDecodeError:
            raise HTTPException(422, "The form is not in UTF-8.") from None
        except ValueError:
            raise HTTPException(422, "The form has too many fields.") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    for token in fields.get("token", ()):
        keep_out(token)
    return fields


async def _parts(request: Request) -> list[tuple[str, str]]:
    try:
        form = await request.form(max_files=0, max_fields=_MOST_FIELDS)
    except HTTPException as error:
        if error.status_code != 400:
            raise
        raise HTTPException(422, f"The form cannot be read: {error.detail}") from None
    return [
        (name, value) for name, value in form.multi_items() if not isinstance(value, UploadFile)
    ]


GivenForm = Annotated[Form, Depends(_form)]


async def _user(request: Request, form: GivenForm, bearer: BearerToken) -> Identity:
    """Return whose token the form holds, or the header if the form has none."""
    token = next((text for text in form.get("token", ()) if text), "")
    if not token and bearer is not None:
        token = bearer.get_secret_value()
    if not token:
        # Older clients are told so in the words of a form, where one was sent.
        raise RefusedError("Not authenticated: the form has no field 'token'.")
    authenticator: Authenticator = request.app.state.auth
    return await authenticator.identify(token)


FormUser = Annotated[Identity, Depends(_user)]


@router.get("/", summary="That the service runs")
async def root() -> str:
    """Say so."""
    return "API is running successfully."


@router.post(
    "/spawn",
    summary="Have a server",
    openapi_extra=_documented(
        ["requirments"],
        requirments=_LINES,
        requirements=_LINES,
        force_reinstall={"type": "boolean"},
        profile=_TEXT,
        token=_TEXT,
    ),
)
async def spawn(request: Request, form: GivenForm, given: Given, user: FormUser) -> m.SpawnBody:
    """Start the user's server, unless there is one like this; it is not ready yet then.

    One of the requirements names the version of Python, as in `python==3.11`.
    """
    identity, group = deployer(request, user)
    lines = [line for field in _REQUIREMENTS for line in form.get(field, ())]
    if not any(line.strip() for line in lines):
        raise HTTPException(422, "requirments: Field required")
    if not any(map(_OF_PYTHON.match, lines)):
        raise HTTPException(
            400, "The requirements name no version of Python; add a line such as python==3.11."
        )
    _, begun = await begin(
        given,
        identity,
        _NAME,
        next(iter(form.get("profile", ())), ""),
        lines,
        Wanted(),
        force=_flag(form, "force_reinstall"),
    )
    how = "created" if begun else "exists"
    return m.SpawnBody(
        Status=f"R-Exec server instance with user-provided requirements {how}.",
        Username=identity.username or identity.sub,
        NDP_Endpoint_membership=group,
    )


@router.delete(
    "/terminate",
    summary="End the server",
    openapi_extra=_documented([], token=_TEXT),
)
async def terminate(given: Given, user: FormUser) -> m.TerminatedBody:
    """Have the user's server end in good order; if there is none, that is right too."""
    record = await given.servers.stop(user.sub, _NAME)
    told = "terminated" if record else "is not there, so nothing was terminated"
    return m.TerminatedBody(
        Status=f"R-Exec server instance {told}.", Username=user.username or user.sub
    )


router.add_api_route(
    "/broker-config",
    v1.broker_config,
    summary="Where the broker is",
    operation_id="existing_broker_config",
)


def _flag(form: Form, field: str) -> bool:
    text = next(iter(form.get(field, ())), "").strip().lower()
    if text not in _TRUE | _FALSE:
        raise HTTPException(422, f"{field}: it is True or False")
    return text in _TRUE
