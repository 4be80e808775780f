"""Makes an environment with uv: built aside, and there for others only when it is whole."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from uv import find_uv_bin

from rexec_jupyter.core.startup import die_with
from rexec_server.environment.failure import Failure, InstallError, cleaned, explain, full_error
from rexec_server.environment.needs import OURS, base, fingerprint, needs, packages
from rexec_server.environment.place import Place
from rexec_server.environment.room import make_room

_PASSED = re.compile(
    r"PATH|LANG|LC_ALL|TMPDIR|NETRC|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy"
    r"|SSL_CERT_(FILE|DIR)|SSL_CLIENT_CERT"
    r"|UV_(DEFAULT_INDEX|INDEX_URL|EXTRA_INDEX_URL|INDEX|FIND_LINKS|NO_INDEX|INDEX_STRATEGY)"
    r"|UV_INDEX_[A-Z0-9_]+_(USERNAME|PASSWORD)"
    r"|UV_(OFFLINE|INSECURE_HOST|SYSTEM_CERTS|NATIVE_TLS|HTTP_TIMEOUT|HTTP_RETRIES|EXCLUDE_NEWER)"
    r"|UV_(NO_BUILD|ONLY_BINARY|CONCURRENT_(DOWNLOADS|BUILDS|INSTALLS)|TORCH_BACKEND)"
)
"""Variables that may reach uv, and with it what builds a package: none that tells secrets."""
_NOISE = ("Using Python ", "Using CPython ", "Creating virtual ", "Activate with: ")
_KEPT = 5000
"""Lines of output from which a failure is explained."""
_CACHE_PATIENCE = 60.0
"""Seconds that tidying up may wait for others that install."""


class Installer:
    """Makes environments below a directory.

    Parameters
    ----------
    cache
        The directory; its own packages are kept there too, so that they can be linked.
    limit
        Bytes that all of it may take.
    say
        Takes each line of the log.
    """

    def __init__(self, cache: Path, limit: int, say: Callable[[str], None]) -> None:
        self._cache = cache
        self._limit = limit
        self._say = say
        self._uv = find_uv_bin()
        self._needs = needs()
        self._fingerprint = fingerprint(self._needs)

    def install(self, requirements: Path, digest: str, python: str) -> Place:
        """Return the environment with these packages, which is made if it is not there.

        Parameters
        ----------
        requirements
            A file with a requirement in each line, and nothing else.
        digest
            Names its content.
        python
            Minor version of Python; the one that is here.

        Raises
        ------
        InstallError
            If it cannot be made.
        """
        try:
            self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._installed(_read(requirements), digest, python)
        except OSError as error:
            raise _system_error(error) from error

    def _installed(self, lines: Sequence[str], digest: str, python: str) -> Place:
        place = Place.of(self._cache, digest, python, self._fingerprint)
        place.lock.take(shared=True)
        if not place.complete:
            if not place.lock.take(shared=False, wait=False):
                self._say("The same packages are being installed for another server; waiting.")
                place.lock.take(shared=False)
            if not place.complete:
                self._make(place, lines, python)
                place.lock.touch()
                make_room(self._cache, self._limit, self._tidy, self._say)
                return place
        place.lock.touch()
        self._say("The packages are there already.")
        return place

    def _make(self, place: Place, lines: Sequence[str], python: str) -> None:
        started = time.monotonic()
        count = f"{len(lines)} package{'' if len(lines) == 1 else 's'}"
        self._say(f"Installing {count} for Python {python}, and what they need.")
        try:
            self._build(place, lines, python)
        except InstallError as error:
            if not error.full:
                raise
            self._say("The disk is full; making room, and trying again.")
            make_room(self._cache, 0, self._tidy, self._say)
            self._build(place, lines, python)
        self._say(f"Installed in {time.monotonic() - started:.1f} s.")

    def _build(self, place: Place, lines: Sequence[str], python: str) -> None:
        draft = place.draft()
        try:
            self._prepare(draft)
            if lines:  # else it is for the Python alone
                self._fill(draft, lines, python, place)
            place.publish(draft)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _prepare(self, draft: Path) -> None:
        """Make an empty environment, which sees the server's packages behind its own."""
        draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._run([*self._command("venv", base()), "--relocatable", "--no-project", str(draft)])
        (libraries,) = draft.glob("lib/python*/site-packages")
        seen = "".join(f"site.addsitedir({str(place)!r}); " for place in packages())
        # Such files are read in the order of their names: all others come before.
        (libraries / "~rexec.pth").write_text(f"import site; {seen}\n")

    def _fill(self, draft: Path, lines: Sequence[str], python: str, place: Place) -> None:
        wanted, limits, left = (draft / f"{name}.txt" for name in ("wanted", "limits", "left"))
        wanted.write_text("".join(f"{line}\n" for line in lines))
        limits.write_text("".join(f"{name}{ranges}\n" for name, ranges in self._needs.items()))
        left.write_text(f"{OURS}\n")
        command = self._command("pip install", draft / "bin" / "python")
        command += ["--requirements", str(wanted), "--constraints", str(limits)]
        # Whoever asks for what runs here already gets just that.
        command += ["--excludes", str(left), "--link-mode", "hardlink"]
        # Should this process be killed, the place stays locked until uv has ended too.
        self._run(command, python, (place.lock.fileno(),))

    def _command(self, verb: str, python: Path) -> list[str]:
        settings = ["--color", "never", "--no-config", "--no-python-downloads"]
        return [self._uv, *verb.split(), *settings, "--python", str(python)]

    def _run(self, command: Sequence[str], python: str = "", inherited: Sequence[int] = ()) -> None:
        """Run uv, and pass on what it writes.

        Raises
        ------
        InstallError
            If it fails.
        """
        output: list[str] = []
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment(),
            cwd=self._cache,
            pass_fds=inherited,
            start_new_session=True,
            preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509 - there are no threads
            text=True,
            errors="replace",
        ) as process:
            try:
                for line in cleaned(process.stdout or ()):
                    output.append(line)
                    del output[:-_KEPT]
                    if line and not line.startswith(_NOISE):
                        self._say(line)
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.returncode == -signal.SIGKILL:
            raise InstallError(
                Failure(
                    "memory",
                    "The installer was killed, most likely because it needs more memory than"
                    " the server has.",
                    "Ask for a server with more memory.",
                )
            )
        if process.returncode:
            raise explain(output, python, self._needs)

    def _environment(self) -> dict[str, str]:
        given = {name: value for name, value in os.environ.items() if value}
        passed = {name: value for name, value in given.items() if _PASSED.fullmatch(name)}
        home = os.environ.get("HOME", "")
        return {
            **passed,
            "HOME": home if os.access(home, os.W_OK) else str(self._cache),
            "UV_CACHE_DIR": str(self._cache / "uv"),
        }

    def _tidy(self, argument: str) -> None:
        command = [self._uv, "cache", argument, "--no-config", "--quiet"]
        with suppress(OSError, subprocess.SubprocessError):  # there is another time
            subprocess.run(
                command,
                env=self._environment(),
                cwd=self._cache,
                timeout=_CACHE_PATIENCE,
                check=False,
            )


def _read(requirements: Path) -> list[str]:
    """Return the lines of the file.

    Raises
    ------
    InstallError
        If one is anything but a requirement: an option would be obeyed.
    """
    lines = [line.strip() for line in requirements.read_text().splitlines()]
    for line in lines:
        try:
            if line:
                Requirement(line)
        except InvalidRequirement:
            text = f"A line of the requirements is none: {line[:60]!r}."
            hint = "Give one requirement in each line, such as numpy>=2, and nothing else."
            raise InstallError(Failure("configuration", text, hint)) from None
    return [line for line in lines if line]


def _system_error(error: OSError) -> InstallError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return full_error()
    return InstallError(
        Failure(
            "configuration",
            f"The place for packages cannot be used: {error.strerror}: {error.filename}.",
            "Tell who runs this service: the cache is to blame.",
        )
    )
