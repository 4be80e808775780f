"""Completion of options, subcommands and remote names, from what is known here: asks nobody."""

from __future__ import annotations

import ast
import builtins
import keyword
import os
import re
import shlex
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from IPython.core.completer import SimpleCompletion, context_matcher

from rexec_jupyter.core.defaults import SETTINGS
from rexec_jupyter.core.settings import current
from rexec_jupyter.magics import options
from rexec_jupyter.magics.commands import COMMANDS
from rexec_jupyter.magics.cursor import Code, Options, Subcommand, locate

if TYPE_CHECKING:
    import argparse

    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

    from rexec_jupyter.core.happenings import NameInfo
    from rexec_jupyter.magics.cell import CellRunner

_FIRST = 1000
"""Before IPython's own, which can then be left out where nothing of theirs fits."""
_MOST = 500
"""Completions at a time, as IPython's own; nobody reads on."""
_WORD = re.compile(r"[A-Za-z_]\w*")
_REFERENCE = re.compile(r"(?<![\w.)\]}'\"%!?])(?:([A-Za-z_]\w*)\.)?([A-Za-z_]\w*)?$")
_KEY = re.compile(r"(?<![\w.)\]}])([A-Za-z_]\w*)\[(['\"])([^'\"]*)$")
_TIMES = ("30s", "5m", "1h")
_LISTS = frozenset(("remote", "local"))
_KINDS = {"module": "module", "function": "function", "type": "class"}

_LANGUAGE = (
    *((word, "keyword") for word in keyword.kwlist),
    *((name, "function") for name in dir(builtins) if not name.startswith("_")),
)

Found = Iterable[tuple[str, str]]
"""Texts and what they are."""


