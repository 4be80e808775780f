"""``python -m rexec_jupyter.local``: the supervisor, as `LocalBackend` starts it."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
from pathlib import Path

from rexec_jupyter.local.paths import Paths
from rexec_jupyter.local.settings import Settings
from rexec_jupyter.local.supervisor import Supervisor


def main() -> None:
    """Run the supervisor, detached from whoever started it."""
    parser = argparse.ArgumentParser(
        prog="rexec_jupyter.local",
        description="Supervisor of the embedded backend. rexec_jupyter.connect() starts it.",
    )
    parser.add_argument("--root", type=Path, required=True, help="private runtime directory")
    parser.add_argument("--lock-fd", type=int, required=True, help="holds the directory's lock")
    parser.add_argument("--listen-fd", type=int, required=True, help="listening Unix socket")
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--memory", type=int, required=True)
    parser.add_argument("--directory", required=True)
    parser.add_argument("--linger", type=float, required=True)
    parser.add_argument("--orphan-limit", type=float, required=True)
    options = vars(parser.parse_args())
    if os.fork():
        os._exit(0)  # whoever started this has waited for it, and is not our parent any more
    root, lock, listen = (options.pop(name) for name in ("root", "lock_fd", "listen_fd"))
    for descriptor in (lock, listen):
        os.set_inheritable(descriptor, False)  # noqa: FBT003
    # The lock is held by being open until this process ends.
    asyncio.run(_run(Paths(root), socket.socket(fileno=listen), Settings(**options)))


async def _run(paths: Paths, listener: socket.socket, settings: Settings) -> None:
    await Supervisor(paths, listener, settings).run()


if __name__ == "__main__":
    main()
