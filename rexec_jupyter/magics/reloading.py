"""Remote widgets after the notebook's page was loaded anew.

The page then asks for the states of all widgets at once, of which ipywidgets knows the local
ones alone; or, where that is refused, each widget for its own. Those of remote code answer from
what was said of them so far, even while their session is busy or has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import comm

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_CONTROL = "jupyter.widget.control"

_Path = tuple[str | int, ...]


class State:
    """The state of one widget, put together from what both ends said."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._buffers: dict[_Path, bytes] = {}

    def heed(self, data: Any, buffers: Sequence[bytes] = ()) -> None:
        """Take what changes the state from the data of a message."""
        state = data.get("state") if isinstance(data, dict) else None
        if not isinstance(state, dict):
            return
        paths: list[_Path] = [tuple(path) for path in data.get("buffer_paths") or ()]
        changed = {*state, *(path[0] for path in paths)}
        # A value that is but a buffer stands in the paths alone.
        kept = {key: value for key, value in self._values.items() if key not in changed}
        self._values = kept | state
        held = {path: held for path, held in self._buffers.items() if path[0] not in changed}
        self._buffers = held | dict(zip(paths, map(bytes, buffers), strict=False))

    def told(self) -> tuple[dict[str, Any], list[bytes]]:
        """Return data and buffers of the message that tells all of it."""
        paths = [list(path) for path in self._buffers]
        data = {"method": "update", "state": self._values, "buffer_paths": paths}
        return data, list(self._buffers.values())


class Control:
    """Has the page ask each widget by itself, as long as there are remote ones.

    Parameters
    ----------
    shell
        The notebook's shell.
    wanted
        Tells whether there are remote ones.
    """

    def __init__(self, shell: InteractiveShell, wanted: Callable[[], bool]) -> None:
        self._shell: Any = shell
        self._wanted = wanted
        self._targets: dict[str, Any] = comm.get_comm_manager().targets
        self._target = self._opened
        self._others: Any = None
        self._watches = False

    def install(self) -> None:
        """Answer in place of ipywidgets, also if that is imported later."""
        if not self._watches:
            self._watches = True
            self._shell.events.register("post_run_cell", self._again)
        self._again()

    def close(self) -> None:
        """Leave all as it was."""
        if not self._watches:
            return
        self._watches = False
        self._shell.events.unregister("post_run_cell", self._again)
        if self._targets.get(_CONTROL) is self._target:
            del self._targets[_CONTROL]
            if self._others is not None:
                self._targets[_CONTROL] = self._others

    def _again(self, _result: Any = None) -> None:
        if (there := self._targets.get(_CONTROL)) is not self._target:
            self._others = there
            self._targets[_CONTROL] = self._target

    def _opened(self, channel: Any, message: Any) -> None:
        if self._others is None or self._wanted():
            channel.close()  # to the page this is an old ipywidgets, which cannot tell all at once
        else:
            self._others(channel, message)
