"""Which local values go along with a cell.

A session holds what cells assigned there and what was sent to it. A name that a cell reads goes
along if the session lacks it, or if its local value changed since it was last sent;
what a cell assigned there stays the session's own, and only ``-i`` replaces it. What is known
here of that may be out of date, or nothing in a notebook that was restarted: so the session
itself has the last word, by `Capture.keep`.

Whether a value changed is decided by the digest of its pickle, or by its `Print`; both see
through mutable containers and through the globals that a function uses. Values that pickle
differently every time are sent again: at worst too much is sent, but nothing stale is ever used.
"""

from __future__ import annotations

import builtins
import re
import types
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from rexec_jupyter.capture.ledger import Ledger
from rexec_jupyter.capture.names import CellNames
from rexec_jupyter.capture.prints import Print, print_of
from rexec_jupyter.capture.reach import reach
from rexec_jupyter.capture.refusals import Refused, Spelling, as_option, doubtful, refusal
from rexec_jupyter.capture.sizes import estimate
from rexec_jupyter.core import values
from rexec_jupyter.core.defaults import Capture as Mode
from rexec_jupyter.core.happenings import NameInfo
from rexec_jupyter.core.trust import payload_digest

# In and Out under all their names: _, __, _i, _ii, _5, _i5, _ih, _oh, _dh and the like.
_HISTORY = re.compile(r"_+|_i+|_i?\d+|_[iod]h|_exit_code|In|Out|__\w+__", re.ASCII)
# Types of which a listing of names tells the value.
_TOLD = (bool, int, float, complex, type(None))
_PERHAPS = "perhaps"
_WORTH_A_PRINT = 100_000  # bytes
_COMPARED = 1_000_000  # bytes: what is larger is not pickled only to see whether it differs
# What IPython itself puts there and here.
EVERYWHERE = frozenset(("get_ipython", "display", "exit", "quit", "open"))


@dataclass(frozen=True, slots=True)
class Notebook:
    """The variables of a notebook.

    Attributes
    ----------
    namespace
        All of them.
    hidden
        Those that IPython put there.
    """

    namespace: Mapping[str, Any]
    hidden: Mapping[str, Any] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Tell whether there is a variable of the user's."""
        if name not in self.namespace or _HISTORY.fullmatch(name):
            return False
        return name not in self.hidden or self.hidden[name] is not self.namespace[name]

    def has_module(self, name: str) -> bool:
        """Tell whether it is a module."""
        return _is_module(self.namespace.get(name))


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for.

    Attributes
    ----------
    forced
        Local names to send in any case, by their remote name.
    exclude
        Names never to send.
    mode
        As the option ``--capture``.
    max_send
        Bytes that may go along; 0 for no limit.
    known
        What is known of the names that the session has.
    spell
        Spells options in errors.
    """

    forced: Mapping[str, str] = field(default_factory=dict)
    exclude: Container[str] = frozenset()
    mode: Mode = "auto"
    max_send: int = 100_000_000
    known: Mapping[str, NameInfo] = field(default_factory=dict)
    spell: Spelling = as_option


@dataclass(frozen=True, slots=True)
class Item:
    """One name that goes along.

    Attributes
    ----------
    value
        Its value, pickled.
    digest
        What it is recognised by.
    kind
        Its type.
    why
        Why it goes along.
    imported
        It is a module, and goes as an import.
    forced
        It replaces what the session has of its own.
    package
        Where it, or its type, is from; empty for what is built in.
    """

    value: values.Pickled
    digest: bytes
    kind: str
    why: str
    imported: bool
    forced: bool = False
    package: str = ""

    @property
    def nbytes(self) -> int:
        """Size of the pickled value in bytes."""
        return sum(map(len, self.value.parts))


@dataclass(frozen=True, slots=True)
class Capture:
    """What goes along with a cell, and what does not.

    Attributes
    ----------
    items
        What goes along, by the name it gets there.
    held
        Names that the session has from here already, unchanged.
    own
        Names that it has of its own.
    conflicts
        Of these, names that have another value here, of which that was not said yet.
    compared
        Of these, names that may have another value here: the digest of that.
    unresolved
        Names that are not known here nor there.
    shadowed
        Functions and classes that come from here and use a variable that is here, where the
        session has its own of that name, of which that was not said yet.
    prints
        Of what goes along, or went: a quick way to recognise it.
    renamed
        Names that go along with the value of another name: a variable of that name here, if
        there is one, has nothing to do with it.
    """

    items: dict[str, Item]
    held: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    compared: dict[str, bytes] = field(default_factory=dict)
    unresolved: list[str] = field(default_factory=list)
    shadowed: dict[str, list[str]] = field(default_factory=dict)
    prints: dict[str, Print] = field(default_factory=dict)
    renamed: set[str] = field(default_factory=set)

    @property
    def pickled(self) -> dict[str, values.Pickled]:
        """Pickled values by name."""
        return {name: item.value for name, item in self.items.items()}

    def copied(self) -> dict[str, values.Pickled]:
        """Return pickled values by name that share no memory with the notebook's."""
        return {
            name: values.Pickled([bytes(part) for part in item.value.parts])
            for name, item in self.items.items()
        }

    @property
    def digests(self) -> dict[str, bytes]:
        """Digests by name."""
        return {name: item.digest for name, item in self.items.items()}

    @property
    def keep(self) -> dict[str, bytes]:
        """Digests by name where a value that the session has of its own is to stay."""
        items = self.items.items()
        return {name: item.digest for name, item in items if not item.forced} | self.compared

    @property
    def modules(self) -> set[str]:
        """Names that go along as imports."""
        return {name for name, item in self.items.items() if item.imported}

    @property
    def names(self) -> list[str]:
        """Names that go along as values."""
        return [name for name, item in self.items.items() if not item.imported]

    @property
    def nbytes(self) -> int:
        """Size of these in bytes."""
        return sum(self.items[name].nbytes for name in self.names)


