"""Why packages could not be installed, in words for who asked for them.

What uv writes is made for people and not for programs: whatever is not recognised is passed
on as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from packaging.utils import canonicalize_name

_LENGTH = 1500
_CAUSE = re.compile(r"\s+cause: (.*)")
_CONCLUSION = "your requirements are unsatisfiable"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_RANGE = r"[0-9a-z.*+!<>=~,]*"
_MISSING = re.compile(rf"({_NAME})(?:\[[^]]*\])? was not found in ")
_ABSENT = re.compile(rf"there (?:is|are) no versions? of ({_NAME}?)((?:[<>=!~]{_RANGE})?)(?=[\s,])")
_ONLY = re.compile(rf"only ({_NAME}?)((?:[<>=!~]{_RANGE})?) (?:is|are) available")
_ONLY_ANY = re.compile(rf"only the following versions of ({_NAME}?)(?:\[[^]]*\])? are available")
_NO_WHEEL = re.compile(rf"({_NAME}?)((?:[<>=!~]{_RANGE})?) has no (?:usable )?wheels")
_NEWER = re.compile(rf"({_NAME}?)((?:[<>=!~]{_RANGE})?) depends on Python(\S+?)(?=[\s,]|$)")
_BUILD = re.compile(r"Failed to (?:download and )?build `([^`]+)`")
_STATUS = re.compile(r"HTTP status (?:client|server) error \(([^)]*)\)")
_SITE = re.compile(r"https?://[^\s`'\")]+")
_FULL = ("No space left on device", "Disk quota exceeded", "os error 28", "os error 122")
_CLOSED = ("Read-only file system", "Permission denied", "os error 30", "os error 13")
_UNREACHED = (
    "error sending request",
    "dns error",
    "tcp connect error",
    "timed out",
    "Connection refused",
    "Could not resolve host",
    "Failed to connect to",
    "Network unreachable",
    "Request failed after",
    "network connectivity is disabled",
)
_SYSTEM = ("os error", "refused", "timed out", "failed to lookup", "certificate", "Could not")


class Failure(NamedTuple):
    """What is told of it; ``reason`` is for programs."""

    reason: Literal["package", "configuration", "memory"]
    message: str
    hint: str = ""


class InstallError(Exception):
    """The environment was not made."""

    def __init__(self, failure: Failure, *, full: bool = False) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.full = full
        """Whether it was for lack of room."""


def explain(output: Sequence[str], python: str, needs: Mapping[str, str]) -> InstallError:
    """Tell from what uv wrote why it failed.

    Parameters
    ----------
    python
        Version that the packages are for.
    needs
        What the server itself needs: ranges of versions by the packages' names.
    """
    story = _Story(output)
    whole = "\n".join(story.lines)
    if any(word in whole for word in _FULL):
        return full_error()
    if story.headline.startswith("No solution found"):
        return InstallError(_unsolved(story, python, needs))
    if (failure := _prevented(story)) is None:
        if built := _BUILD.search(story.headline):
            failure = _unbuilt(story, _spelled(built[1]), python)
        else:
            told = ": ".join((story.headline, *story.causes)) or "uv did not say why"
            text = _short(f"The packages were not installed: {told}")
            failure = Failure("package", text, "The log of the installation tells more.")
    return InstallError(failure)


def full_error() -> InstallError:
    """Return that there is no room."""
    return InstallError(
        Failure(
            "package",
            "There is no room for the packages: the disk with the package cache is full.",
            "Ask for fewer or smaller packages, or have who runs this service make more room.",
        ),
        full=True,
    )


class _Story:
    """What uv said of its failure: a headline, its causes, and hints."""

    def __init__(self, output: Sequence[str]) -> None:
        starts = [at for at, line in enumerate(output) if line.startswith("error: ")]
        self.lines = output[starts[-1] :] if starts else output[-20:]
        self.causes: list[str] = []
        self.block: list[str] = []
        """Lines below the last cause: the end of what a build wrote."""
        self.hints: list[str] = []
        self.headline = ""
        for line in self.lines:
            if found := _CAUSE.fullmatch(line):
                self.causes.append(found[1])
            elif line.startswith("error: "):
                self.headline = line.removeprefix("error: ").strip()
            elif line.startswith("hint: "):
                self.hints.append(line.removeprefix("hint: ").strip())
            elif line.startswith(" ") and not self.hints:
                self.block.append(line.strip())
        if not self.headline and self.lines:
            self.headline = self.lines[-1].strip()


def _unsolved(story: _Story, python: str, needs: Mapping[str, str]) -> Failure:
    text = _plain(" ".join((*story.causes, *story.block)))
    if missing := _MISSING.search(text):
        return Failure(
            "package",
            f"There is no package {missing[1]} in the package index{_via(text, missing[1])}.",
            "Check its spelling: the name to install may differ from the name to import.",
        )
    if concerned := _concerned(text, needs):
        own = " and ".join(f"{name}{needs[name]}" for name in concerned)
        return Failure(
            "package",
            _short(
                f"The server itself needs {own}, which does not go with what you ask for: {text}"
            ),
            f"Leave out {' and '.join(concerned)}, or ask for a version within that range.",
        )
    unfit = _unfit(story, text, python)
    if unfit is not None:
        return unfit
    if absent := _ONLY.search(text) or _ONLY_ANY.search(text) or _ABSENT.search(text):
        return Failure(
            "package",
            _short(f"No version of {absent[1]} is what is asked for: {text}"),
            f"Ask for a version of {absent[1]} that there is, or for none in particular.",
        )
    return Failure(
        "package",
        _short(f"The packages do not go together: {text}"),
        "Ask for other versions, or leave the versions out and let the installer choose.",
    )


def _unfit(story: _Story, text: str, python: str) -> Failure | None:
    """Tell whether it is for other versions of Python, or other machines."""
    if newer := _NEWER.search(text):
        told = (
            f"{_spelled(newer[1] + newer[2])} needs Python {newer[3]}, and the server has"
            f" {python}{_via(text, newer[1])}."
        )
        name = newer[1]
    elif wheel := _NO_WHEEL.search(text):
        told = (
            f"{_spelled(wheel[1] + wheel[2])} is not made for Python {python} on this machine"
            f"{_via(text, wheel[1])}. {story.hints[0] if story.hints else ''}"
        )
        name = wheel[1]
    else:
        return None
    hint = f"Ask for another version of {name}, or choose an image with another Python."
    return Failure("package", _short(told), hint)


def _concerned(text: str, needs: Mapping[str, str]) -> list[str]:
    """Return the packages of the server that stand in the way of a solution."""
    found: dict[str, None] = {}
    for required in re.findall(r"you require (.*?)(?:, so |$)", text):
        for name, versions in re.findall(rf"\b({_NAME}?)([<>=!~]{_RANGE})", required):
            canonical = canonicalize_name(name)
            if _same(needs.get(canonical, ""), versions):
                found[canonical] = None
    return list(found)


def _same(needed: str, shown: str) -> bool:
    """Tell whether uv speaks of our range: it leaves out what another one covers."""
    return bool(needed) and not set(needed.split(",")).isdisjoint(shown.split(","))


def _prevented(story: _Story) -> Failure | None:
    """Tell whether it was for the network, or for what may not be written."""
    fetched = story.block if "Git operation failed" in story.causes else []
    technical = "\n".join((story.headline, *story.causes, *fetched))
    if status := _STATUS.search(technical):
        return Failure(
            "package",
            f"The package index answered {status[1]}{_where(technical)}.",
            "Try again; if that stays so, the index refuses this server.",
        )
    if any(word in technical for word in _UNREACHED):
        system = [line for line in story.causes + story.block if any(w in line for w in _SYSTEM)]
        why = f": {system[-1]}" if system else ""
        return Failure(
            "package",
            _short(f"The package index cannot be reached{_where(technical)}{why}."),
            "Try again in a moment; if that stays so, tell who runs this service.",
        )
    if any(word in technical for word in _CLOSED):
        return Failure(
            "configuration",
            _short(f"The place for packages cannot be used: {technical}"),
            "Tell who runs this service: the cache is to blame.",
        )
    return None


def _unbuilt(story: _Story, package: str, python: str) -> Failure:
    lines = [line for line in story.block if line and not line.startswith(("[", "^", "~"))]
    raised = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception)\b", line)]
    # A compiler is clearest at first, a traceback at its end.
    told = raised[-1:] or [line for line in lines if "error: " in line] or lines[-1:]
    fault = (told or story.causes or ["it did not say why"])[0]
    return Failure(
        "package",
        _short(f"{package} had to be built, and that failed: {_short(fault, 400)}"),
        f"There is no ready-made {package} for Python {python}; ask for another version.",
    )


def _plain(text: str) -> str:
    """Leave out of uv's reasoning what everybody knows by now."""
    text = re.sub(r"\{[^}]*\}", "", text)
    text = text.replace(f", we can conclude that {_CONCLUSION}", "")
    text = text.replace(", we can conclude that", ", so")
    return re.sub(r"^Because ", "", text, count=1).strip()


def _via(text: str, name: str) -> str:
    """Tell who wants a package, if it is not the user."""
    wanting = re.search(rf"({_NAME})({_RANGE}) depends on {re.escape(name)}\b", text)
    return f"; {_spelled(wanting[1] + wanting[2])} needs it" if wanting else ""


def _where(text: str) -> str:
    site = _SITE.search(text)
    return f" at {site[0].rstrip(').,')}" if site else ""


def _spelled(requirement: str) -> str:
    """Write ``numpy==1.0`` as people do."""
    return requirement.partition(" @ ")[0].replace("==", " ", 1)


def _short(text: str, length: int = _LENGTH) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def cleaned(lines: Iterable[str]) -> Iterable[str]:
    """Yield lines as they can be shown: without control characters and credentials."""
    for line in lines:
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip()
        text = "".join(c for c in text.rpartition("\r")[2] if c.isprintable() or c == "\t")
        yield re.sub(r"(?<=://)[^/\s@]+@", "", text)
