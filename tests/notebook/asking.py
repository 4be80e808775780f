"""What a frontend asks a kernel for beside running cells."""

from __future__ import annotations

import time
from typing import Any

from tests.notebook.kernel import SECONDS, Kernel


def reply(kernel: Kernel, request: str) -> dict[str, Any]:
    """Return the content of the answer to a request."""
    deadline = time.monotonic() + SECONDS
    while True:
        message = kernel.client.get_shell_msg(timeout=max(0.0, deadline - time.monotonic()))
        if message["parent_header"].get("msg_id") == request:
            return message["content"]


def complete(kernel: Kernel, code: str) -> list[str]:
    """Return what Tab offers where ``|`` stands, or at the end."""
    before, _, after = code.partition("|")
    found = reply(kernel, kernel.client.complete(before + after, len(before)))
    assert found["status"] == "ok"
    return list(found["matches"])


def page(kernel: Kernel, code: str) -> dict[str, Any]:
    """Run a cell and return what it shows in the pager; empty if nothing."""
    told = reply(kernel, kernel.client.execute(code))
    assert told["status"] == "ok", told
    pages = [entry["data"] for entry in told["payload"] if entry["source"] == "page"]
    return pages[-1] if pages else {}


def inspect(kernel: Kernel, code: str, cursor: int) -> dict[str, Any]:
    """Return what Shift-Tab shows."""
    found = reply(kernel, kernel.client.inspect(code, cursor))
    return found["data"] if found["found"] else {}
