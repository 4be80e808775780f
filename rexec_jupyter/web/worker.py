"""What each process that answers requests begins with."""

import logging
import multiprocessing
import os
import sys
from collections.abc import Callable

from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from rexec_jupyter.core.startup import die_with
from rexec_jupyter.web.logging import configure
from rexec_jupyter.web.settings import SettingsError

_log = logging.getLogger(__name__)


def begin(prefix: str, make: Callable[[], FastAPI]) -> FastAPI:
    """Return the application of this process, or end it with a line that tells why.

    Parameters
    ----------
    prefix
        What the service's variables begin with, as `Serving.prefix`.
    make
        Makes the application; a `SettingsError` of it is told.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        die_with(parent.pid)
    configure(os.environ.get(f"{prefix}_LOG_LEVEL", "info"))
    try:
        return make()
    except SettingsError as error:
        _log.critical("the settings cannot be used: %s", error)
        sys.exit(STARTUP_FAILURE)
