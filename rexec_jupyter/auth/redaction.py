"""Keeping tokens, passwords and credentials out of logs."""

import logging
import re
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

REMOVED: Final = "[removed]"

_NAMED: Final = (
    r"(?:access[_-]?|refresh[_-]?|id[_-]?|usr[_-]?|api[_-]?|auth[_-]?)?token|pass(?:word|wd)?|secret"
    r"|(?:client|job)[_-]?secret|(?:api|access|secret)[_-]?key(?:[_-]?id)?|credentials?"
    r"|x-amz-(?:signature|credential|security-token)|signature|sig|ticket"
)
_PATTERNS: Final = (
    # Authorization: Bearer …
    (re.compile(r"(?i)\b(bearer|basic)(\s+)[^\s\"',;]+"), rf"\1\2{REMOVED}"),
    # What looks like a JSON Web Token, wherever it stands.
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"), REMOVED),
    # "password": "…" in JSON and in what Python shows of a dictionary, escaped or not.
    (
        re.compile(rf"(?i)((?:\\?[\"'])(?:{_NAMED})\\?[\"']\s*:\s*\\?([\"'])).*?(?=\\?\2)"),
        rf"\1{REMOVED}",
    ),
    # password=… in addresses, forms and settings.
    (re.compile(rf"(?i)(?<![a-z0-9])((?:{_NAMED})=)[^\s&\"',;)]+"), rf"\1{REMOVED}"),
    # scheme://name:password@host
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)"), rf"\1{REMOVED}"),
)

_known: ContextVar[tuple[str, ...]] = ContextVar("known secrets", default=())


def keep_out(secret: str) -> None:
    """Never let a text into the log as long as the current request, or task, lasts.

    Parameters
    ----------
    secret
        A token or password that came with it.
    """
    if secret and secret not in _known.get():
        _known.set((*_known.get(), secret))


def redacted(text: str) -> str:
    """Return a text without what is, or looks like, a token, password or credential."""
    for secret in _known.get():
        text = text.replace(secret, REMOVED)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


class RedactingFilter(logging.Filter):
    """Clears every record that passes, its traceback and its extra fields included.

    It belongs on handlers, so that it sees the records of every library too.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Clear a record; it always passes."""
        record.msg = redacted(record.getMessage())
        record.args = None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = redacted(
                "".join(traceback.format_exception(*record.exc_info))
            ).rstrip()
            # Formatters of all kinds take the cleared text only if there is nothing to format.
            record.exc_info = None
        fields = getattr(record, "fields", None)
        if isinstance(fields, Mapping):
            record.fields = _cleared(fields)
        return True


def _cleared(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {name: _cleared(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleared(item) for item in value]
    return value
