"""Waiting for what comes when it does, and not for some time."""

import time

PATIENCE = 60.0
"""Seconds after which something is taken to hang; far longer than it takes on a busy machine."""


def until(condition, what, patience=PATIENCE):
    """Wait until the condition holds; return its value."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {patience} s in vain for {what}"
        time.sleep(0.02)
    return value


def wait_for_file(path):
    """Return code that waits, where it runs, for the test to touch a file."""
    return f"import os, time\nwhile not os.path.exists({str(path)!r}):\n    time.sleep(0.02)\n"
