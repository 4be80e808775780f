"""A list of rows that people read as a table, and programs as dictionaries."""

from __future__ import annotations

import html
import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

_WIDEST = 60
_GAP = "  "
_MAIN = "color: var(--jp-ui-font-color1, inherit)"
_ASIDE = "color: var(--jp-ui-font-color2, #616161)"
_TABLE = f"{_MAIN}; margin-bottom: 4px"


class Column(NamedTuple):
    """One column as it is shown.

    Attributes
    ----------
    key
        Where its value stands in a row.
    heading
        What stands above it.
    text
        Makes text of a value.
    right
        Aligned to the right, as numbers are.
    wide
        Shown whole, however long.
    """

    key: str
    heading: str
    text: Callable[[Any], str] = str
    right: bool = False
    wide: bool = False


class Table(list[dict[str, Any]]):
    """Rows of one kind; a list of dictionaries for programs.

    The values are plain: what JSON can hold. Rows may have values that no column shows.

    Parameters
    ----------
    rows
        What it holds.
    columns
        What is shown of it: `Column`, or a key that is its own heading.
    empty
        What is shown in place of no rows.
    title, note
        Lines above and below the table.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]] = (),
        columns: Sequence[Column | str] = (),
        *,
        empty: str = "Nothing there.",
        title: str = "",
        note: str = "",
    ) -> None:
        super().__init__(dict(row) for row in rows)
        self.columns = [Column(c, c) if isinstance(c, str) else c for c in columns]
        self.empty = empty
        self.title = title
        self.note = note

    def __repr__(self) -> str:
        return "\n".join(filter(None, (self.title, *self._lines(), self.note)))

    __str__ = __repr__

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: FBT001 - IPython's protocol
        printer.text(repr(self))

    def _repr_html_(self) -> str:
        parts = [paragraph(self.title)] if self.title else []
        parts.append(self._markup() if self else paragraph(self.empty))
        parts += [paragraph(self.note)] if self.note else []
        return "".join(parts)

    def json(self) -> str:
        """Return the rows as JSON text."""
        return json.dumps(list(self), ensure_ascii=False, indent=2, default=str)

    def _cells(self) -> list[list[str]]:
        return [[_cell(column, row) for column in self._shown()] for row in self]

    def _shown(self) -> list[Column]:
        """Leave out the columns that have nothing to say."""
        return [c for c in self.columns if any(_cell(c, row) for row in self)]

    def _lines(self) -> list[str]:
        if not self:
            return [self.empty]
        columns, cells = self._shown(), self._cells()
        table = [[column.heading for column in columns], *cells]
        widths = [max(map(width, texts)) for texts in zip(*table, strict=True)]
        return [
            _GAP.join(
                _padded(text, size, right=column.right)
                for text, size, column in zip(row, widths, columns, strict=True)
            ).rstrip()
            for row in table
        ]

    def _markup(self) -> str:
        columns = self._shown()
        sides = ["right" if column.right else "left" for column in columns]
        head = "".join(
            f'<th scope="col" style="text-align: {side}">{html.escape(column.heading)}</th>'
            for column, side in zip(columns, sides, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align: {side}">{html.escape(text)}</td>'
                for text, side in zip(row, sides, strict=True)
            )
            + "</tr>"
            for row in self._cells()
        )
        return (
            f'<table class="rexec-table" style="{_TABLE}">'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


class Facts(dict[str, Any]):
    """Things that hold, each with a name; a dictionary for programs.

    Parameters
    ----------
    facts
        Values by name.
    title, note
        Lines above and below them.
    shown
        Texts for people by heading; the facts themselves if it is not given.
    """

    def __init__(
        self,
        facts: Mapping[str, Any] | None = None,
        *,
        title: str = "",
        note: str = "",
        shown: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(facts or {})
        self.title = title
        self.note = note
        self._shown = shown

    def _texts(self) -> dict[str, str]:
        if self._shown is not None:
            return {name: one_line(text) for name, text in self._shown.items()}
        return {name: one_line(str(value)) for name, value in self.items()}

    def __repr__(self) -> str:
        texts = self._texts()
        size = max(map(width, texts), default=0)
        lines = [f"{_padded(name, size)}{_GAP}{text}".rstrip() for name, text in texts.items()]
        return "\n".join(filter(None, (self.title, *lines, self.note)))

    __str__ = __repr__

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: FBT001 - IPython's protocol
        printer.text(repr(self))

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align: left">{html.escape(name)}</th>'
            f'<td style="text-align: left">{html.escape(text)}</td></tr>'
            for name, text in self._texts().items()
        )
        table = f'<table class="rexec-table" style="{_TABLE}"><tbody>{rows}</tbody></table>'
        parts = [paragraph(self.title)] if self.title else []
        parts += [table] if rows else []
        parts += [paragraph(self.note)] if self.note else []
        return "".join(parts)

    def json(self) -> str:
        """Return the facts as JSON text."""
        return json.dumps(dict(self), ensure_ascii=False, indent=2, default=str)


def one_line(text: str) -> str:
    """Make text fit for one line of a terminal: nothing in it moves the cursor."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _cell(column: Column, row: Mapping[str, Any]) -> str:
    value = row.get(column.key)
    if value is None:
        return ""
    text = one_line(column.text(value))
    return text if column.wide or len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _padded(text: str, size: int, *, right: bool = False) -> str:
    space = " " * (size - width(text))
    return space + text if right else text + space


def paragraph(text: str, *, main: bool = False) -> str:
    """Return text as HTML: the main thing, or what is said above and below it."""
    colour = _MAIN if main else _ASIDE
    style = f"{colour}; font-size: var(--jp-ui-font-size1, 13px); padding: 2px 8px"
    return f'<div style="{style}; white-space: pre-wrap">{html.escape(text)}</div>'
