"""Fresh processes, and the backend that only the benchmark uses."""

import multiprocessing
import os
import tempfile
from contextlib import contextmanager

import psutil

_spawn = multiprocessing.get_context("spawn")


@contextmanager
def private_backend():
    """Let `connect("local")` here and in child processes find a backend that is not there yet."""
    with tempfile.TemporaryDirectory(prefix="rexec-bench-") as directory:
        before = os.environ.get("REXEC_RUNTIME_DIR")
        os.environ["REXEC_RUNTIME_DIR"] = directory
        try:
            yield
        finally:
            if before is None:
                del os.environ["REXEC_RUNTIME_DIR"]
            else:
                os.environ["REXEC_RUNTIME_DIR"] = before


def resident(process):
    """Return the bytes of memory that a process holds."""
    return process.memory_info().rss


def broker_process():
    """Return the broker of the private backend."""
    directory = os.environ["REXEC_RUNTIME_DIR"]
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "rexec_broker" in command and process.environ().get("REXEC_RUNTIME_DIR") == directory:
            return process
    raise LookupError("the broker does not run")


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
