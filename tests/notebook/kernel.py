"""A real notebook kernel, and what its cells show, as a frontend sees it."""

from __future__ import annotations

import itertools
import os
import queue
import re
import signal
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

from rexec_jupyter.core.kernels import FOLDER
from rexec_jupyter.widget.status import DISPLAY_ID
from tests.places import short_directory

SECONDS = 60.0
"""How long anything may take on a busy machine; waiting for what is there takes no time."""
_SHOWN = (
    "stream",
    "clear_output",
    "display_data",
    "update_display_data",
    "execute_result",
    "error",
)


@dataclass
class Cell:
    """One execution of one cell. What it shows may go on arriving after it ended."""

    kernel: Kernel
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    ended: bool = False
    number: int = 0

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [content for shown, content in self.messages if shown == kind]

    def stream(self, name: str) -> str:
        return _plain("".join(c["text"] for c in self.of("stream") if c["name"] == name))

    @property
    def kinds(self) -> list[str]:
        """Kinds of output in order; text that follows text of the same stream is one."""
        kinds = (content.get("name", kind) for kind, content in self.messages)
        return [kind for kind, _ in itertools.groupby(kinds)]

    @property
    def stdout(self) -> str:
        return self.stream("stdout")

    @property
    def stderr(self) -> str:
        return self.stream("stderr")

    @property
    def result(self) -> dict[str, Any]:
        """The MIME bundle of Out[n]; empty if there is none."""
        results = self.of("execute_result")
        return results[0]["data"] if results else {}

    @property
    def text(self) -> str:
        return self.result.get("text/plain", "")

    @property
    def displays(self) -> list[dict[str, Any]]:
        return [content["data"] for content in self.of("display_data") if not _is_status(content)]

    @property
    def status(self) -> list[str]:
        """What the status line said, first to last."""
        shown = (c for k, c in self.messages if k in ("display_data", "update_display_data"))
        lines = (c["data"].get("text/plain") for c in shown if _is_status(c))
        return [line for line in lines if line]

    @property
    def error(self) -> str:
        """Type and message of the error it ended with; empty if it succeeded."""
        errors = self.of("error")
        return f"{errors[0]['ename']}: {errors[0]['evalue']}" if errors else ""

    @property
    def traceback(self) -> str:
        return _plain("\n".join(line for e in self.of("error") for line in e["traceback"]))

    def wait(self, timeout: float = SECONDS) -> Cell:
        """Wait until it ended."""
        self.kernel.read_until(lambda: self.ended, timeout, self)
        return self

    def wait_for(self, text: str, timeout: float = SECONDS) -> None:
        """Wait until it printed a text."""
        self.kernel.read_until(lambda: text in self.stdout + self.stderr, timeout, self)

    def wait_for_status(self, text: str, timeout: float = SECONDS) -> None:
        self.kernel.read_until(lambda: text in " ".join(self.status[-1:]), timeout, self)


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _is_status(content: dict[str, Any]) -> bool:
    return content["transient"].get("display_id", "").startswith(DISPLAY_ID)


class Kernel:
    """A kernel process and its one frontend."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=SECONDS)
        self.cells: defaultdict[str, Cell] = defaultdict(lambda: Cell(self))
        self.comms: list[tuple[str, dict[str, Any]]] = []
        """Messages of widgets, as they came."""

    def start(self, code: str) -> Cell:
        """Run a cell and do not wait."""
        return self.cells[self.client.execute(code)]

    def run(self, code: str, timeout: float = SECONDS) -> Cell:
        """Run a cell to its end."""
        return self.start(code).wait(timeout)

    def value(self, expression: str) -> str:
        """Return what an expression shows."""
        cell = self.run(expression)
        assert not cell.error, cell.traceback
        return cell.text

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def read_until(self, ready: Any, timeout: float, cell: Cell) -> None:
        deadline = time.monotonic() + timeout
        while not ready():
            left = deadline - time.monotonic()
            assert left > 0, f"it never came; the cell showed {cell.messages!r}"
            try:
                message = self.client.get_iopub_msg(timeout=min(left, 1.0))
            except queue.Empty:
                continue
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        parent = message["parent_header"].get("msg_id")
        kind, content = message["msg_type"], message["content"]
        if parent is None:
            return
        if kind in _SHOWN:
            self.cells[parent].messages.append((kind, content))
        elif kind.startswith("comm_"):
            self.comms.append((kind, content))
        elif kind == "execute_input":
            self.cells[parent].number = content["execution_count"]
        elif kind == "status" and content["execution_state"] == "idle":
            self.cells[parent].ended = True


@contextmanager
def running_kernel(*, history: bool = False, **environment: str):
    # Free ports that are chosen before the kernel takes them may be somebody else's by then.
    with short_directory() as sockets:
        manager = KernelManager(
            kernel_name="python3",
            transport="ipc",
            ip=str(sockets / "kernel"),
            shutdown_wait_time=2 * SECONDS,  # half of it later it would be terminated
        )
        arguments = [f"--HistoryManager.enabled={history}"]
        manager.start_kernel(extra_arguments=arguments, env=environment)
        try:
            kernel = Kernel(manager)
            try:
                yield kernel
            finally:
                kernel.client.stop_channels()
        finally:
            manager.shutdown_kernel(now=True)
            manager.cleanup_resources()


@contextmanager
def standing_still(process: int):
    """Have a process do nothing meanwhile."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def nothing_started(home: Path) -> bool:
    """Tell whether a runtime directory has nothing but what kernels say of themselves."""
    return [path.name for path in home.iterdir()] == [FOLDER]