class Completer:
    """Completes what concerns rexec, in a notebook and in a terminal.

    Parameters
    ----------
    shell
        Where the user types.
    runner
        Knows the sessions and their names.
    """

    def __init__(self, shell: InteractiveShell, runner: CellRunner) -> None:
        self._shell = shell
        self._runner = runner
        self._seen: dict[str, dict[str, None]] = {"session": {}, "job": {}}
        self._matchers().append(self.match)

    def close(self) -> None:
        """Leave IPython as it was."""
        if self.match in self._matchers():
            self._matchers().remove(self.match)

    def _matchers(self) -> list[Any]:
        matchers: list[Any] = self._shell.Completer.custom_matchers
        return matchers

    def learn(self, told: object) -> None:
        """Take note of sessions and jobs in what a subcommand returned."""
        parts = told if isinstance(told, list) else [*_tables(told)]
        for row in parts:
            if not isinstance(row, Mapping):
                self.learn(row)
                continue
            if isinstance(session := row.get("session"), str):
                self._seen["session"][session] = None
            if isinstance(job := row.get("id"), str) and len(job) == 32:
                self._seen["job"][job[:8]] = None

    @context_matcher(identifier="rexec", priority=_FIRST)
    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        """Complete what stands before the cursor."""
        aliases = current().now().aliases
        place = locate(context.full_text, context.cursor_line, context.cursor_position, aliases)
        alone = True
        if isinstance(place, Code):
            fragment, found, alone = self._code(place, context.full_text)
        elif isinstance(place, Options):
            fragment, found = self._options(place)
        elif isinstance(place, Subcommand):
            fragment, found = self._subcommand(place)
        else:
            fragment, found = "", ()
        texts: dict[str, str] = {}
        for text, kind in found:
            if text.startswith(fragment):
                texts.setdefault(text, kind)
        return {
            "completions": [SimpleCompletion(t, type=texts[t]) for t in list(texts)[:_MOST]],
            "matched_fragment": fragment,
            "suppress": alone,
            "do_not_suppress": {"IPCompleter.dict_key_matcher"},
        }

    # ----------------------------------------------------------------------- remote code

    def _code(self, place: Code, cell: str) -> tuple[str, Found, bool]:
        """Return what is typed, what fits, and whether that is all there is to offer.

        IPython's own completion takes seconds when it is first used, longer than JupyterLab
        waits for any. So names that are here are offered too, without it.
        """
        session = _option(place.options, "-s", "--session") or self._runner.session
        if key := _KEY.search(place.before):
            info = self._names(session).get(key[1])
            return key[3], [(text, "property") for text in info.keys] if info else (), True
        reference = _REFERENCE.search(place.before)
        if reference is None or _in_text(place.before):
            return "", (), False
        owner, fragment = reference[1], reference[2] or ""
        if owner is not None:
            attributes = self._runner.names.attributes(session, owner)
            return fragment, [(name, "property") for name in attributes], True
        others = (*_words_of(cell, fragment), *_LANGUAGE) if fragment else ()
        found = [*self._remote(session), *self._local(), *others]
        return fragment, found, True

    def _names(self, session: str) -> dict[str, NameInfo]:
        return self._runner.names.names(session)

    def _remote(self, session: str) -> Iterator[tuple[str, str]]:
        for name, info in self._names(session).items():
            yield name, _KINDS.get(info.type, "instance")

    def _local(self) -> Iterator[tuple[str, str]]:
        hidden = self._shell.user_ns_hidden
        for name, value in list(self._shell.user_ns.items()):
            if name.isidentifier() and not name.startswith("_") and name not in hidden:
                yield name, _KINDS.get(type(value).__name__, "instance")

    # ---------------------------------------------------------------------- options line

    def _options(self, place: Options) -> tuple[str, Found]:
        *words, last = _words(place.before)
        actions = {flag: action for action in options.actions() for flag in action.option_strings}
        if "--" in words:
            return "", ()
        flag, given, value = last.partition("=")
        if given and flag in actions:
            return self._value(actions[flag], value, place)
        before = actions.get(words[-1]) if words else None
        if before is not None and before.nargs != 0:
            return self._value(before, last, place)
        return last, ((flag, "param") for flag in actions if flag.startswith("--") or last)

    def _value(self, action: argparse.Action, text: str, place: Options) -> tuple[str, Found]:
        if choices := _choices().get(action.dest):
            return text, ((choice, "param") for choice in choices)
        match action.dest:
            case "session":
                return text, ((name, "param") for name in self._sessions())
            case "timeout" | "wait_start" | "progress_after":
                return text, ((time, "param") for time in _TIMES)
            case "env":
                return text, ((name, "param") for name in os.environ)
            case "in_" | "out" | "exclude":
                item = text.rpartition(",")[2]
                target, renames, source = item.partition("=")
                here = action.dest != "out"
                return (
                    source if renames else target,
                    self._local() if here else self._fetchable(place),
                )
        return text, ()

    def _fetchable(self, place: Options) -> Found:
        session = _option(place.before, "-s", "--session") or self._runner.session
        assigned = ((name, "instance") for name in _assigned(place.body))
        return [*assigned, *self._remote(session)]

    # ----------------------------------------------------------------------- subcommands

    def _subcommand(self, place: Subcommand) -> tuple[str, Found]:
        *words, last = _words(place.before)
        if not words:
            return last, ((name, "function") for name in COMMANDS)
        command = COMMANDS.get(words[0])
        if command is None:
            return last, ()
        if last.startswith("-"):
            return last, ((flag, "param") for flag in command.options)
        found: Found = ()
        match command.completes:
            case "session":
                found = ((name, "param") for name in self._sessions())
            case "job":
                found = ((job, "param") for job in self._jobs())
            case "remote":
                found = self._remote(self._runner.session)
            case "local":
                found = self._local()
            case "setting":
                found = ((name, "param") for name in SETTINGS)
            case "topic":
                found = ((name, "function") for name in COMMANDS)
        # Names stand in lists, with commas, and may be renamed.
        return (re.split("[,=]", last)[-1] if command.completes in _LISTS else last), found

    def _sessions(self) -> list[str]:
        runner = self._runner
        names = (runner.session, *runner.ledgers, *runner.names.sessions(), *self._seen["session"])
        return [shlex.quote(name) for name in dict.fromkeys(names)]

    def _jobs(self) -> list[str]:
        last = self._runner.last_job[:8]
        return list(dict.fromkeys([*filter(None, [last]), *reversed(self._seen["job"])]))


def _in_text(before: str) -> bool:
    """Whether a line, as far as it goes, ends within a string; good enough for completion."""
    return any(before.count(quote) % 2 for quote in "'\"")


def _words_of(cell: str, fragment: str) -> Iterator[tuple[str, str]]:
    """Yield the words of a cell but the one that is being typed."""
    for word in _WORD.findall(cell):
        if word != fragment:
            yield word, "text"


def _tables(told: object) -> Iterator[list[Any]]:
    for part in ("sessions", "jobs"):
        if isinstance(table := getattr(told, part, None), list):
            yield table


def _words(text: str) -> list[str]:
    """Cut a line into words; the last is the one at the cursor, perhaps empty."""
    return re.split(r"\s+", text.lstrip())


def _option(line: str, *flags: str) -> str:
    """Return the value that an option has on a line that may be unfinished."""
    words = _words(line)
    for word, value in zip(words, [*words[1:], ""], strict=True):
        flag, given, joined = word.partition("=")
        if flag in flags:
            return (joined if given else value).strip("'\"")
    return ""


def _choices() -> dict[str, tuple[str, ...]]:
    hints = get_type_hints(options.CellOptions)
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}


def _assigned(body: str) -> dict[str, None]:
    """Return the names that code assigns; none if it is unfinished."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(body)
    except (SyntaxError, ValueError):
        return {}
    return {
        node.id: None
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
