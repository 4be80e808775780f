"""Widgets of remote code in this notebook: each has a twin comm here, with the same id.

What the code says to a widget goes to the frontend as if this kernel had said it. What the
frontend says goes to the session as a hidden cell, and what comes of that is shown in the
cell that the widget belongs to.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from comm.base_comm import BaseComm
from ipykernel.jsonutil import json_clean

from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.happenings import Comm
from rexec_jupyter.magics.background import pin
from rexec_jupyter.magics.condense import is_state, merge
from rexec_jupyter.magics.pump import WAIT, Screen
from rexec_jupyter.magics.reloading import Control, State
from rexec_jupyter.widget.status import Nowhere, StatusLine

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from rexec_jupyter.core.client import Client

_DELIVER = '__import__("rexec_server.exec.comms", fromlist=["deliver"]).deliver(message)'

_Header = dict[str, Any]


class Twin(BaseComm):
    """The end in this kernel of a comm whose true end is in a session.

    Parameters
    ----------
    kernel
        This notebook's kernel.
    parent
        The request whose cell shows the widget.
    opened
        The message that opened the true one.
    """

    def __init__(self, kernel: Any, parent: _Header, opened: Comm) -> None:
        self.home = parent
        """The cell that shows it."""
        self.state = State()
        self.state.heed(opened.content.get("data"), opened.buffers)
        self._kernel = kernel
        self._parent = parent
        content = opened.content
        super().__init__(
            target_name=content.get("target_name", "comm"),
            target_module=content.get("target_module"),
            comm_id=content["comm_id"],
            data=content.get("data"),
            metadata=opened.metadata,
            buffers=opened.buffers,
        )

    def tell(self, parent: _Header, comm: Comm) -> None:
        """Tell the frontend what the true comm said, as an answer to `parent`."""
        self._parent = parent
        data = comm.content.get("data")
        self.state.heed(data, comm.buffers)
        if comm.kind == "comm_close":
            self.close(data, comm.metadata, comm.buffers)
        else:
            self.send(data, comm.metadata, comm.buffers)

    def answer(self, parent: _Header) -> None:
        """Tell the frontend the whole state, as an answer to `parent`."""
        self._parent = parent
        data, buffers = self.state.told()
        self.send(data, buffers=buffers)

    def publish_msg(
        self,
        msg_type: str,
        data: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        buffers: list[bytes] | None = None,
        **keys: Any,
    ) -> None:
        """Send a message to the frontend."""
        self._kernel.session.send(
            self._kernel.iopub_socket,
            msg_type,
            json_clean({"data": data or {}, "comm_id": self.comm_id, **keys}),
            metadata=json_clean(metadata or {}),
            parent=self._parent,
            ident=self.topic,
            buffers=buffers,
        )


@dataclass(slots=True)
class _Said:
    """What the frontend said."""

    comm: Comm
    header: _Header
    home: _Header


class _Courier:
    """Carries what the frontend says to one session, in order, on a thread of its own.

    Parameters
    ----------
    deliver
        Delivers one message and waits until it was dealt with.
    """

    def __init__(self, session: str, deliver: Callable[[str, _Said], None]) -> None:
        self._session = session
        self._deliver = deliver
        self._said: queue.SimpleQueue[_Said | None] = queue.SimpleQueue()
        self._waiting: list[_Said] = []
        threading.Thread(target=self._run, name=f"rexec-comms-{session}", daemon=True).start()

    def put(self, said: _Said | None) -> None:
        """Add a message; None is the end."""
        self._said.put(said)

    def _run(self) -> None:
        while True:
            said = self._said.get()
            # What came while another was under way can be put together.
            while said is not None:
                self._add(said)
                if self._said.empty():
                    break
                said = self._said.get()
            if said is None:
                return
            while self._waiting and self._said.empty():
                with suppress(RexecError):  # without a session there is no widget to tell
                    self._deliver(self._session, self._waiting.pop(0))

    def _add(self, said: _Said) -> None:
        """Append it, or make one with what waits already for the same widget."""
        waiting = self._waiting
        for index in reversed(range(len(waiting))):
            former = waiting[index]
            if former.comm.content["comm_id"] == said.comm.content["comm_id"]:
                if is_state(former.comm) and is_state(said.comm):
                    waiting[index] = _Said(merge(former.comm, said.comm), said.header, said.home)
                    return
                break
        waiting.append(said)


class Relay:
    """Carries messages of widgets between this notebook's frontend and the sessions.

    Parameters
    ----------
    shell
        The notebook's shell.
    client
        Returns the connection.
    """

    def __init__(self, shell: InteractiveShell, client: Callable[[], Client]) -> None:
        self._shell: Any = shell
        self._kernel = getattr(shell, "kernel", None)
        self._client = client
        self._twins: dict[str, Twin] = {}
        self._couriers: dict[str, _Courier] = {}
        self._control = Control(shell, lambda: bool(self._twins))

    def channel(
        self, session: str, answers: _Header | None = None
    ) -> Callable[[Comm], None] | None:
        """Return what takes the messages of one cell's widgets; None if none can be shown.

        Parameters
        ----------
        session
            Name of the session.
        answers
            The request that they answer, if not the one that this thread serves.
        """
        if self._kernel is None:
            return None
        parent = answers or self._shell.get_parent()
        return lambda comm: self._show(session, comm, parent)

    def close(self) -> None:
        """End all widgets of remote code."""
        for courier in self._couriers.values():
            courier.put(None)
        self._couriers.clear()
        self._control.close()
        for twin in self._twins.values():
            twin.close()
        self._twins.clear()

    def _show(self, session: str, comm: Comm, parent: _Header) -> None:
        comm_id = comm.content["comm_id"]
        twin = self._twins.get(comm_id)
        if comm.kind == "comm_open":
            if twin is None:
                self._open(session, comm, parent)
        elif twin is not None:
            _place(comm, twin.home)
            twin.tell(parent, comm)
            if comm.kind == "comm_close":
                del self._twins[comm_id]

    def _open(self, session: str, comm: Comm, parent: _Header) -> None:
        twin = Twin(self._kernel, parent, comm)
        twin.home = self._shell.get_parent()
        self._twins[twin.comm_id] = twin
        self._control.install()
        # These run where the frontend's messages arrive: maybe on a thread that may not wait,
        # and with nowhere to print to.
        twin.on_msg(lambda message: self._hear(session, twin, "comm_msg", message))
        twin.on_close(lambda message: self._hear(session, twin, "comm_close", message))

    def _hear(
        self,
        session: str,
        twin: Twin,
        kind: Literal["comm_msg", "comm_close"],
        message: dict[str, Any],
    ) -> None:
        if kind == "comm_close":
            self._twins.pop(twin.comm_id, None)
        buffers = [bytes(buffer) for buffer in message.get("buffers") or ()]
        data = message["content"].get("data") or {}
        if kind == "comm_msg" and data.get("method") == "request_state":
            twin.answer({"header": message["header"]})
            return
        twin.state.heed(data, buffers)
        comm = Comm(kind, message["content"], message.get("metadata") or {}, buffers)
        courier = self._couriers.get(session)
        if courier is None:
            courier = self._couriers[session] = _Courier(session, self._deliver)
        courier.put(_Said(comm, {"header": message["header"]}, twin.home))

    def _deliver(self, name: str, said: _Said) -> None:
        comm = said.comm
        message = {
            "kind": comm.kind,
            "content": comm.content,
            "metadata": comm.metadata,
            "buffers": comm.buffers,
        }
        session = self._client().session(name)
        job = session.submit_cell(_DELIVER, names={"message": message}, hidden=True, stream=True)
        pin(self._shell, said.home)
        status = StatusLine(Nowhere(), name)
        screen = Screen(self._shell, status, name, on_comm=self.channel(name, said.header))
        while (happenings := job.take(WAIT)) is not None:
            screen.show(happenings)
        screen.finish()


def _place(comm: Comm, home: _Header) -> None:
    """Have an Output widget capture what is shown in the cell here, as it wanted it there."""
    data = comm.content.get("data")
    state = data.get("state") if isinstance(data, dict) else None
    if isinstance(state, dict) and state.get("msg_id"):
        state["msg_id"] = home.get("header", {}).get("msg_id", "")
