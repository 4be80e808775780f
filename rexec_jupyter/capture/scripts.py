"""What goes along with code that a script gives as text."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

from rexec_jupyter.capture.choice import EVERYWHERE, Capture, Notebook, Wish, choose
from rexec_jupyter.capture.ledger import Ledger
from rexec_jupyter.capture.names import CellNames, analyse
from rexec_jupyter.capture.refusals import as_keyword
from rexec_jupyter.core.defaults import Capture as Mode
from rexec_jupyter.core.happenings import NameInfo, NamesChanged


def read(code: str) -> CellNames:
    """Return what code does with names; code that cannot be understood here does nothing.

    Raises
    ------
    SyntaxError
        If it is no Python, and not what IPython makes Python of either.
    """
    try:
        return analyse(ast.parse(code, "<rexec>"), _transformed)
    except SyntaxError as error:
        try:
            transformed = _transformed(code)
        except SyntaxError:
            raise error from None
    return analyse(ast.parse(transformed, "<rexec>"), _transformed)


def _transformed(code: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager  # noqa: PLC0415 - takes long

    transformed: str = TransformerManager().transform_cell(code)
    return transformed


class Gathering:
    """Chooses what goes along with one piece of code.

    Parameters
    ----------
    code
        Its text.
    scope
        The variables where it is given.
    given
        Values that go along in any case.
    exclude
        Names that do not.
    mode
        As the option ``--capture`` of a cell.
    max_send
        Bytes that may go along; 0 for no limit.

    Raises
    ------
    SyntaxError
        As `read`.
    """

    def __init__(
        self,
        code: str,
        scope: Mapping[str, Any],
        given: Mapping[str, Any],
        exclude: Iterable[str],
        mode: Mode,
        max_send: int,
    ) -> None:
        self.names = read(code) if mode != "none" else CellNames()
        self.variables = {**scope, **given}
        self.strict = mode == "strict"
        self._hidden = {name: scope[name] for name in EVERYWHERE if name in scope}
        self._ledger = Ledger()
        self._known: dict[str, NameInfo] = {}
        forced = {name: name for name in given}
        self._wish = Wish(forced, frozenset(exclude), mode, max_send, self._known, as_keyword)

    def heard(self, change: NamesChanged) -> None:
        """Note which names the session has."""
        self._known |= change.names
        self._ledger.heard(change)

    def choose(self) -> Capture:
        """Choose and pickle; raises what `choice.choose` raises."""
        notebook = Notebook(self.variables, self._hidden)
        return choose(self.names, notebook, self._ledger, self._wish)
