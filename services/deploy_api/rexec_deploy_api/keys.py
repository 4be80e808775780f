"""``python -m rexec_deploy_api keys``: what a new deployment needs before it can start."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import click

from rexec_jupyter.core.credentials import SigningKey
from rexec_jupyter.core.trust import new_keypair, read_keypair, write_keypair, write_private

BROKER = "broker"
"""The broker's CURVE key pair. The broker alone reads it."""
BROKER_PUBLIC = "broker.pub"
"""Its public half, which the deploy API tells clients and servers."""
SIGNING = "signing.pem"
"""What signs tickets and certificates. The deploy API alone reads it."""
VERIFY = "verify.pem"
"""Its public half, by which the broker checks them."""
SECRET = "secret"  # noqa: S105 - the name of the file
"""What the secrets of users derive from. The deploy API alone reads it."""


def make_keys(directory: Path, broker: Path | None = None) -> list[Path]:
    """Make the keys of a deployment that are not there yet; keep those that are.

    Parameters
    ----------
    directory
        Where those of the deploy API are.
    broker
        Where those of the broker are; with the others if it is None.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    OSError
        If a file cannot be read or written.
    ValueError
        If one is there and holds something else.
    """
    broker = broker or directory
    made: list[Path] = []
    for each in (directory, broker):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)

    made += ensure(broker / BROKER, lambda path: write_keypair(path, new_keypair()))
    pair = read_keypair(broker / BROKER)
    made += follow(directory / BROKER_PUBLIC, pair.public + b"\n")
    made += ensure(directory / SIGNING, SigningKey.generate().write)
    made += follow(broker / VERIFY, SigningKey.read(directory / SIGNING).public_pem)
    secret = directory / SECRET
    made += ensure(secret, lambda path: write_private(path, secrets.token_bytes(32)))
    if len(secret.read_bytes()) < 32:
        raise ValueError(f"{secret} has fewer than 32 bytes")
    return made


def ensure(path: Path, write: Callable[[Path], object]) -> list[Path]:
    """Have a file written if it is not there; return it if it was not."""
    if path.exists():
        return []
    write(path)
    return [path]


def follow(path: Path, content: bytes) -> list[Path]:
    """Have a file with what follows from a private key, as `ensure`.

    Raises
    ------
    ValueError
        If it is there with something else.
    """
    made = ensure(path, lambda path: write_private(path, content))
    if path.read_bytes() != content:
        raise ValueError(f"{path} does not belong to its private key")
    return made


@click.command("keys")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default="keys",
    show_default=True,
    help="Where those of the deploy API are, or are to be.",
)
@click.option(
    "--broker-directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="The same for those of the broker, if not in that directory.",
)
def keys(*, directory: Path, broker_directory: Path | None) -> None:
    """Make the keys of a new deployment.

    Of the broker: broker, its CURVE key pair, and verify.pem. Of the deploy API: broker.pub,
    signing.pem and secret. Each file belongs to its owner alone, and one that is there stays as it
    is, so this can run before every start.
    """
    try:
        made = make_keys(directory, broker_directory)
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise click.ClickException(
            f"{error}. Put the right one there, or move all of them away to have new ones made: "
            "whoever knows the old ones must then be told."
        ) from None
    for path in made:
        click.echo(f"made {path}")
    if not made:
        click.echo("all keys are there already")
