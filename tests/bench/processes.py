"""Fresh processes, and the backend that only the benchmark uses."""

import multiprocessing
import os
import tempfile
from contextlib import contextmanager
from unittest.mock import patch

import psutil

_spawn = multiprocessing.get_context("spawn")
_RUNTIME = "REXEC_RUNTIME_DIR"


@contextmanager
def private_backend():
    """Let `connect("local")` here and in child processes find a backend that is not there yet."""
    with (
        tempfile.TemporaryDirectory(prefix="rexec-bench-") as directory,
        patch.dict(os.environ, {_RUNTIME: directory, "REXEC_LOCAL_LINGER": "0"}),
    ):
        yield
        _, left = psutil.wait_procs(_backend_processes(), timeout=100)
        if left:
            raise RuntimeError(f"the backend did not end: {left}")


def resident(process):
    """Return the bytes of memory that a process holds."""
    return process.memory_info().rss


def broker_process():
    """Return the broker of the private backend."""
    (broker,) = (each for each in _backend_processes() if "rexec_broker" in each.info["cmdline"])
    return broker


def _backend_processes():
    return [each for each in psutil.process_iter(["cmdline"]) if _is_ours(each)]


def _is_ours(process):
    command = process.info["cmdline"] or []
    try:
        return any(part.startswith("rexec_") for part in command) and (
            process.environ().get(_RUNTIME) == os.environ[_RUNTIME]
        )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


@contextmanager
def elsewhere(run, *arguments):
    """Run a function in a fresh process that gets a pipe; give the process and our end."""
    here, there = _spawn.Pipe()
    process = _spawn.Process(target=run, args=(there, *arguments), daemon=True)
    process.start()
    there.close()  # if the process fails, receiving fails too instead of waiting
    try:
        yield process, here
    finally:
        process.kill()
        process.join()
        here.close()
