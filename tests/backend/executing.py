"""A test double of the agent: speaks `rexec_server.handoff` with a real exec manager."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import values
from rexec_jupyter.core.carrier import read_segment, write_segment
from rexec_jupyter.core.happenings import NamesChanged
from rexec_jupyter.core.trust import new_id, payload_digest
from rexec_server import handoff as h

DEADLINE = 60.0
TERMINAL = (h.Returned, h.Raised, h.Interrupted, h.CellGone)


class _Peer:
    """One connection: the manager's, or a worker's with its two pipes."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.decoder: h.Decoder[Any] = h.Decoder(h.ToAgent)
        self.pid = 0
        self.manages = False
        self.job = ""
        self.pipes: list[int] = []


class Agent:
    """Starts an exec manager on a handoff directory and collects all it says."""

    def __init__(
        self,
        handoff: Path,
        *arguments: str,
        workers: int = 1,
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.handoff = handoff
        self.files = handoff / h.FILES
        self.files.mkdir(mode=0o700, exist_ok=True)
        self.messages: list[tuple[Any, bytes]] = []
        self.output: dict[tuple[str, str], bytes] = defaultdict(bytes)
        self._changed = threading.Condition()
        self._peers: list[_Peer] = []
        self._workers: dict[str, int] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(handoff / h.SOCKET))
        self._listener.listen()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._woken, selectors.EVENT_READ, lambda: self._woken.recv(1))
        self._closing = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        command = [sys.executable, "-m", "rexec_server", "exec", "--handoff", str(handoff)]
        command += ["--workers", str(workers), *arguments]
        self.process = process or subprocess.Popen(command)

    @classmethod
    def beside(cls, other: Agent) -> Agent:
        """Start another agent for the manager of one that is gone."""
        return cls(other.handoff, process=other.process)

    # ------------------------------------------------------------------ what tests ask for

    def wait(self, condition: Callable[[], Any], what: str = "it") -> Any:
        """Return what the condition returns, once that is true."""
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE), f"waited in vain for {what}"
            return condition()

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
        """Start a call on an idle worker; return the job."""
        return self.start_call(values.dump((function, args, kwargs)))

    def start_call(self, parts: Sequence[p.Buffer], pid: int = 0) -> str:
        """Start a call that is pickled already."""
        worker = self.wait(lambda: self.idle(pid), "an idle worker")
        job = worker.job = new_id()
        self._workers[job] = worker.pid
        where, digest, payload = self._described(parts)
        message = h.RunCall(job=job, where=where, digest=digest, nbytes=len(payload))
        worker.connection.sendall(h.encode(message, payload))
        return job

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a call; return its value."""
        return self.value(self.call(function, *args, **kwargs))

    def cell(
        self,
        source: str,
        names: dict[str, Any] | None = None,
        *,
        session: str = "default",
        env: dict[str, str] | None = None,
        keep: dict[str, bytes] | None = None,
        strict: bool = False,
        **fields: Any,
    ) -> str:
        """Start a cell; return the job. The other fields are those of `handoff.RunCell`."""
        job = new_id()
        parts = values.dump_cell(source, names or {}, env, keep=keep, strict=strict)
        where, digest, payload = self._described(parts)
        self.tell(
            h.RunCell(
                job=job,
                session=session,
                where=where,
                digest=digest,
                nbytes=len(payload),
                **fields,
            ),
            payload,
        )
        return job

    def tell(self, message: h.Message, payload: bytes = b"") -> None:
        """Send a message to the manager."""
        manager = self.wait(self.manager, "the manager")
        manager.connection.sendall(h.encode(message, payload))

    def grant(self, job: str, upto: int) -> None:
        """Let a generator go on."""
        (worker,) = [peer for peer in self._peers if peer.job == job]
        worker.connection.sendall(h.encode(h.MoreItems(job=job, upto=upto)))

    def answer(self, job: str) -> Any:
        """Return the terminal message of a job, once it is there."""
        return self.wait(lambda: self._answer(job), f"the end of {job}")[0]

    def value(self, job: str) -> Any:
        """Return the value of a call that succeeds."""
        self.answer(job)
        message, payload = self._answer(job)
        assert isinstance(message, h.Returned), message
        return values.load(self.parts(message.result, payload))

    def cell_values(self, job: str) -> values.CellValues:
        """Return the values of a cell that succeeds."""
        self.answer(job)
        message, payload = self._answer(job)
        assert isinstance(message, h.Returned), message
        return values.load_cell_result(self.parts(message.result, payload))

    def error(self, job: str) -> BaseException:
        """Return the exception of a job that raises one that can be pickled."""
        self.answer(job)
        message, payload = self._answer(job)
        assert isinstance(message, h.Raised), message
        assert message.result.where.sizes != [0], message
        error = values.load(self.parts(message.result, payload))
        assert isinstance(error, BaseException)
        return error

    def parts(self, result: h.Result, payload: bytes) -> list[p.Buffer]:
        """Return the parts of a result, whose digest is checked."""
        where = result.where
        if where.file:
            described = p.Payload(where.sizes, result.digest, "segment", where.file)
            mapped, authentic = read_segment(str(self.files), described)
            assert authentic
            return values.split(mapped, where.sizes)
        assert payload_digest([payload]) == result.digest
        return values.split(payload, where.sizes)

    def of(self, job: str, kind: type | tuple[type, ...]) -> list[Any]:
        """Return the messages of one kind about a job."""
        return [m for m, _ in self.messages if isinstance(m, kind) and m.job == job]

    def shown(self, job: str) -> list[tuple[str, Any]]:
        """Return what a cell showed: pieces of one stream in a row are joined."""
        pieces = [piece for piece in self._pieces(job) if piece[0] != "names"]
        shown: list[tuple[str, Any]] = []
        for stream, group in itertools.groupby(pieces, key=lambda piece: piece[0]):
            payloads = [payload for _, payload in group]
            if stream in ("stdout", "stderr", "note"):
                shown.append((stream, b"".join(payloads).decode()))
            else:
                shown += [(stream, msgspec.msgpack.decode(payload)) for payload in payloads]
        return shown

    def names(self, job: str) -> NamesChanged | None:
        """Return what a cell told of the names in its session."""
        told = [content for stream, content in self._pieces(job) if stream == "names"]
        assert len(told) <= 1
        return msgspec.msgpack.decode(told[0], type=NamesChanged) if told else None

    def text(self, job: str, stream: str = "stdout") -> str:
        """Return what a job wrote to a stream, with all that is on its way."""
        return self.output[job, stream].decode()

    def of_type(self, kind: type) -> list[Any]:
        """Return all messages of one kind."""
        return [message for message, _ in self.messages if isinstance(message, kind)]

    def manager(self) -> _Peer | None:
        """Return the manager's connection, if there is one."""
        return next((peer for peer in self._peers if peer.manages), None)

    def idle(self, pid: int = 0) -> _Peer | None:
        """Return an idle worker, or that one if it is idle."""
        fit = (peer for peer in self._peers if peer.pid and not peer.manages and not peer.job)
        return next((peer for peer in fit if pid in (0, peer.pid)), None)

    def worker_of(self, job: str) -> int:
        """Return the process that runs or ran a job."""
        return self._workers[job]

    def processes(self) -> list[psutil.Process]:
        """Return the manager and all that it started."""
        manager = psutil.Process(self.process.pid)
        return [manager, *manager.children(recursive=True)]

    def hold(self) -> None:
        """Read nothing more from the manager."""
        with self._changed:
            self._selector.unregister(self.manager().connection)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Have the manager stand still: what it is told meanwhile, it hears all at once."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            eventually(lambda: is_stopped(self.process.pid), "its standstill")
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def release(self) -> None:
        """Read again."""
        peer = self.manager()
        with self._changed:
            self._selector.register(
                peer.connection, selectors.EVENT_READ, lambda: self._receive(peer)
            )
        self._wake.send(b"\0")

    def close(self) -> None:
        """End the manager and stop."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(DEADLINE)
            finally:
                self.process.kill()
                self.disconnect()
        self.disconnect()

    def disconnect(self) -> None:
        """Stop as an agent that dies does."""
        if self._closing:
            return
        self._closing = True
        self._wake.send(b"\0")
        self._thread.join()
        for peer in self._peers:
            peer.connection.close()
            for pipe in peer.pipes:
                os.close(pipe)
        self._listener.close()
        self._wake.close()
        self._woken.close()
        self._selector.close()
        (self.handoff / h.SOCKET).unlink()

    # -------------------------------------------------------------------------- plumbing

    def _pieces(self, job: str) -> list[tuple[str, bytes]]:
        return [
            (message.stream, payload)
            for message, payload in self.messages
            if isinstance(message, h.CellOutput) and message.job == job
        ]

    def _answer(self, job: str) -> tuple[Any, bytes] | None:
        found = ((m, data) for m, data in self.messages if isinstance(m, TERMINAL) and m.job == job)
        return next(found, None)

    def _described(self, parts: Sequence[p.Buffer]) -> tuple[h.Where, bytes, bytes]:
        described = values.describe(parts)
        if described.nbytes <= p.INLINE:
            return h.Where(described.sizes), described.digest, bytes(values.join(parts))
        name = write_segment(str(self.files), parts)
        return h.Where(described.sizes, name), described.digest, b""

    def _serve(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                with self._changed:
                    if key.fd in self._selector.get_map():  # an earlier one may have closed it
                        key.data()
                    self._changed.notify_all()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        peer = _Peer(connection)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._receive(peer))

    def _receive(self, peer: _Peer) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(peer.connection, 1 << 20, 2)
        except ConnectionError:
            data, descriptors = b"", []
        peer.pipes += descriptors
        if not data:
            self._forget(peer)
            return
        for message, payload in peer.decoder.feed(data):
            if isinstance(message, h.ManagerHello | h.WorkerHello):
                peer.pid = message.pid
                peer.manages = isinstance(message, h.ManagerHello)
                self._peers.append(peer)
                for stream, pipe in zip(("stdout", "stderr"), peer.pipes, strict=False):
                    os.set_blocking(pipe, False)
                    reader = functools.partial(self._read_pipe, peer, stream, pipe)
                    self._selector.register(pipe, selectors.EVENT_READ, reader)
            elif isinstance(message, TERMINAL) and not peer.manages:
                self._read_pipes(peer)
                peer.job = ""
            self.messages.append((message, payload))

    def _read_pipes(self, peer: _Peer) -> None:
        for stream, pipe in zip(("stdout", "stderr"), peer.pipes, strict=True):
            self._read_pipe(peer, stream, pipe)

    def _read_pipe(self, peer: _Peer, stream: str, pipe: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(pipe, 1 << 20):
                self.output[peer.job, stream] += data
            if pipe in self._selector.get_map():
                self._selector.unregister(pipe)

    def _forget(self, peer: _Peer) -> None:
        if not peer.manages and peer.pid:
            self._read_pipes(peer)
        self._selector.unregister(peer.connection)
        peer.connection.close()
        for pipe in peer.pipes:
            if pipe in self._selector.get_map():
                self._selector.unregister(pipe)
            os.close(pipe)
        peer.pipes = []
        if peer in self._peers:
            self._peers.remove(peer)


def gone(pid: int) -> bool:
    """Tell whether there is no such process, or only what is left for its parent to see."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def is_stopped(pid: int) -> bool:
    """Tell whether a process stands still, as SIGSTOP makes it a moment later."""
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def eventually(condition: Callable[[], bool], what: str = "it") -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
