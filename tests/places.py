"""Directories of tests."""

import contextlib
import shutil
import tempfile
from pathlib import Path


@contextlib.contextmanager
def short_directory():
    """Give a directory with a short path, as sockets need it."""
    made = Path(tempfile.mkdtemp(prefix="rx-", dir="/tmp"))
    try:
        yield made
    finally:
        shutil.rmtree(made)
