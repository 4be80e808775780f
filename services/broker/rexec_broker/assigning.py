"""Servers that nobody uses yet are given to somebody, by the deploy API over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from rexec_broker.roll import told, unknown
from rexec_jupyter.core.credentials import CredentialError, Verifier

LONGEST = 16 * 1024
"""Bytes of a body."""

Assign = Callable[[str, str, str], bool]
"""As `membership.Membership.assign`."""


class _Asked(Struct, frozen=True, forbid_unknown_fields=True):
    user: Annotated[str, Meta(max_length=1024)]
    server: Annotated[str, Meta(max_length=64)]
    certificate: Annotated[str, Meta(max_length=8192)]


def answer(
    assign: Assign, verifier: Verifier, authorization: str, body: bytes
) -> tuple[HTTPStatus, bytes]:
    """Answer ``POST /servers/assign`` with JSON of ``user``, ``server`` and ``certificate``.

    The first two name a server as it is now, the last says what it is to be. It wants a token
    that the deployment signed. That the server was told does not mean that it has become so: the
    list of servers tells.
    """
    if wrong := unknown(verifier, authorization):
        return HTTPStatus.UNAUTHORIZED, told(wrong)
    try:
        asked = msgspec.json.decode(body, type=_Asked)
        found = assign(asked.user, asked.server, asked.certificate)
    except (msgspec.MsgspecError, CredentialError) as error:
        return HTTPStatus.BAD_REQUEST, told(str(error))
    except TimeoutError:
        return HTTPStatus.SERVICE_UNAVAILABLE, told("the broker is too busy")
    if not found:
        return HTTPStatus.NOT_FOUND, told("no such server is here")
    return HTTPStatus.ACCEPTED, b"{}"
