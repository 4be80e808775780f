"""What the process that answers requests begins with."""

from fastapi import FastAPI

from rexec_deploy_api.app import create_app
from rexec_deploy_api.settings import PREFIX, read_settings
from rexec_jupyter.web.worker import begin


def application() -> FastAPI:
    """Return the application as the environment sets it."""
    return begin(PREFIX, lambda: create_app(read_settings()))
