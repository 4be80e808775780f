"""What sessions hold, as far as this notebook knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rexec_jupyter.capture.choice import Capture
    from rexec_jupyter.capture.names import CellNames
    from rexec_jupyter.capture.prints import Print
    from rexec_jupyter.core.happenings import NamesChanged


@dataclass(slots=True)
class Ledger:
    """What one session holds.

    Attributes
    ----------
    incarnation
        Interpreter of the session that it speaks of; None before the first cell ran.
    own
        Names that the session assigned, or changed, itself.
    sent
        Digest of what was last sent, by name.
    prints
        Prints of some of that.
    agreed
        Of the session's own names: digest of the value here when both were the same.
    told
        Of the session's own names: those of which it was said that they differ from here; and
        pairs of a function from here and such a name that it uses.
    cells
        Numbers here of the cells that ran there, in order.
    lost
        The interpreter ended and everything with it; said to the user once.
    """

    incarnation: int | None = None
    own: set[str] = field(default_factory=set)
    sent: dict[str, bytes] = field(default_factory=dict)
    prints: dict[str, Print] = field(default_factory=dict)
    agreed: dict[str, bytes] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    cells: list[int] = field(default_factory=list)
    lost: bool = False

    def submitted(self, names: CellNames, capture: Capture, cell: int) -> set[str]:
        """Note that a cell is on its way; cells of a session run in order.

        Returns
        -------
        set of str
            Names that were not the session's own before; for `withdrawn`.
        """
        self.pushed(capture)
        self.prints |= capture.prints
        assigned = names.stores | (names.changes - capture.modules)
        new = (assigned | capture.renamed) - self.own
        self.own |= assigned
        for name in assigned:
            self.agreed.pop(name, None)
        self.forget(names.deletes)
        # Unless the session says otherwise, see `heard`.
        self.agreed |= {
            name: digest for name, digest in capture.compared.items() if name in self.own
        }
        self.told |= set(capture.conflicts)
        self.told |= {f"{user} {name}" for user, used in capture.shadowed.items() for name in used}
        self.cells.append(cell)
        return new

    def withdrawn(self, new: set[str], capture: Capture, cell: int) -> None:
        """Note that a cell that was submitted did not run after all."""
        self.own -= new
        self.forget(capture.digests)
        for name in capture.compared:
            self.agreed.pop(name, None)
        if cell in self.cells:
            self.cells.remove(cell)

    def pushed(self, capture: Capture) -> None:
        """Note values that were sent from here."""
        digests = capture.digests
        self.forget(digests)
        self.own |= capture.renamed
        self.sent |= {name: digests[name] for name in digests.keys() - capture.renamed}

    def pulled(self, digests: dict[str, bytes]) -> None:
        """Note values of the session that are now here too, under the same names."""
        self.agreed |= {name: digest for name, digest in digests.items() if name in self.own}

    def heard(self, change: NamesChanged, capture: Capture | None = None) -> None:
        """Note what the session tells of its names at the end of a cell."""
        for name, info in change.names.items():
            if not info.sent:
                self.own.add(name)
                self.sent.pop(name, None)
        for name, differs in change.kept.items():
            self.own.add(name)
            self.sent.pop(name, None)
            if differs:
                self.told.add(name)
                self.agreed.pop(name, None)
            elif capture is not None:
                self.agreed[name] = capture.keep[name]

    def forget(self, names: Iterable[str]) -> None:
        """Note that the session lacks these names."""
        for name in names:
            self.own.discard(name)
            self.told.discard(name)
            self.sent.pop(name, None)
            self.prints.pop(name, None)
            self.agreed.pop(name, None)

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
        for held in (self.own, self.sent, self.prints, self.agreed, self.told, self.cells):
            held.clear()
