"""The command that serves: its options, which all services have alike."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from rexec_jupyter.core.startup import LOG_LEVELS, report_ready
from rexec_jupyter.web.serving import Serving, serve

_F = TypeVar("_F", bound=Callable[..., Any])


def options(prefix: str, port: int) -> Callable[[_F], _F]:
    """Return what gives a command the options of `serve_as`.

    Parameters
    ----------
    prefix
        What the variables that set them begin with, such as ``REXEC_EP``.
    port
        Where it listens unless told otherwise.
    """

    def variable(name: str) -> dict[str, Any]:
        return {"envvar": f"{prefix}_{name}", "show_envvar": True}

    each = (
        click.option("--host", default="127.0.0.1", **variable("HOST")),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=port,
            help="0: any that is free.",
            **variable("PORT"),
        ),
        click.option(
            "--log-level", type=click.Choice(LOG_LEVELS), default="info", **variable("LOG_LEVEL")
        ),
        click.option(
            "--trusted-proxies",
            default="127.0.0.1",
            help="Addresses of proxies, separated by commas, whose X-Forwarded-For and -Proto "
            "are believed.",
            **variable("TRUSTED_PROXIES"),
        ),
        click.option(
            "--fd",
            type=click.IntRange(min=0),
            help="File descriptor of a listening socket, in place of host and port.",
        ),
        click.option(
            "--ready-fd",
            type=click.IntRange(min=0),
            help="File descriptor to write one line of JSON to once requests are answered: "
            "the URL.",
        ),
    )

    def decorated(command: _F) -> _F:
        for option in reversed(each):
            command = option(command)
        return command

    return decorated


def serve_as(
    name: str,
    application: str,
    prefix: str,
    *,
    workers: int = 1,
    ready_fd: int | None,
    fd: int | None,
    **where: Any,
) -> None:
    """Answer requests until SIGTERM or SIGINT, with what `options` read.

    Parameters
    ----------
    name
        What answers, for people.
    application, prefix, workers
        As in `Serving`.
    """

    def announce(url: str) -> None:
        if ready_fd is None:
            click.echo(f"The {name} answers at {url}")
        else:
            report_ready(ready_fd, {"url": url})

    serving = Serving(application, prefix, workers=workers, descriptor=fd, **where)
    try:
        serve(serving, announce)
    except OSError as error:
        raise click.ClickException(
            f"cannot listen at {serving.host}, port {serving.port}: {error.strerror or error}. "
            "Choose another with --host and --port."
        ) from None
