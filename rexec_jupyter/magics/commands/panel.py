"""``%rexec panel``: sessions and jobs in one place, kept up to date."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.states import OPEN
from rexec_jupyter.widget.view import answer_at_once

if TYPE_CHECKING:
    from rexec_jupyter.magics.commands.desk import Desk
    from rexec_jupyter.magics.commands.state import Status

_PAUSE = 2.0


class Panel:
    """A widget with what runs, and a button that ends it; elsewhere the same as text.

    Parameters
    ----------
    desk
        The notebook.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._told = self._look()
        self._view: _View | None = None

    def __repr__(self) -> str:
        return repr(self._told)

    def json(self) -> str:
        """Return what it shows as JSON text."""
        return self._told.json()

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        bundle: dict[str, Any] = {
            "text/plain": repr(self._told),
            "text/html": self._told._repr_html_(),
        }
        if hasattr(self._desk.shell, "kernel"):
            self._view = self._view or _View(self)
            bundle |= self._view.box._repr_mimebundle_()
            bundle["text/plain"] = repr(self._told)
        return bundle

    def _look(self) -> Status:
        from rexec_jupyter.magics.commands.state import status  # noqa: PLC0415 - it imports this

        return status(self._desk)

    def look(self) -> Status:
        """Look again, and return how things stand."""
        self._told = self._look()
        return self._told

    def cancel(self, job: str, session: str) -> None:
        """End a job."""
        if (client := self._desk.connected()) is not None:
            with suppress(RexecError):
                client.cancel(job, session)


class _View:
    """The widget itself. Its thread ends with the widget, or with the kernel."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._jobs: dict[str, str] = {}
        self._html = widgets.HTML()
        self._choice = widgets.Dropdown(description="Job", disabled=True)
        self._cancel = widgets.Button(description="Cancel job", icon="stop", disabled=True)
        self._cancel.on_click(self._pressed)
        for control in (self._choice, self._cancel):
            answer_at_once(control)
        self.box = widgets.VBox([self._html, widgets.HBox([self._choice, self._cancel])])
        self._over = threading.Event()
        self._show(panel.look())
        threading.Thread(target=self._watch, name="rexec-panel", daemon=True).start()

    def _watch(self) -> None:
        while not self._over.wait(_PAUSE):
            if self.box.comm is None:
                return  # it was closed
            with suppress(RexecError):
                self._show(self._panel.look())

    def _show(self, told: Status) -> None:
        markup = told._repr_html_()
        if markup != self._html.value:
            self._html.value = markup
        still = {row["id"]: row["session"] for row in told.jobs if row["state"] in OPEN}
        if still != self._jobs:
            self._jobs = still
            chosen = self._choice.value
            self._choice.options = [
                (f"{row['id'][:8]} {row['name']}", row["id"]) for row in told.jobs
            ]
            # A list that changes must not have another job chosen than the one that is seen.
            self._choice.value = chosen if chosen in still else next(iter(still), None)
            self._choice.disabled = self._cancel.disabled = not still

    def _pressed(self, _button: object) -> None:
        job = self._choice.value
        if job in self._jobs:
            self._panel.cancel(job, self._jobs[job])
