"""What each process that answers requests begins with."""

import logging
import multiprocessing
import os
import sys

from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from rexec_ep_api.app import create_app
from rexec_ep_api.logging import configure
from rexec_ep_api.serving import LOG_LEVEL
from rexec_ep_api.settings import SettingsError, read_settings
from rexec_jupyter.core.startup import die_with

_TURN = 0.0005

_log = logging.getLogger(__name__)


def application() -> FastAPI:
    """Return the application as the environment sets it."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        die_with(parent.pid)
    configure(os.environ.get(LOG_LEVEL, "info"))
    # Threads that ask the database come back for a moment only, again and again: each time they
    # would wait for the loop as long as this.
    sys.setswitchinterval(_TURN)
    try:
        return create_app(read_settings())
    except SettingsError as error:
        _log.critical("the settings cannot be used: %s", error)
        sys.exit(STARTUP_FAILURE)
