"""Secrets: what looks like one, and how none of it stays in the history of a notebook."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

HIDDEN = "•••"
"""Stands for a secret."""

_PARTS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_SECRET = frozenset(
    (
        *("token", "tokens", "secret", "secrets", "password", "passwd", "passphrase", "pass"),
        *("pw", "pwd", "credential", "credentials", "creds", "apikey", "key", "auth", "bearer"),
        *("authorization", "cookie", "dsn", "pat", "jwt"),
    )
)
_HARMLESS = frozenset(("PWD", "OLDPWD"))


def looks_secret(name: str) -> bool:
    """Tell whether the name of an option or variable is such that its value is no one's business.

    ``API_KEY``, ``githubToken`` and ``--password`` are; ``PWD``, ``MONKEY`` and ``PASSAGE`` not.
    """
    parts = {part.lower() for part in _PARTS.findall(name)}
    return name not in _HARMLESS and not parts.isdisjoint(_SECRET)


def given(line: str) -> list[str]:
    """Return what an options line gives away: values of options and variables named so."""
    words = line.replace("=", " = ").split()
    words = [word.strip("'\"") for word in words if word not in ("=", "--env")]
    return [
        value
        for name, value in pairwise(words)
        if looks_secret(name) and not value.startswith("-") and value
    ]


def forget(shell: InteractiveShell, secrets: Iterable[str]) -> bool:
    """Take secrets out of the newest entry of IPython's history, in memory and on disk.

    Returns
    -------
    bool
        Whether one stood there, as in the notebook.
    """
    wanted = sorted(filter(None, secrets), key=len, reverse=True)
    history: Any = shell.history_manager
    if not wanted or history is None:
        return False

    def cleaned(text: str) -> str:
        for secret in wanted:
            text = text.replace(secret, HIDDEN)
        return text

    found = False
    for entries in (history.input_hist_raw, history.input_hist_parsed):
        if entries and (clean := cleaned(entries[-1])) != entries[-1]:
            entries[-1] = clean
            found = True
    if not found:
        return False
    for name in ("_i00", "_i", "_ii", "_iii"):
        setattr(history, name, cleaned(getattr(history, name)))
    for name in [name for name in shell.user_ns if re.fullmatch(r"_i\d*|_ii|_iii", name)]:
        if isinstance(text := shell.user_ns[name], str):
            shell.user_ns[name] = cleaned(text)
    _forget_on_disk(history, cleaned)
    return True


def _forget_on_disk(history: Any, cleaned: Callable[[str], str]) -> None:
    if not history.enabled:  # nothing is kept on disk
        return
    history.writeout_cache()  # or another thread would, later
    row = (history.session_number, len(history.input_hist_raw) - 1)
    with history.db as database:
        database.execute("PRAGMA secure_delete = ON")
        where = "WHERE session = ? AND line = ?"
        found = database.execute(f"SELECT source, source_raw FROM history {where}", row)  # noqa: S608 - constants
        for source, raw in list(found):
            database.execute(
                f"UPDATE history SET source = ?, source_raw = ? {where}",  # noqa: S608 - constants
                (cleaned(source), cleaned(raw), *row),
            )
