"""What the chart's jobs do: keys in a Secret before an installation, and order after its end."""

from __future__ import annotations

import asyncio
import base64
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from rexec_deploy_api.keys import SIGNING, VERIFY, ensure, follow, make_keys
from rexec_deploy_api.spawner.kubernetes.api import (
    ACCOUNTS,
    BINDINGS,
    CLAIMS,
    CONFIG_MAPS,
    JOBS,
    NAMESPACES,
    PODS,
    POLICIES,
    ROLES,
    SECRETS,
    ApiError,
    Cluster,
    Kind,
    Object,
)
from rexec_deploy_api.spawner.kubernetes.names import DOMAIN, INSTANCE, MANAGER
from rexec_jupyter.core.credentials import SigningKey
from rexec_jupyter.core.trust import write_private

NEXT_SIGNING, NEXT_VERIFY = "signing-next.pem", "verify-next.pem"
"""What signs after the next rotation. Brokers know it already, so nobody is turned away then."""
PREVIOUS_VERIFY = "verify-previous.pem"
"""By which brokers check what was signed before the last rotation."""
ROTATION = f"{DOMAIN}/rotation"
"""Annotation with the word of the last rotation."""

_SHARED = (CONFIG_MAPS, PODS, CLAIMS, POLICIES)
_LEFT = {kind.plural: kind for kind in (ACCOUNTS, BINDINGS, JOBS, PODS, ROLES, SECRETS)}
_EXTRAS: dict[str, Callable[[], str]] = {
    "development-token": lambda: secrets.token_urlsafe(32),
    # Goes into an address, so it has no character that means something there.
    "postgresql-password": lambda: secrets.token_hex(24),
}
_PATIENCE, _PAUSE = 240.0, 1.0


def complete(directory: Path, extras: tuple[str, ...] = (), *, rotate: bool = False) -> list[str]:
    """Make what is missing of a deployment's keys, those of rotations included.

    Parameters
    ----------
    directory
        Where they are.
    extras
        Which passwords there are beside them.
    rotate
        Whether the next key that signs becomes the present one.

    Returns
    -------
    list of str
        Names of the files that were written.

    Raises
    ------
    OSError
        If a file cannot be read or written.
    ValueError
        If one is there and holds something else.
    """
    made = make_keys(directory)
    made += _ensure_next(directory)
    if rotate:
        (directory / VERIFY).replace(directory / PREVIOUS_VERIFY)
        (directory / NEXT_SIGNING).replace(directory / SIGNING)
        (directory / NEXT_VERIFY).replace(directory / VERIFY)
        made += [directory / name for name in (SIGNING, VERIFY, PREVIOUS_VERIFY)]
        made += _ensure_next(directory)
    present = (directory / VERIFY).read_bytes()
    made += ensure(directory / PREVIOUS_VERIFY, lambda path: write_private(path, present))
    for name in extras:
        value = _EXTRAS[name]().encode()
        made += ensure(directory / name, lambda path, value=value: write_private(path, value))  # type: ignore[misc]
    return sorted({path.name for path in made})


def _ensure_next(directory: Path) -> list[Path]:
    made = ensure(directory / NEXT_SIGNING, SigningKey.generate().write)
    public = SigningKey.read(directory / NEXT_SIGNING).public_pem
    return made + follow(directory / NEXT_VERIFY, public)


async def keep_in_secret(
    cluster: Cluster, namespace: str, name: str, *, rotation: str = "", extras: tuple[str, ...] = ()
) -> list[str]:
    """Have a Secret with the keys of a deployment; what is in it stays.

    Parameters
    ----------
    cluster, namespace, name
        Where it is.
    rotation
        A word. If it is another than the last time, the next key that signs becomes the present
        one.
    extras
        As for `complete`.

    Returns
    -------
    list of str
        What was written to it.

    Raises
    ------
    ApiError
        If it cannot be read or written.
    ValueError
        If it holds something else.
    """
    there = await cluster.get(SECRETS, namespace, name)
    metadata: Object = there["metadata"] if there else {"name": name}
    notes = metadata.get("annotations") or {}
    rotate = there is not None and rotation != "" and notes.get(ROTATION, "") != rotation
    made, data = _completed((there or {}).get("data") or {}, extras, rotate=rotate)
    if made or rotate:
        if rotation:
            notes = notes | {ROTATION: rotation}
        content: Object = {
            "metadata": {**metadata, "annotations": notes, "managedFields": None},
            "type": (there or {}).get("type", "Opaque"),
            "data": data,
        }
        write = cluster.replace if there else cluster.create
        await write(SECRETS, namespace, content)
    return made


