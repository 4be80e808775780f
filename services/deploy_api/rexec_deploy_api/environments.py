"""The packages that a user asks for, as lines that can be written to a file and given to uv.

Every line is parsed and written anew, so nothing reaches the installer that is not a
requirement: no option, no address of another index, no file of the server.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

_LENGTH = 200
_TOLD = 5
"""Errors that are told before the rest are only counted."""
_SHOWN = 60
_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#.*")
_OPTION = re.compile(r"(?:^|\s)(-[A-Za-z-]{1,40})")
_ALLOWED = re.compile(r"(https?|git\+https?|git\+ssh)://", re.IGNORECASE)
"""What an address may start with: a path of the server never is one."""
_MINOR = re.compile(r"(3\.[0-9]{1,2})(\.[0-9]{1,3}|\.\*)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class RequirementsError(ValueError):
    """What was asked for cannot be installed; the text tells which line, and why."""


@dataclass(frozen=True)
class Environment:
    """Packages for the user's code.

    Attributes
    ----------
    python
        Minor version, such as ``3.11``; empty for that of the server.
    lines
        Requirements in normal form, sorted, each once.
    """

    python: str
    lines: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Names the two; empty if nothing is asked for."""
        if not self.python and not self.lines:
            return ""
        return hashlib.sha256("\n".join((self.python, *self.lines)).encode()).hexdigest()[:16]

    @property
    def text(self) -> str:
        """The content of a requirements file."""
        return "".join(f"{line}\n" for line in self.lines)


def parse(lines: Sequence[str], *, allow_urls: bool = False, limit: int = 500) -> Environment:
    """Read requirements as a user wrote them.

    Parameters
    ----------
    lines
        As in a requirements file. Comments and blank lines are left out, and a line
        ``python==3.11`` asks for a version of Python.
    allow_urls
        Whether a requirement may say where it comes from, such as
        ``package @ git+https://…``.
    limit
        How many requirements there may be.

    Raises
    ------
    RequirementsError
        If a line is no requirement, or not one that is allowed here.
    """
    kept: set[str] = set()
    pythons: dict[str, int] = {}
    exact: dict[tuple[str, str], tuple[str, int]] = {}
    errors: list[str] = []
    count = 0
    for number, line in enumerate(lines, 1):
        try:
            text = _content(line)
            if not text:
                continue
            count += 1
            if count > limit:
                raise RequirementsError(f"There are more than {limit} requirements.")
            requirement = _requirement(text, allow_urls=allow_urls)
            if canonicalize_name(requirement.name) == "python":
                pythons.setdefault(_python(requirement), number)
                continue
            _compare(requirement, exact, number)
            kept.add(_normal(requirement))
        except _LineError as error:
            errors.append(f"Line {number}: {error}")
    if len(pythons) > 1:
        told = " and ".join(f"{python} in line {number}" for python, number in pythons.items())
        errors.append(f"Python is asked for in more than one version: {told}.")
    if errors:
        rest = len(errors) - _TOLD
        more = [f"{rest} more {'lines are' if rest > 1 else 'line is'} wrong."] if rest > 0 else []
        raise RequirementsError("\n".join(errors[:_TOLD] + more))
    python = next(iter(pythons), "")
    ordered = tuple(sorted(kept))
    return Environment(python, ordered)


class _LineError(RequirementsError):
    """What is wrong with one line."""


def _content(line: str) -> str:
    """Return the requirement of a line, if it has one."""
    line = line.strip(" \t\r\n")
    if any((character < " " and character != "\t") or character == "\x7f" for character in line):
        raise _LineError("it has a line break or another control character within.")
    text = _COMMENT.sub("", line).rstrip(" \t")
    if not text.isascii():
        raise _LineError("it has characters that are not ASCII.")
    if len(text) > _LENGTH:
        raise _LineError(f"it is longer than {_LENGTH} characters.")
    return text


def _requirement(text: str, *, allow_urls: bool) -> Requirement:
    if option := _OPTION.search(text):
        raise _LineError(f"options such as {option[1]} are not allowed; give requirements alone.")
    try:
        requirement = Requirement(text)
        Requirement(_normal(requirement))  # some names are only wrong in normal form
    except InvalidRequirement:
        raise _LineError(_nonsense(text)) from None
    if requirement.url is None:
        return requirement
    if not allow_urls:
        raise _LineError(
            f"{requirement.name} comes from an address, which is not allowed here; name a version."
        )
    if not _ALLOWED.match(requirement.url):
        raise _LineError(f"{requirement.name} comes from elsewhere than https:// or git+https://.")
    if re.search(r"\s", requirement.url):
        raise _LineError(f"the address of {requirement.name} has blanks within.")
    return requirement


def _nonsense(text: str) -> str:
    # Whoever has credentials in an address does not want to see them in a log.
    if "://" in text or "@" in text or text.startswith((".", "/", "~")):
        return "it is an address or a path; name the package and a version instead."
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    named = _NAME.match(text)
    example = named[0] if named and len(named[0]) <= _SHOWN else "numpy"
    return f"{shown!r} is not a requirement; write it like '{example}>=1.0'."


def _python(requirement: Requirement) -> str:
    """Return the minor version of Python that is asked for."""
    specifiers = list(requirement.specifier)
    if len(specifiers) == 1 and specifiers[0].operator == "==":
        found = _MINOR.fullmatch(specifiers[0].version)
        plain = not (requirement.extras or requirement.marker or requirement.url)
        if found and plain:
            return found[1]
    raise _LineError("a version of Python is asked for like 'python==3.11'.")


def _compare(
    requirement: Requirement, exact: dict[tuple[str, str], tuple[str, int]], number: int
) -> None:
    """See to it that no two lines ask for different versions, or places, of one package."""
    wanted = requirement.url or _exact(requirement.specifier)
    if not wanted:
        return
    key = (canonicalize_name(requirement.name), str(requirement.marker or ""))
    first, where = exact.setdefault(key, (wanted, number))
    if first != wanted:
        raise _LineError(f"{requirement.name} is asked for otherwise in line {where}.")


def _exact(specifiers: SpecifierSet) -> str:
    fixed = [item.version for item in specifiers if item.operator == "=="]
    return fixed[0] if len(fixed) == 1 and not fixed[0].endswith("*") else ""


def _normal(requirement: Requirement) -> str:
    return "".join(_pieces(requirement))


def _pieces(requirement: Requirement) -> Iterator[str]:
    # Not str(requirement): the order of what it writes has changed from release to release.
    yield canonicalize_name(requirement.name)
    if requirement.extras:
        yield f"[{','.join(sorted(map(canonicalize_name, requirement.extras)))}]"
    if requirement.url:
        yield f" @ {requirement.url}"
    yield ",".join(sorted(map(str, requirement.specifier)))
    if requirement.marker:
        yield f" ; {requirement.marker}" if requirement.url else f"; {requirement.marker}"
