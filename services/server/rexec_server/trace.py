"""What exec leaves in the handoff directory for the case that nobody of it is left to speak.

The system may end all of it at once for lack of memory. Whoever finds it gone reads there how
much it took when it last looked.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

_NAME = "exec.memory"
_CONTENT = struct.Struct("<QQ")
_STOPPED = 2**64 - 1
_FULL = 0.8
"""Part of the limit from which on the end came for lack of memory, as far as anybody can tell."""

_EXEC = "The process that runs the user's code (exec)"
GONE = f"{_EXEC} ended. It may have run out of memory."
"""What is told where nothing more is known."""


class Trace:
    """Written by exec: what it takes, and whether it ends on purpose."""

    def __init__(self, handoff: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(handoff / _NAME, flags, 0o600)
        self.note(0, 0)

    def note(self, taken: int, limit: int) -> None:
        """Note the bytes that are taken, and how many may be; 0 if there is no limit."""
        with suppress(OSError):  # the disk may be full: then they are not known
            os.pwrite(self._file, _CONTENT.pack(taken, limit), 0)

    def stopping(self) -> None:
        """Note that it ends because it was told to."""
        self.note(_STOPPED, 0)


def why_gone(handoff: Path) -> tuple[str, bool]:
    """Tell why exec is gone, and whether that was for lack of memory.

    Parameters
    ----------
    handoff
        The handoff directory. What is there is believed no more than exec itself.
    """
    try:
        taken, limit = _CONTENT.unpack((handoff / _NAME).read_bytes()[: _CONTENT.size])
    except (OSError, struct.error):
        taken = limit = 0
    if taken == _STOPPED:
        return f"{_EXEC} was stopped.", False
    if not 0 < taken <= _STOPPED // 2 or not limit:
        return GONE, False
    told = f"just before, all processes together took {readable(taken)} of {readable(limit)}"
    if taken >= _FULL * limit:
        return f"{_EXEC} ended, most likely because it ran out of memory: {told}.", True
    return f"{_EXEC} ended. If it ran out of memory, it did so at once: {told}.", False


def readable(nbytes: int) -> str:
    """Write a number of bytes as people do."""
    return f"{nbytes / 2**30:.1f} GiB" if nbytes >= 2**30 else f"{nbytes / 2**20:.0f} MiB"
