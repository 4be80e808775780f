"""Decides where the status line of a cell is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.displaypub import CapturingDisplayPublisher

from rexec_jupyter.widget import status as st
from rexec_jupyter.widget import view

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def choose(
    shell: InteractiveShell,
    wanted: str = "auto",
    *,
    noninteractive: bool = False,
    quiet: bool = False,
    on_stop: Callable[[], Any] | None = None,
) -> st.Surface:
    """Return where to show the line.

    Parameters
    ----------
    shell
        The notebook's shell.
    wanted
        The setting ``status``: ``widget``, ``html``, ``text``, ``none``, or ``auto`` for the
        best that surely works.
    noninteractive
        Nobody watches: what a cell shows must be the same each time.
    quiet
        Show nothing.
    on_stop
        Called, on any thread, when somebody presses the widget's stop button.
    """
    publisher = shell.display_pub
    if quiet or noninteractive or wanted == "none":
        return st.Nowhere()
    if isinstance(publisher, CapturingDisplayPublisher):  # `%%capture` is to get the output alone
        return st.Nowhere()
    if not hasattr(shell, "kernel"):
        return st.Terminal() if st.is_terminal() else st.Nowhere()
    page = st.Notebook(publisher.publish, html=wanted != "text")
    if on_stop is None or wanted in ("html", "text"):
        return page
    kernel = shell.kernel
    if view.can_load(kernel) if wanted == "auto" else view.installed():
        return view.View(page, kernel, on_stop, patient=wanted == "widget")
    return page
