"""The `rexec` command under test, as a process of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading

from tests.backend.brokering import PATIENCE, until

COMMAND = [sys.executable, "-m", "rexec_jupyter"]


def rexec(*words, stdin="", patience=100.0, **environment):
    """Run a command to its end; return the finished process, with its output as text."""
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=patience,
        env=os.environ | environment,
        check=False,
    )


def told(*words, **more):
    """Return what a command that succeeds answers in JSON."""
    result = rexec(*words, "--json", **more)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


class Running:
    """A command that runs; its output can be waited for."""

    def __init__(self, *words, **environment):
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        self._lines = {"stdout": [], "stderr": []}
        self._threads = [
            threading.Thread(target=self._read, args=(name,), daemon=True) for name in self._lines
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, name):
        for line in getattr(self.process, name):
            self._lines[name].append(line)

    @property
    def stdout(self):
        return "".join(self._lines["stdout"])

    @property
    def stderr(self):
        return "".join(self._lines["stderr"])

    def wait_for(self, text):
        until(lambda: text in self.stdout + self.stderr, f"{text!r}; {self.stderr}")

    def press_ctrl_c(self):
        self.process.send_signal(signal.SIGINT)

    def end(self):
        """Wait for its end; return the exit code."""
        code = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        return code


@contextlib.contextmanager
def running(*words, **environment):
    command = Running(*words, **environment)
    try:
        yield command
    finally:
        command.process.kill()
        command.end()  # nobody reads its output while that is closed
        for stream in (command.process.stdout, command.process.stderr):
            stream.close()
