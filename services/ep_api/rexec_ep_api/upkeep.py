"""The commands that look after the catalog, and the one that describes the API."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import click

from rexec_ep_api.app import create_app
from rexec_ep_api.catalog.errors import CatalogError, InvalidError
from rexec_ep_api.catalog.store import Catalog
from rexec_ep_api.settings import EndpointSettings, read_settings
from rexec_jupyter.auth.redaction import redacted
from rexec_jupyter.web.settings import SettingsError

_T = TypeVar("_T")


_FILE = click.Path(dir_okay=False, path_type=Path)


class _RefusedError(click.ClickException):
    """The same command would end in the same way again; the chart's job then tries no more."""

    exit_code = 3


@click.command()
def migrate() -> None:
    """Bring the catalog's database to the present version."""

    async def nothing_more(_: Catalog) -> None:
        pass

    _done(nothing_more)
    click.echo("The catalog's database is at the present version.")


@click.command()
@click.argument("file", type=_FILE)
def backup(file: Path) -> None:
    """Write the whole catalog to FILE, as it is at one moment; the service may run meanwhile."""
    counts = _done(lambda catalog: catalog.backup(file))
    click.echo(f"{file} holds {_listed(counts)}.")


@click.command()
@click.argument("file", type=_FILE)
@click.option(
    "--replace", is_flag=True, help="Let go of what the catalog holds; otherwise it must be empty."
)
def restore(*, file: Path, replace: bool) -> None:
    """Put what FILE holds into the catalog, all of it or nothing.

    A backup of SQLite can be restored into PostgreSQL, and the other way round.
    """
    counts = _done(lambda catalog: catalog.restore(file, replace=replace))
    click.echo(f"The catalog holds {_listed(counts)}.")


@click.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    click.echo(json.dumps(create_app(_settings()).openapi(), indent=2, ensure_ascii=False))


def _settings() -> EndpointSettings:
    try:
        return read_settings()
    except SettingsError as error:
        raise _RefusedError(f"the settings cannot be used: {error}") from None


def _database() -> tuple[str, float]:
    settings = _settings()
    if not settings.catalog_enabled:
        raise _RefusedError(
            "this endpoint has no catalog of its own: CKAN_LOCAL_ENABLED or "
            "LOCAL_CATALOG_BACKEND says so."
        )
    return settings.database_url.get_secret_value(), settings.database_wait


def _done(work: Callable[[Catalog], Awaitable[_T]]) -> _T:
    """Do something with the catalog that the settings name."""

    async def opened() -> _T:
        url, patience = _database()
        catalog = await Catalog.open(url, patience=patience)
        try:
            return await work(catalog)
        finally:
            await catalog.close()

    try:
        return asyncio.run(opened())
    except CatalogError as error:
        cause = f" The cause: {error.__cause__}" if error.__cause__ else ""
        failure = _RefusedError if isinstance(error, InvalidError) else click.ClickException
        raise failure(redacted(f"{error}{cause}")) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())
