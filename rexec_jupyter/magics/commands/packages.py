"""Requirements as they are written after ``%rexec``: nothing else reaches pip or a server."""

from __future__ import annotations

from pathlib import Path

from IPython.core.error import UsageError

SOURCE = "is not taken: options of pip could change where packages come from, or go to"
"""Why there are no `PIP_OPTIONS`."""
PIP_OPTIONS = (
    *("-i", "--index-url", "--extra-index-url", "--no-index", "--find-links", "--trusted-host"),
    *("-t", "--target", "--prefix", "--root", "--user", "-e", "--editable", "--proxy"),
    *("-c", "--constraint", "-r", "--requirement", "--config-settings", "--global-option"),
)
"""What people try all the same."""
_UNSAFE = frozenset("{}$`\\\n\r\0")


def requirements(words: list[str]) -> list[str]:
    """Read what is to be installed; a file is read here.

    Nothing comes through that pip, a shell or IPython would take for more than a requirement.
    """
    found: list[str] = []
    for word in words:
        path = Path(word).expanduser()
        if word.endswith(".txt") or (("/" in word) and path.is_file()):
            found += _from_file(path)
        else:
            found.append(_requirement(word))
    return list(dict.fromkeys(found))


def _from_file(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"%rexec: {path} cannot be read: {reason}") from None
    words = (line.partition(" #")[0].strip() for line in lines)
    return [_requirement(word) for word in words if word and not word.startswith("#")]


def _requirement(text: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - seldom used

    if text.startswith("-"):
        raise UsageError(f"%rexec: {text.partition('=')[0]} {SOURCE}")
    try:
        requirement = str(Requirement(text))
    except InvalidRequirement:
        raise UsageError(
            f"%rexec: {text!r} is no requirement; write NAME, NAME>=1.2 or NAME[extra]==1.2"
        ) from None
    if not requirement.isprintable() or _UNSAFE & set(requirement):
        raise UsageError(f"%rexec: {text!r} has characters that no requirement needs")
    return requirement
