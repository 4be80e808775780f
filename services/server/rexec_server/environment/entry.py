"""Has exec run under the Python of the user's environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from rexec_jupyter.core.versions import PYTHON
from rexec_server.environment.failure import Failure, InstallError
from rexec_server.environment.place import Lock, Place

_ENTERED = "REXEC_ENVIRONMENT"
"""Variable with the key of the environment that this process was started in."""


def enter(cache: Path, digest: str) -> Lock:
    """Go on with the same command under the environment's Python, unless that runs already.

    Returns
    -------
    Lock
        Keeps the environment from being removed, as long as this process lives.

    Raises
    ------
    InstallError
        If there is no such environment.
    """
    entered = os.environ.pop(_ENTERED, "")
    place = Place(cache, entered) if entered else _found(cache, digest)
    place.lock.take(shared=True)
    if not place.complete:
        place.lock.release()
        raise InstallError(_missing(digest))
    place.lock.touch()  # nor is it removed in the moment that the lock is free
    if not Path(sys.prefix).samefile(place.directory):
        if entered:
            text = f"The Python of the environment {digest} does not run in it: {sys.prefix}."
            hint = "Remove the environment, and install the packages again."
            raise InstallError(Failure("configuration", text, hint))
        _change(place)
    return place.lock


def _change(place: Place) -> NoReturn:
    programs = place.python.parent
    os.environ[_ENTERED] = place.key
    os.environ["VIRTUAL_ENV"] = str(place.directory)
    os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.execv(place.python, [str(place.python), *sys.orig_argv[1:]])  # noqa: S606 - no shell


def _found(cache: Path, digest: str) -> Place:
    from rexec_server.environment.needs import fingerprint, needs  # noqa: PLC0415 - takes time

    return Place.of(cache, digest, PYTHON, fingerprint(needs()))


def _missing(digest: str) -> Failure:
    return Failure(
        "package",
        f"The packages of the user's code are not installed: there is no environment {digest}"
        f" for Python {PYTHON} and this version of the server.",
        "Run 'python -m rexec_server environment' with the same cache and digest first.",
    )
