"""What each process that answers requests begins with."""

import sys

from fastapi import FastAPI

from rexec_ep_api.app import create_app
from rexec_ep_api.settings import read_settings
from rexec_jupyter.web.worker import begin

_TURN = 0.0005


def application() -> FastAPI:
    """Return the application as the environment sets it."""
    # Threads that ask the database come back for a moment only, again and again: each time they
    # would wait for the loop as long as this.
    sys.setswitchinterval(_TURN)
    return begin("REXEC_EP", lambda: create_app(read_settings()))
