"""How the commands of the server declare their options: each is a flag and a variable."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def option(flag: str, *others: str, env: str = "", **settings: Any) -> Callable[[F], F]:
    """Declare an option that is also an environment variable, and shows that in ``--help``.

    Parameters
    ----------
    flag
        Such as ``--spool-limit`` or ``--fsync/--no-fsync``.
    others
        More names of it, as `click.option` takes them.
    env
        Name of the variable after ``REXEC_SERVER_``; made from the flag if empty.
    settings
        Passed on to `click.option`.
    """
    name = env or flag.partition("/")[0].removeprefix("--").replace("-", "_").upper()
    return click.option(
        flag,
        *others,
        envvar=f"REXEC_SERVER_{name}",
        show_envvar=True,
        show_default=True,
        **settings,
    )


def environment_options(*, required: bool) -> Callable[[F], F]:
    """Declare the options that say which of the user's environments is meant."""

    def declare(function: F) -> F:
        function = option(
            "--python",
            default="",
            help="Minor version of Python that it is for, such as 3.11; that of rexec if empty.",
        )(function)
        function = option(
            "--digest",
            "--environment",
            "environment",
            env="ENVIRONMENT",
            required=required,
            default=None if required else "",
            callback=_digest,
            help="Digest of the packages of the user's code: names the environment.",
        )(function)
        return option(
            "--cache",
            type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
            required=required,
            help="Directory of all environments of the user.",
        )(function)

    return declare


def _digest(_: click.Context, __: click.Parameter, value: str | None) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9_]{1,64}", value):
        raise click.BadParameter("a digest is of letters and digits")
    return value or ""
