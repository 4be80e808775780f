"""The variables of a session, told after each cell as far as they changed."""

from __future__ import annotations

import secrets
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rexec_jupyter.core.happenings import NameInfo, NamesChanged
from rexec_server.exec.kinds import Found, Kind, Names, kind_of

MAX_NAMES = 2000
"""Names that are told at most: the latest."""
_MAX_ATTRIBUTES = 50_000
"""Attributes that one listing tells at most of all names together."""
_SPARE_KINDS = 200
_ABSENT = object()


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    kind: Kind
    state: object
    found: Found
    sent: bool


class Listing:
    """What was told of the names in one namespace."""

    def __init__(self) -> None:
        self._kernel = secrets.token_hex(8)
        self._count = 0
        self._entries: dict[str, _Entry] = {}
        self._kinds: dict[int, Kind] = {}
        self._told: dict[str, Names] = {}

    def update(
        self,
        namespace: Mapping[str, Any],
        hidden: Mapping[str, Any],
        known: str,
        *,
        sent: Container[str] = (),
        kept: Mapping[str, bool] | None = None,
    ) -> NamesChanged | None:
        """Look what changed; return what is to be told to who knows the version `known`.

        Parameters
        ----------
        namespace
            All names and their values.
        hidden
            Names that are IPython's own while they have these values.
        sent
            Names that still are what was sent.
        kept
            As in `NamesChanged`: to be told in any case.
        """
        kept = dict(kept or {})
        current = self._count > 0 and known == self._version
        before, self._entries = self._entries, self._look(namespace, hidden, sent)
        changed = [name for name, entry in self._entries.items() if before.get(name) is not entry]
        gone = [name for name in before if name not in self._entries]
        if changed or gone:
            self._count += 1
            self._forget_kinds()
        if current:
            if not changed and not gone and not kept:
                return None
            told = self._infos(changed)
            return NamesChanged(self._version, whole=False, names=told, gone=gone, kept=kept)
        if not self._entries and not known:
            return None
        before_told, self._told = self._told, {}
        whole = self._infos(list(self._entries))
        if self._told != before_told and not (changed or gone):
            # Whoever knows this version would take other attributes for those of a type.
            self._count += 1
        return NamesChanged(self._version, whole=True, names=whole, kept=kept)

    @property
    def _version(self) -> str:
        return f"{self._kernel}.{self._count}"

    def _look(
        self, namespace: Mapping[str, Any], hidden: Mapping[str, Any], sent: Container[str]
    ) -> dict[str, _Entry]:
        entries: dict[str, _Entry] = {}
        before, kinds = self._entries, self._kinds
        for name, value in _visible(namespace, hidden):
            cls = type(value)
            kind = kinds.get(id(cls))
            try:
                if kind is None:
                    kind = kinds[id(cls)] = kind_of(cls)
                state = kind.state(value)
                entry = before.get(name)
                same = entry is not None and entry.kind is kind and entry.state == state
                if entry is None or not same:
                    entry = _Entry(kind, state, kind.find(value), name in sent)
                elif entry.sent is not (name in sent):
                    entry = replace(entry, sent=not entry.sent)
            except Exception:  # noqa: BLE001, S112 - one odd value must not hide the others
                continue
            entries[name] = entry
        return entries

    def _infos(self, names: list[str]) -> dict[str, NameInfo]:
        room = _MAX_ATTRIBUTES
        infos = {}
        for name in names:
            entry = self._entries[name]
            kind, found = entry.kind, entry.found
            attributes = found.attributes if len(found.attributes) <= room else ()
            told = None
            if self._told.get(kind.name) != attributes:
                self._told[kind.name] = attributes
                told = list(attributes)
                room -= len(told)
            keys = list(found.keys)
            infos[name] = NameInfo(kind.name, found.summary, found.nbytes, told, keys, entry.sent)
        return infos

    def _forget_kinds(self) -> None:
        """Let go of types that nothing is made of any more."""
        if len(self._kinds) > len(self._entries) + _SPARE_KINDS:
            used = [entry.kind for entry in self._entries.values()]
            self._kinds = {id(kind.cls): kind for kind in used}


def _visible(namespace: Mapping[str, Any], hidden: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    items = list(namespace.items())
    skipped = max(0, len(items) - 4 * MAX_NAMES)
    names = [
        (name, value)
        for name, value in items[skipped:]
        if type(name) is str
        and name[:1] != "_"
        and hidden.get(name, _ABSENT) is not value
        and name.isidentifier()
    ]
    yield from names[-MAX_NAMES:]
