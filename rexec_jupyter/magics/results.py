"""The result of a remote cell: the value as a value, shown the way it was shown there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from rexec_jupyter.core.happenings import Display

Formatted = tuple[dict[str, Any], dict[str, Any]]


class Showcase:
    """Makes IPython show one value the way it was shown in the session.

    Parameters
    ----------
    shell
        The notebook's shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._formatter = cast("Any", shell.display_formatter)
        self._expected: tuple[object, Display, int] | None = None
        self._format: Callable[..., Formatted] = self._formatter.format
        self._formatter.format = self._formatted

    def expect(self, value: object, display: Display) -> None:
        """Show `value`, the result of this notebook cell, as `display`."""
        self._expected = (value, display, self._shell.execution_count)

    def close(self) -> None:
        """Leave IPython as it was."""
        del self._formatter.format

    def _formatted(self, obj: object, *args: Any, **kwargs: Any) -> Formatted:
        if self._expected is not None:
            value, display, cell = self._expected
            if cell != self._shell.execution_count:
                self._expected = None
            elif value is obj:
                self._expected = None
                return display.data, display.metadata
        return self._format(obj, *args, **kwargs)
