"""Which local values go along with a cell.

A session holds what cells assigned there and what was sent to it. A name that a cell reads goes
along if the session lacks it, or if its local value changed since it was last sent;
what a cell assigned there stays the session's own, and only ``-i`` replaces it.

Whether a value changed is decided by the digest of its pickle, which sees through mutable
containers and through the globals that a function uses. Values that pickle differently every
time are sent again: at worst too much is sent, but nothing stale is ever used.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rexec_jupyter.core import values
from rexec_jupyter.core.errors import CaptureError
from rexec_jupyter.core.trust import payload_digest
from rexec_jupyter.magics.names import CellNames

# In and Out under all their names: _, __, _i, _ii, _5, _i5, _ih, _oh, _dh and the like.
_HISTORY = re.compile(r"_+|_i+|_i?\d+|_[iod]h|_exit_code|In|Out|__\w+__", re.ASCII)


@dataclass(slots=True)
class Ledger:
    """What a session holds, as far as this notebook knows.

    Attributes
    ----------
    incarnation
        Interpreter of the session that it speaks of; None before the first cell ran.
    own
        Names that cells assigned there.
    sent
        Digest of what was last sent, by name.
    cells
        Numbers here of the cells that ran there, in order.
    lost
        The interpreter ended and everything with it; said to the user once.
    """

    incarnation: int | None = None
    own: set[str] = field(default_factory=set)
    sent: dict[str, bytes] = field(default_factory=dict)
    cells: list[int] = field(default_factory=list)
    lost: bool = False

    def submitted(self, names: CellNames, capture: Capture, cell: int) -> set[str]:
        """Note that a cell is on its way; cells of a session run in order.

        Returns
        -------
        set of str
            Names that were not the session's own before; for `withdrawn`.
        """
        self.sent |= capture.digests
        self.own -= capture.digests.keys()
        new = names.stores - self.own
        self.own |= names.stores
        self.forget(names.deletes)
        self.cells.append(cell)
        return new

    def withdrawn(self, new: set[str], capture: Capture, cell: int) -> None:
        """Note that a cell that was submitted did not run after all."""
        self.own -= new
        self.forget(capture.digests)
        if cell in self.cells:
            self.cells.remove(cell)

    def forget(self, names: Iterable[str]) -> None:
        """Note that the session lacks these names."""
        for name in names:
            self.own.discard(name)
            self.sent.pop(name, None)

    def started(self, incarnation: int, names: CellNames, capture: Capture, cell: int) -> bool:
        """Note in which interpreter a cell ran; return whether the one before it was lost."""
        former, self.incarnation = self.incarnation, incarnation
        if former in (None, incarnation):
            return False
        self._clear()
        self.submitted(names, capture, cell)
        return True

    def wipe(self) -> None:
        """Note that the session's interpreter ended."""
        self.lost = bool(self.own or self.sent)
        self.incarnation = None
        self._clear()

    def _clear(self) -> None:
        self.own.clear()
        self.sent.clear()
        self.cells.clear()


@dataclass(frozen=True, slots=True)
class Capture:
    """What goes along with a cell.

    Attributes
    ----------
    values
        Pickled values by the name they get there.
    digests
        What they were recognised by.
    modules
        Those of them that are imports.
    """

    values: dict[str, values.Pickled]
    digests: dict[str, bytes]
    modules: frozenset[str]

    @property
    def names(self) -> list[str]:
        """Names that go along, without modules."""
        return [name for name in self.values if name not in self.modules]

    @property
    def nbytes(self) -> int:
        """Size of their pickled values in bytes."""
        return sum(len(part) for name in self.names for part in self.values[name].parts)


def choose(
    names: CellNames,
    namespace: Mapping[str, Any],
    hidden: Mapping[str, Any],
    ledger: Ledger,
    forced: Mapping[str, str],
) -> Capture:
    """Choose and pickle what goes along with a cell.

    Parameters
    ----------
    names
        What the cell does with names.
    namespace, hidden
        The notebook's variables, and those of them that are IPython's.
    ledger
        What the session holds.
    forced
        Local names to send in any case, by their remote name.

    Raises
    ------
    CaptureError
        If a value that is needed cannot be pickled. Tells all of these.
    NameError
        If a forced name does not exist here.
    """
    chosen: dict[str, values.Pickled] = {}
    digests: dict[str, bytes] = {}
    troubles: list[values.UnpicklableError] = []
    wanted = {name: name for name in (*names.needs, *names.maybe)} | dict(forced)
    for remote, local in wanted.items():
        if remote not in forced and not _eligible(local, namespace, hidden, ledger):
            continue
        if local not in namespace:
            raise NameError(f"name {local!r} is not defined here, so it cannot be sent", name=local)
        try:
            pickled = values.Pickled(values.dump(namespace[local], local))
        except values.UnpicklableError as trouble:
            if remote in names.needs or remote in forced:
                troubles.append(trouble)
            continue
        digest = payload_digest(pickled.parts)
        if remote in forced or ledger.sent.get(remote) != digest:
            chosen[remote] = pickled
            digests[remote] = digest
    if troubles:
        raise _refusal(troubles, namespace)
    modules = (name for name in chosen if isinstance(namespace[wanted[name]], types.ModuleType))
    return Capture(chosen, digests, frozenset(modules))


def _eligible(
    name: str, namespace: Mapping[str, Any], hidden: Mapping[str, Any], ledger: Ledger
) -> bool:
    if name not in namespace or name in ledger.own or _HISTORY.fullmatch(name):
        return False
    return name not in hidden or hidden[name] is not namespace[name]


def _refusal(troubles: list[values.UnpicklableError], namespace: Mapping[str, Any]) -> CaptureError:
    told = "; ".join(
        f"{t.name} ({t.kind}): {_culprit(namespace[t.name], namespace) or t.reason}"
        for t in troubles
    )
    several = "these values" if len(troubles) > 1 else "a value"
    return CaptureError(
        f"The cell needs {several} that cannot be sent, so nothing was run. {told}.",
        hint=_advice(troubles),
    )


def _culprit(value: object, namespace: Mapping[str, Any]) -> str:
    """Name the global that makes a function impossible to send."""
    if not isinstance(value, types.FunctionType):
        return ""
    for name in value.__code__.co_names:
        if name in namespace and value.__globals__ is namespace:
            try:
                values.dump(namespace[name], name)
            except values.UnpicklableError as trouble:
                return f"it uses {trouble.name} ({trouble.kind}): {trouble.reason}"
    return ""


def _advice(troubles: list[values.UnpicklableError]) -> str:
    match [t.kind for t in troubles]:
        case ["generator"]:
            return "Make it a list first: list(...)."
        case [kind] if kind.startswith("_io."):
            return "Open the file within the cell, or read it here and send what it contains."
        case [_]:
            return "Create it in a %%rexec cell, so that it lives in the session."
        case _:
            return "Create them in a %%rexec cell, so that they live in the session."
