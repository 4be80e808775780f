"""How the commands of the server declare their options: each is a flag and a variable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def option(flag: str, *, env: str = "", **settings: Any) -> Callable[[F], F]:
    """Declare an option that is also an environment variable, and shows that in ``--help``.

    Parameters
    ----------
    flag
        Such as ``--spool-limit`` or ``--fsync/--no-fsync``.
    env
        Name of the variable after ``REXEC_SERVER_``; made from the flag if empty.
    settings
        Passed on to `click.option`.
    """
    name = env or flag.partition("/")[0].removeprefix("--").replace("-", "_").upper()
    return click.option(
        flag, envvar=f"REXEC_SERVER_{name}", show_envvar=True, show_default=True, **settings
    )