def _completed(
    data: dict[str, str], extras: tuple[str, ...], *, rotate: bool
) -> tuple[list[str], dict[str, str]]:
    """Return what `complete` made, and all that a Secret is to hold then."""
    with tempfile.TemporaryDirectory(prefix="rexec-keys-") as temporary:
        directory = Path(temporary)
        for key, value in data.items():
            write_private(directory / key, base64.b64decode(value))
        made = complete(directory, extras, rotate=rotate)
        return made, {
            path.name: base64.b64encode(path.read_bytes()).decode() for path in directory.iterdir()
        }


async def leave(cluster: Cluster, instance: str, shared_namespace: str = "") -> int:
    """Remove what the users of a deployment had, and wait until it is gone; return how much."""
    found = 0
    until = time.monotonic() + _PATIENCE
    while left := await _ask_to_go(cluster, instance, shared_namespace):
        found = max(found, left)
        if time.monotonic() > until:
            raise ApiError(0, "Slow", f"{left} of what users had is still there")
        await asyncio.sleep(_PAUSE)
    return found


async def _ask_to_go(cluster: Cluster, instance: str, shared_namespace: str) -> int:
    selector = f"app.kubernetes.io/managed-by={MANAGER},{INSTANCE}={instance}"
    kinds: tuple[Kind, ...] = _SHARED if shared_namespace else (NAMESPACES,)
    left = 0
    for kind in kinds:
        told = await cluster.list(kind, shared_namespace, selector)
        for each in told.get("items") or ():
            left += 1
            metadata = each["metadata"]
            if not metadata.get("deletionTimestamp"):
                await cluster.delete(kind, shared_namespace, metadata["name"], uid=metadata["uid"])
    return left


# ----------------------------------------------------------------------------- commands


@click.command("secret")
@click.argument("name")
@click.option("--namespace", required=True, help="Where the Secret is, or is to be.")
@click.option(
    "--rotation",
    default="",
    help="A word. If it is another than the last time, what signs is replaced by what is to sign "
    "next.",
)
@click.option(
    "--with",
    "extras",
    type=click.Choice(sorted(_EXTRAS)),
    multiple=True,
    help="A password that is to be there beside the keys.",
)
def secret(*, name: str, namespace: str, rotation: str, extras: tuple[str, ...]) -> None:
    """Have the keys of a deployment in the Secret NAME.

    What is in it stays, and what is missing is made. The keys themselves are never shown.
    """

    async def work(cluster: Cluster) -> None:
        made = await keep_in_secret(cluster, namespace, name, rotation=rotation, extras=extras)
        click.echo(f"wrote {', '.join(made)} to {name}" if made else f"{name} has all keys already")

    _done(work)


def _left(value: str) -> tuple[Kind, str]:
    """Read a kind and a name, such as ``jobs/rexec-migrate``."""
    plural, _, name = value.partition("/")
    if plural not in _LEFT or not name:
        raise click.BadParameter(
            f"{value!r} is not a kind ({', '.join(sorted(_LEFT))}), a slash and a name."
        )
    return _LEFT[plural], name


@click.command("leave")
@click.option("--namespace", required=True, help="Where it was.")
@click.option(
    "--left",
    type=_left,
    metavar="KIND/NAME",
    multiple=True,
    help="What goes there, if there is such, as jobs/rexec-migrate.",
)
@click.option("--users-of", default="", help="The instance whose users' servers and data go.")
@click.option("--shared-namespace", default="", help="Where all of these are, if in one namespace.")
def leave_command(
    *, namespace: str, left: tuple[tuple[Kind, str], ...], users_of: str, shared_namespace: str
) -> None:
    """Take away what a deployment made, after it was uninstalled."""

    async def work(cluster: Cluster) -> None:
        if users_of:
            count = await leave(cluster, users_of, shared_namespace)
            what = "objects of users" if shared_namespace else "namespaces of users"
            click.echo(f"removed {count} {what}")
        for kind, name in left:
            await cluster.delete(kind, namespace, name)
            click.echo(f"there is no {kind.name} {name} any more")

    _done(work)


def _done(work: Callable[[Cluster], Awaitable[None]]) -> None:
    async def connected() -> None:
        cluster = await Cluster.connect()
        try:
            await work(cluster)
        finally:
            await cluster.close()

    running: Coroutine[Any, Any, None] = connected()
    try:
        asyncio.run(running)
    except (ApiError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(str(error)) from None
