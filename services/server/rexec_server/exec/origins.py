"""Which variables are what was sent, and which the session assigned or changed itself."""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Mapping
from typing import Any

from rexec_jupyter.capture.names import analyse
from rexec_jupyter.core import values
from rexec_jupyter.core.trust import payload_digest

_COMPARED = 1_000_000
"""Bytes that a value may take, for which two are compared to the last."""
_ABSENT = object()


class Origins:
    """Where the variables of one namespace come from.

    A name that was sent stops being so as soon as code that assigns it, or changes it in
    place, runs; or anything else gives it another value.
    """

    def __init__(self) -> None:
        # Not the values themselves: they could take much, and nobody else may want them.
        self._sent: dict[str, int] = {}

    def pushed(self, names: Mapping[str, Any]) -> None:
        """Note that variables were set to what was sent."""
        self._sent |= {name: id(value) for name, value in names.items()}

    def ran(
        self, source: str, namespace: Mapping[str, Any], transform: Callable[[str], str]
    ) -> None:
        """Note that code ran, whether or not it succeeded."""
        if not any(name in source for name in self._sent):
            return
        try:
            names = analyse(ast.parse(transform(source)), transform)
        except (SyntaxError, ValueError, RecursionError):  # then it did not run
            return
        modules = {name for name in names.changes if type(namespace.get(name)) is _MODULE}
        for name in names.stores | names.deletes | (names.changes - modules):
            self._sent.pop(name, None)

    def sent(self, namespace: Mapping[str, Any]) -> set[str]:
        """Return the names that still are what was sent."""
        self._sent = {
            name: identity
            for name, identity in self._sent.items()
            if id(namespace.get(name, _ABSENT)) == identity
        }
        return set(self._sent)

    def kept(
        self, wanted: Mapping[str, bytes], namespace: Mapping[str, Any], hidden: Mapping[str, Any]
    ) -> dict[str, bool]:
        """Tell which names the session has of its own, and whether their values differ.

        Parameters
        ----------
        wanted
            Names, with the digest of the value that another one may have for them.
        namespace
            All variables.
        hidden
            Those that are IPython's own while they have these values.
        """
        if not wanted:
            return {}
        sent = self.sent(namespace)
        return {
            name: _digest(namespace[name]) != digest
            for name, digest in wanted.items()
            if name in namespace
            and name not in sent
            and hidden.get(name, _ABSENT) is not namespace[name]
        }


_MODULE = types.ModuleType


def _digest(value: object) -> bytes:
    try:
        return payload_digest(values.dump(value, limit=_COMPARED))
    except (values.UnpicklableError, values.OversizeError):
        return b""