def choose(
    names: CellNames, notebook: Notebook, ledger: Ledger, wish: Wish | None = None
) -> Capture:
    """Choose and pickle what goes along with a cell.

    Parameters
    ----------
    names
        What the cell does with names.
    notebook
        The variables here.
    ledger
        What the session holds.
    wish
        What is asked for.

    Raises
    ------
    CaptureError
        If a value that is needed cannot be sent, or all together take too much; with ``strict``
        also if a name is doubtful. Tells all of these.
    NameError
        If a forced name does not exist here.
    """
    chooser = _Chooser(names, notebook, ledger, wish or Wish())
    return chooser.choose()


def digest_of(value: object) -> bytes:
    """Return what a value is recognised by.

    Raises
    ------
    values.UnpicklableError
        If it cannot be pickled.
    """
    return payload_digest(values.dump(value))


class _Chooser:
    def __init__(self, names: CellNames, notebook: Notebook, ledger: Ledger, wish: Wish) -> None:
        self._names = names
        self._notebook = notebook
        self._ledger = ledger
        self._wish = wish
        self._capture = Capture({})
        self._refused: list[Refused] = []
        self._room: float = wish.max_send or float("inf")

    def choose(self) -> Capture:
        wanted = self._wanted()
        self._check_sizes(wanted)
        for remote, local in wanted.items():
            self._take(remote, local)
        if self._refused or self._room < 0:
            self._refuse()
        self._sort_out()
        if self._wish.mode == "strict":
            self._check_doubts()
        return self._capture

    def _wanted(self) -> dict[str, str]:
        """Return local names that may have to go along, by their remote names."""
        notebook, ledger, wish = self._notebook, self._ledger, self._wish
        read = () if wish.mode == "none" else (*self._names.needs, *self._names.maybe)
        wanted = {
            name: name
            for name in read
            if name not in ledger.own and name not in wish.exclude and notebook.has(name)
        }
        for local in wish.forced.values():
            if local not in notebook.namespace:
                raise NameError(
                    f"name {local!r} is not defined here, so it cannot be sent", name=local
                )
        return wanted | dict(wish.forced)

    def _check_sizes(self, wanted: Mapping[str, str]) -> None:
        """Refuse what is too large by far before any of it is pickled."""
        sizes = {
            local: estimate(self._notebook.namespace[local])
            for remote, local in wanted.items()
            if remote in self._wish.forced or remote not in self._ledger.sent
        }
        if sum(sizes.values()) <= self._room:
            return
        namespace = self._notebook.namespace
        told = [
            Refused(local, values.type_name(namespace[local]), nbytes)
            for local, nbytes in sizes.items()
        ]
        raise refusal(told, self._wish.max_send, self._wish.spell)

    def _take(self, remote: str, local: str) -> None:
        value = self._notebook.namespace[local]
        forced = remote in self._wish.forced
        before = None if forced else self._ledger.sent.get(remote)
        kind = values.type_name(value)
        if before and (known := self._ledger.prints.get(remote)) and known.matches(value):
            self._capture.held.append(remote)
            return
        # Taken first: whatever changes in between is noticed the next time.
        taken = print_of(value) if estimate(value) >= _WORTH_A_PRINT else None
        try:
            # What the session may have already is not what the limit is about.
            limit = 0 if before else self._wish.max_send
            pickled = values.Pickled(values.dump(value, local, limit=limit))
        except values.OversizeError:
            self._refused.append(Refused(local, kind, self._wish.max_send, at_least=True))
            return
        except values.UnpicklableError as trouble:
            if forced or remote in self._names.needs:
                reason = self._culprit(value) or trouble.reason
                self._refused.append(Refused(local, kind, reason=reason))
            return
        digest = payload_digest(pickled.parts)
        if taken is not None:
            self._capture.prints[remote] = taken
        if digest == before:
            self._capture.held.append(remote)
            return
        why = "-i" if forced else "changed here" if before else "read by the cell"
        item = Item(pickled, digest, kind, why, _is_module(value), forced, _package(value))
        self._capture.items[remote] = item
        if remote != local:
            self._capture.renamed.add(remote)
        self._room -= item.nbytes

    def _refuse(self) -> None:
        items = self._capture.items
        told = [
            Refused(name, items[name].kind, items[name].nbytes)
            for name in self._capture.names
            if self._room < 0
        ]
        raise refusal([*self._refused, *told], self._wish.max_send, self._wish.spell)

    def _culprit(self, value: object) -> str:
        """Name the variable that makes a function or class impossible to send."""
        namespace = self._notebook.namespace
        for name in reach(value, namespace):
            try:
                values.dump(namespace[name], name)
            except values.UnpicklableError as trouble:
                if not issubclass(type(namespace[name]), types.FunctionType | type):
                    return f"it uses {trouble.name} ({trouble.kind}): {trouble.reason}"
        return ""

    def _sort_out(self) -> None:
        """Tell apart the names that did not go along."""
        capture, ledger, notebook = self._capture, self._ledger, self._notebook
        for name in self._names.needs:
            if name in capture.items or name in capture.held:
                self._look_into(name)
                continue
            if name in ledger.own:
                capture.own.append(name)
                self._compare(name)
            elif name in ledger.sent or name in self._wish.known:
                capture.own.append(name)
            elif not (hasattr(builtins, name) or name in EVERYWHERE or _HISTORY.fullmatch(name)):
                excluded = name in self._wish.exclude or self._wish.mode == "none"
                if not (excluded and notebook.has(name)):
                    capture.unresolved.append(name)

    def _look_into(self, name: str) -> None:
        """Note what a function uses that the session has of its own: it brings along ours."""
        notebook, ledger = self._notebook, self._ledger
        local = self._wish.forced.get(name, name)
        used = [
            each
            for each in reach(notebook.namespace.get(local), notebook.namespace)
            if each in ledger.own and each not in self._capture.items
        ]
        if shadowed := [each for each in used if self._differs(each, told=f"{name} {each}")]:
            self._capture.shadowed[name] = shadowed

    def _compare(self, name: str) -> None:
        """Note whether a name that the session has of its own has another value here."""
        differs = self._differs(name)
        if differs is _PERHAPS:
            value = self._notebook.namespace[name]
            with suppress(values.UnpicklableError, values.OversizeError):
                parts = values.dump(value, name, limit=_COMPARED)
                self._capture.compared[name] = payload_digest(parts)
                differs = False
        if differs:
            self._capture.conflicts.append(name)

    def _differs(self, name: str, told: str = "") -> bool | str:
        notebook, ledger = self._notebook, self._ledger
        if (told or name) in ledger.told and self._wish.mode != "strict":
            return False
        if name in self._wish.exclude or self._wish.mode == "none":
            return False  # it was said which of the two is meant
        if not notebook.has(name) or notebook.has_module(name):
            return False
        value, agreed = notebook.namespace[name], ledger.agreed.get(name)
        if agreed is None:
            return _unlike(value, self._wish.known.get(name))
        try:
            return digest_of(value) != agreed
        except values.UnpicklableError:
            return True

    def _check_doubts(self) -> None:
        capture = self._capture
        if capture.conflicts or capture.unresolved or capture.shadowed:
            raise doubtful(
                capture.conflicts, capture.unresolved, capture.shadowed, self._wish.spell
            )


def _unlike(value: object, there: NameInfo | None) -> bool | str:
    """Tell whether a value is another than the one there, as far as that can be known here."""
    if there is None:
        return _PERHAPS
    if there.type != values.type_name(value):
        return True
    return there.summary != repr(value) if type(value) in _TOLD else _PERHAPS


def _package(value: object) -> str:
    kind = type(value)
    where = value.__name__ if _is_module(value) else kind.__module__
    return where.partition(".")[0] if type(where) is str and where != "builtins" else ""


def _is_module(value: object) -> TypeGuard[types.ModuleType]:
    return issubclass(type(value), types.ModuleType)
