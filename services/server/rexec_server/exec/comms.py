"""Widgets: their messages go out with a cell's output, and come in with hidden cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import comm
import msgspec
from comm.base_comm import BaseComm, CommManager
from ipykernel.jsonutil import json_clean

Show = Callable[[Literal["comm"], bytes], None]


class RemoteComm(BaseComm):
    """A comm whose other end is in the notebook."""

    show: Show

    def publish_msg(
        self,
        msg_type: str,
        data: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        buffers: Sequence[Any] | None = None,
        **keys: Any,
    ) -> None:
        """Send a message to the other end."""
        content = {"data": {} if data is None else data, "comm_id": self.comm_id, **keys}
        body = {
            "kind": msg_type,
            "content": json_clean(content),
            "metadata": json_clean(metadata or {}),
            "buffers": [memoryview(buffer).tobytes() for buffer in buffers or ()],
        }
        RemoteComm.show("comm", msgspec.msgpack.encode(body))


def install(show: Show) -> None:
    """Make every comm of this process one whose messages are shown with `show`."""
    RemoteComm.show = staticmethod(show)
    comm.create_comm = RemoteComm


def deliver(message: Mapping[str, Any]) -> None:
    """Hand a message from the notebook to its comm, and run what waits for it.

    Parameters
    ----------
    message
        As in the Jupyter messaging protocol: ``content``, ``metadata`` and ``buffers``; and its
        type as ``kind``.
    """
    kind, content = message["kind"], message["content"]
    passed = {
        "header": {"msg_type": kind},
        "content": content,
        "metadata": message.get("metadata") or {},
        "buffers": list(message.get("buffers") or ()),
    }
    manager: Any = comm.get_comm_manager()
    if kind == "comm_open":
        # ipykernel's own method would make a comm of its own kind.
        CommManager.comm_open(manager, None, "", passed)  # type: ignore[arg-type]
        return
    found = manager.comms.get(content["comm_id"])
    if found is None:  # closed in the meantime
        return
    if kind == "comm_msg":
        found.handle_msg(passed)
    elif kind == "comm_close":
        del manager.comms[content["comm_id"]]
        found._closed = True  # noqa: SLF001 - as its manager does: nothing is to be answered
        found.handle_close(passed)
