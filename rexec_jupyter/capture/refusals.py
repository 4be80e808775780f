"""Why a cell was not sent: one table, with what to do about each name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rexec_jupyter.core.errors import CaptureError
from rexec_jupyter.core.quantities import written_size
from rexec_jupyter.widget.status import size
from rexec_jupyter.widget.table import Column, Table

_COLUMNS = (
    Column("name", "name"),
    Column("type", "type"),
    Column("size", "size", right=True),
    Column("reason", "reason", wide=True),
    Column("remedy", "what to do", wide=True),
)
_MOST = 20

Spelling = Callable[[str, str], str]
"""Returns what to write for an option, by its name, and its value."""


def as_option(name: str, value: str) -> str:
    """Spell an option as in a notebook, such as ``-x data``."""
    return f"{_OPTIONS[name]} {value}"


def as_setting(name: str, value: str) -> str:
    """Spell an option as a setting, such as ``%rexec config max_send 1GB``; "" for a name."""
    return f"%rexec config {name} {value}" if name == "max_send" else ""


def as_keyword(name: str, value: str) -> str:
    """Spell an option as in Python, such as ``exclude="data"``."""
    return f'{name}="{value}"'


_OPTIONS = {"in_": "-i", "exclude": "-x", "max_send": "--max-send"}


@dataclass(frozen=True, slots=True)
class Refused:
    """One name that stays here.

    Attributes
    ----------
    kind
        Its type.
    nbytes
        What it takes.
    at_least
        It takes more than that.
    reason
        Why it cannot be pickled; empty if it is merely large.
    """

    name: str
    kind: str
    nbytes: int = 0
    at_least: bool = False
    reason: str = ""

    def row(self, limit: int, spell: Spelling) -> dict[str, str]:
        """Return its row of the table."""
        told = f"> {size(self.nbytes)}" if self.at_least else size(self.nbytes)
        large = self.at_least or self.nbytes > limit
        return {
            "name": self.name,
            "type": self.kind,
            "size": "" if self.reason else told,
            "reason": self.reason or ("larger than the limit" if large else ""),
            "remedy": self._remedy(spell, large=large),
        }

    def _remedy(self, spell: Spelling, *, large: bool) -> str:
        without = spell("exclude", self.name)
        without = f"or leave it out: {without}" if without else "or leave it out"
        if not self.reason:
            return f"load it in the session, {without}" if large else ""
        if self.kind in ("generator", "async_generator"):
            return f"make it a list first: list({self.name})"
        if self.kind.startswith("_io."):
            return "open the file in the cell, or send what it contains"
        return f"create it in the session; {without}"


def refusal(refused: Sequence[Refused], limit: int, spell: Spelling = as_option) -> CaptureError:
    """Make the error that tells which names cannot be sent, and why.

    Parameters
    ----------
    refused
        The names; of too many only the largest are shown.
    limit
        Bytes that may be sent.
    spell
        Spells options.
    """
    total = sum(item.nbytes for item in refused)
    over = total > limit or any(item.at_least for item in refused)
    broken = any(item.reason for item in refused)
    several = len(refused) > 1
    if broken and over:
        text = "The cell needs values that cannot be sent"
    elif over:
        more = "more than " if any(item.at_least for item in refused) else ""
        text = f"The cell needs {more}{size(total)} from here, and {size(limit)} may be sent"
    else:
        text = f"The cell needs {'values' if several else 'a value'} that cannot be sent"
    hint = f"Or allow more: {spell('max_send', _enough(total))}." if over and not broken else ""
    ordered = sorted(refused, key=lambda item: (not item.reason, -item.nbytes))
    rows = [item.row(limit, spell) for item in ordered[:_MOST]]
    left = len(ordered) - len(rows)
    table = Table(rows, _COLUMNS, note=f"… and {left} more" if left else "")
    indented = "\n".join(f"  {line}" for line in str(table).splitlines())
    return CaptureError(f"{text}, so nothing was run.\n\n{indented}\n\n".rstrip(" "), hint=hint)


def doubtful(
    conflicts: Sequence[str],
    unresolved: Sequence[str],
    shadowed: Mapping[str, Sequence[str]],
    spell: Spelling = as_option,
) -> CaptureError:
    """Make the error of ``--capture strict``; the arguments as in `capture.Capture`."""
    told = [shadowing(user, used) + "." for user, used in shadowed.items()]
    if conflicts:
        names = ", ".join(conflicts)
        told.append(
            f"The session has a value of its own for {names}, and there is another one here."
        )
    if unresolved:
        names = ", ".join(unresolved)
        told.append(f"Nobody knows {names}, neither here nor in the session.")
    meant = ",".join(conflicts)
    which = f"{spell('in_', meant)} or {spell('exclude', meant)}"
    return CaptureError(
        f"{' '.join(told)} As capture is strict, nothing was run.",
        hint=f"Say which one is meant: {which}." if conflicts else "",
    )


def shadowing(user: str, used: Sequence[str]) -> str:
    """Return what to say of a function that brings along variables from here."""
    return f"{user} comes from here, with {', '.join(used)} from here, not the session's own"


def conflicting(names: Sequence[str]) -> str:
    """Return what to say of names that the session has of its own, with other values."""
    told = ",".join(names)
    return f"{told}: the session's own is used, -i {told} sends the one here"


def _enough(nbytes: int) -> str:
    """Return a round size that is enough."""
    unit: int = 10 ** max(len(str(nbytes)) - 2, 0)
    return written_size(-(-nbytes // unit) * unit)
