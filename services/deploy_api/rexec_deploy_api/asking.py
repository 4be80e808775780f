"""What both ways of asking for servers have in common: who asks, and for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from rexec_deploy_api.environments import parse
from rexec_deploy_api.profiles import Profiles, Wanted, spec_of
from rexec_deploy_api.records import CLOCKS, Record
from rexec_deploy_api.service import Owner, Servers
from rexec_deploy_api.settings import DeploySettings
from rexec_deploy_api.tickets import Tickets
from rexec_jupyter.auth.dependencies import User
from rexec_jupyter.auth.identity import Identity
from rexec_jupyter.auth.roles import Access

_ISSUER_CLAIM = "iss"


class Parts(NamedTuple):
    """What requests use; the application holds it in ``app.state.parts``."""

    settings: DeploySettings
    servers: Servers
    tickets: Tickets
    profiles: Profiles


def parts_of(request: Request) -> Parts:
    """Return what the application of a request is made of."""
    parts: Parts = request.app.state.parts
    return parts


Given = Annotated[Parts, Depends(parts_of)]


class Deployer(NamedTuple):
    """Somebody who may start servers, and the group as whose member they may."""

    identity: Identity
    group: str | None


def deployer(request: Request, identity: Identity) -> Deployer:
    """Return somebody who may start servers.

    Raises
    ------
    ForbiddenError
        If they may not.
    """
    access: Access = request.app.state.access
    return Deployer(identity, access.deploy_group(identity))


async def _deployer(request: Request, user: User) -> Deployer:
    return deployer(request, user)


Starter = Annotated[Deployer, Depends(_deployer)]
"""Somebody with a valid token who may start servers."""


async def begin(
    parts: Parts,
    identity: Identity,
    name: str,
    profile: str,
    requirements: Sequence[str],
    wanted: Wanted,
    *,
    force: bool,
) -> tuple[Record, bool]:
    """Have a server that is as asked for, as `Servers.spawn`.

    Raises
    ------
    RequirementsError
        If a requirement is none, or not allowed.
    NotAllowedError
        If the profile does not give what is wanted.
    DifferentError, TooManyError, SpawnerError
        As `Servers.spawn` raises them.
    """
    settings = parts.settings
    environment = parse(
        requirements, allow_urls=settings.allow_urls, limit=settings.max_requirements
    )
    spec = spec_of(parts.profiles.named(profile), wanted, environment, python=settings.python)
    timed = [clock for clock in CLOCKS if getattr(wanted, clock) is not None]
    issuer = str(identity.claims.get(_ISSUER_CLAIM) or settings.jwt_issuer)
    owner = Owner(identity.sub, identity.username, issuer)
    return await parts.servers.spawn(owner, name, spec, force=force, timed=timed)
