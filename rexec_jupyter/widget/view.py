"""The status line as a live widget with a stop button of its own, where one can load.

The notebook shows the same line as HTML where the widget cannot be shown, and in its place
when the cell has ended: what is saved needs no widget to be read.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_path

from rexec_jupyter.widget.status import Line, Notebook

_MIME = "application/vnd.jupyter.widget-view+json"
_EXTENSION = Path("@jupyter-widgets", "jupyterlab-manager")
# Looks, a second apart, after which a frontend that did not answer cannot show the widget.
_LOOKS = 2


def installed() -> bool:
    """Tell whether the kernel's side of widgets is there."""
    return importlib.util.find_spec("ipywidgets") is not None


def can_load(kernel: Any) -> bool:
    """Tell whether a frontend very likely shows widgets, and their buttons work meanwhile.

    Parameters
    ----------
    kernel
        The kernel of the notebook.
    """
    return (
        "JPY_SESSION_NAME" in os.environ  # a Jupyter server started the kernel for a document
        and _subshells(kernel) is not None
        and installed()
        and any(Path(place, _EXTENSION).is_dir() for place in jupyter_path("labextensions"))
    )


def _subshells(kernel: Any) -> list[str] | None:
    """Return the kernel's extra shells; None if it can have none."""
    if not getattr(kernel, "_supports_kernel_subshells", False):
        return None
    thread = getattr(kernel, "shell_channel_thread", None)
    return None if thread is None else list(thread.manager.list_subshell())


def answer_at_once(control: Any) -> None:
    """Have what is done to a widget handled while a cell runs, where the kernel can.

    Parameters
    ----------
    control
        An ipywidgets widget that people click or change.
    """
    comm = control.comm
    if hasattr(comm, "_reply_subshell_for"):
        # ipykernel 7.4 would have the main thread, which waits for the cell, handle it.
        comm._reply_subshell_for = lambda _data, default: default  # noqa: SLF001 - no other way


def _stay_busy(kernel: Any) -> None:
    """Have JupyterLab show a kernel as busy that waits for a cell.

    It takes the end of any request for the end of all, such as of those that widgets make.
    """
    publish = getattr(kernel, "_publish_status", None)
    if publish is not None and threading.current_thread() is threading.main_thread():
        publish("busy", "shell")


class View:
    """Shows the line as a widget, and as HTML if nobody takes the widget up.

    Parameters
    ----------
    page
        Shows the line as HTML.
    kernel
        The kernel of the notebook.
    on_stop
        Called, on any thread, when the button is pressed.
    patient
        Keep the widget even where its button does not work.
    """

    def __init__(
        self, page: Notebook, kernel: Any, on_stop: Callable[[], Any], *, patient: bool = False
    ) -> None:
        self._page = page
        self._kernel = kernel
        self._on_stop = on_stop
        self._patient = patient
        self._looks = 0
        self._widgets: _Widgets | None = None
        self._failed = False

    def show(self, line: Line) -> None:
        """Show the line in place of the one before."""
        if self._failed:
            self._page.show(line)
            return
        if self._widgets is None:
            self._widgets = _Widgets(self._on_stop)
        # JupyterLab opens a shell for the messages of widgets as soon as it sees one; without,
        # a press of the button would wait for the end of the cell.
        works = bool(_subshells(self._kernel))
        self._widgets.show(line, button=works)
        if self._looks == 0 or not self._page.there:
            self._page.put({_MIME: self._widgets.model, **self._page.bundle(line)})
        elif not (works or self._patient) and self._looks >= _LOOKS:
            self._failed = True
            self._page.show(line)
            self._widgets.close()
        self._looks += 1
        _stay_busy(self._kernel)

    def aside(self) -> None:
        """Keep the place above the output that is about to be written."""
        self._page.aside()

    def cleared(self) -> None:
        """Show the line anew next time."""
        self._page.cleared()

    def settle(self, line: Line) -> None:
        """Show the last line as HTML, which stays, and end the widget."""
        self._page.show(line)
        if self._widgets is not None:
            self._widgets.close()


class _Widgets:
    """The widgets of one line."""

    def __init__(self, on_stop: Callable[[], Any]) -> None:
        import ipywidgets  # noqa: PLC0415 - starts slowly, and quick cells do without

        self._line = ipywidgets.HTML(layout=ipywidgets.Layout(margin="0"))
        self._button = ipywidgets.Button(
            icon="stop",
            tooltip="Stop the remote code, as the notebook's stop button does",
            layout=ipywidgets.Layout(width="auto", height="24px", margin="0 2px", display="none"),
        )
        self._button.on_click(lambda _: on_stop())
        answer_at_once(self._button)
        self._box = ipywidgets.HBox(
            [self._line, self._button], layout=ipywidgets.Layout(align_items="center")
        )

    @property
    def model(self) -> dict[str, Any]:
        """What a notebook shows the widgets by."""
        return {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}

    def show(self, line: Line, *, button: bool) -> None:
        """Show another line; with a button that works, and so without a hint how to stop."""
        self._line.value = line.markup(hint=not button)
        self._button.layout.display = "" if button and line.stop else "none"
        self._button.description = line.stop

    def close(self) -> None:
        """End the widgets, here and in the frontend."""
        for widget in (self._box, self._line, self._button):
            for part in (widget.layout, getattr(widget, "style", None), widget):
                if part is not None:
                    part.close()
