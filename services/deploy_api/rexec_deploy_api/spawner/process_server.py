"""One generation of a server as processes of this machine: installer, agent and exec."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from rexec_deploy_api.records import Cause, Observed, Record
from rexec_deploy_api.spawner.base import Credential
from rexec_jupyter.core.runtime import private_directory
from rexec_jupyter.local.keeper import Keeper
from rexec_jupyter.local.processes import Part, module_command, turn_over

HOPELESS = 3
"""Starts in a row after which a part that never worked probably never will."""

_USAGE = 2
_EXPLAINED = 3
_KILLED = -9
_PROVED, _WORKED = 1.0, 3.0
_MARGIN = 2.0
_WORDS = 12
_LOST = "Variables are lost, and jobs that ran; those that waited run, and results are kept."
_INSTALL_HINT = "Correct the requirements and start the server again; its log tells more."
_log = logging.getLogger(__name__)


class Places(NamedTuple):
    """Where a generation's files are.

    Attributes
    ----------
    keys, state, logs
        Directories for its credentials, its journal, and its logs.
    handoff
        Where agent and exec meet; its name is short, because sockets lie in it.
    work
        Working directory of the user's code.
    own
        What is removed along with the generation.
    """

    keys: Path
    state: Path
    logs: Path
    handoff: Path
    work: Path
    own: tuple[Path, ...]


@dataclass(frozen=True)
class Options:
    """What is alike for all servers.

    Attributes
    ----------
    environment
        Environment of their processes; a server's own variables are added for its exec.
    cache
        Directory of installed packages.
    share_files
        Whether clients on this machine may hand over files, which takes the same system user.
    drain
        Seconds that running jobs get when a server is ended.
    """

    environment: Mapping[str, str]
    cache: Path
    share_files: bool = False
    drain: float = 10.0


class Generation:
    """The processes of one generation.

    They are started again in place when they end, so jobs and results stay. It is over if one
    of them never gets to work, or when it is told to end.

    Parameters
    ----------
    record
        Of the server, with the generation that this is.
    places
        Its files.
    options
        What is alike for all servers.
    changed
        Called whenever `observe` may tell something new.

    Attributes
    ----------
    parts
        Its processes by name, in the order of their starts.
    failed
        The part because of which it is over, with the last lines of its log.
    """

    def __init__(
        self, record: Record, places: Places, options: Options, changed: Callable[[], None]
    ) -> None:
        self.id = f"{record.generation}-{secrets.token_hex(4)}"
        self.number = record.generation
        self.places = places
        self.parts: dict[str, Part] = {}
        self.failed: tuple[str, list[str]] | None = None
        self._spec = record.spec
        self._options = options
        self._changed = changed
        self._keepers: dict[str, Keeper] = {}
        self._cause: Cause | None = None
        self._proved = self._over = False
        self._told: float | None = None
        self._ending: asyncio.Task[None] | None = None
        self._credential: Credential | None = None

    # ------------------------------------------------------------------------- it starts

    def start(self, credential: Callable[[], Credential]) -> None:
        """Start its processes.

        Raises
        ------
        OSError
            If its files cannot be made.
        """
        places = self.places
        for directory in (places.keys, places.state, places.logs):
            private_directory(directory)
        if self._spec.requirements_digest:
            self._keep("environment", self._installer(), announces=False, again=False)
        else:
            self._start_exec()
        # Making it takes time, in which exec starts; or the packages are fetched.
        self._credential = made = credential()
        from rexec_jupyter.core.trust import (  # noqa: PLC0415 - it loads ZeroMQ
            KeyPair,
            write_keypair,
            write_private,
        )

        write_keypair(places.keys / "server", KeyPair(made.public, made.secret))
        write_private(places.keys / "certificate", made.certificate.encode())
        if not self._spec.requirements_digest:
            self._keep("agent", self._agent(made), announces=True)

    def _start_exec(self) -> None:
        self._keep("exec", self._exec(), announces=False, environment=self._spec.environment)

    def _keep(
        self,
        name: str,
        command: list[str],
        *,
        announces: bool,
        again: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        part = Part(
            name,
            command,
            self.places.logs / f"{name}.log",
            {
                "HOME": str(self.places.work),
                **self._options.environment,
                **(environment or {}),
            },
            announces=announces,
        )
        self.parts[name] = part
        self._keepers[name] = keeper = Keeper(part, self._look, again=again)
        keeper.start()

    def _installer(self) -> list[str]:
        requirements = self.places.keys.parent / "requirements.txt"
        requirements.write_text("".join(f"{line}\n" for line in self._spec.requirements))
        command = ["rexec_server", "environment", "--requirements", str(requirements)]
        return module_command(*command, *self._environment("--digest"))

    def _environment(self, option: str) -> list[str]:
        spec = self._spec
        if not spec.requirements_digest:
            return []
        python = ["--python", spec.python] if spec.python else []
        return ["--cache", str(self._options.cache), option, spec.requirements_digest, *python]

    def _exec(self) -> list[str]:
        return module_command(
            *("rexec_server", "exec", "--handoff", str(self.places.handoff)),
            *("--directory", str(self.places.work), "--workers", str(self._slots)),
            *("--memory", str(self._spec.memory)),
            *self._environment("--environment"),
        )

    def _agent(self, credential: Credential) -> list[str]:
        places, options = self.places, self._options
        return module_command(
            *("rexec_server", "agent", "--broker", credential.broker),
            *("--broker-key", credential.broker_key),
            *("--curve-key-file", str(places.keys / "server")),
            *("--certificate-file", str(places.keys / "certificate")),
            *("--directory", str(places.state), "--handoff", str(places.handoff)),
            *(["--share-files"] if options.share_files else []),
            *("--slots", str(self._slots), "--drain-grace", str(options.drain)),
            "--no-fsync",  # what ends the machine also ends the server
        )

    @property
    def _slots(self) -> int:
        return max(1, math.ceil(self._spec.cpu)) if self._spec.cpu else os.cpu_count() or 1

    # --------------------------------------------------------------------------- it runs

    @property
    def alive(self) -> bool:
        """Whether something of it runs, or will."""
        return not self._over

    @property
    def steady(self) -> bool:
        """Whether the broker welcomed its agent, and its exec does not just fail to start."""
        agent, runner = self.parts.get("agent"), self.parts.get("exec")
        if agent is None or runner is None or self._told is not None:
            return False
        if not (agent.ready and runner.ready):
            return False
        return not runner.failures or self._proved or runner.lived(time.monotonic()) > _PROVED

    def observe(self) -> Observed:
        """Return what is to be seen of it."""
        phase: Literal["installing", "starting", "running", "ended"] = "starting"
        if self._over:
            phase = "ended"
        elif "agent" not in self.parts:
            phase = "installing" if "environment" in self.parts else "starting"
        elif self.steady:
            self._proved = True
            phase = "running"
        runner = self.parts.get("exec")
        return Observed(
            id=self.id,
            generation=self.number,
            phase=phase,
            cause=self._cause,
            leaving=-1.0 if self._told is None else time.monotonic() - self._told,
            restarts=max(0, runner.starts - 1) if runner else 0,
        )

    def turn_over(self) -> None:
        """Keep its logs from growing for ever."""
        for part in self.parts.values():
            turn_over(part.log)

    def _look(self, keeper: Keeper) -> None:
        """Take note that a part is ready, or ended."""
        part = keeper.part
        if part.process is None and self._told is None and self._ending is None:
            self._ended(part)
        elif self.steady:
            self._proved = True
        self._changed()

    def _ended(self, part: Part) -> None:
        if part.name == "environment":
            if part.code == 0:
                self._installed()
            else:
                self._give_up(part, self._not_installed(part))
            return
        _log.warning("%s of a server ended with %s", part.name, part.code)
        cause = _cause(part, working=self._proved and part.code not in {_USAGE, _EXPLAINED})
        # What is not understood, or not there, will not be the next time.
        senseless = part.code in {_USAGE, _EXPLAINED} and part.age < _WORKED
        if senseless or (part.failures >= HOPELESS and not self._proved):
            self._give_up(part, cause)
        elif part.name == "exec" and self._proved:
            self._cause = cause

    def _installed(self) -> None:
        if self._credential is not None:
            self._start_exec()
            self._keep("agent", self._agent(self._credential), announces=True)

    def _not_installed(self, part: Part) -> Cause:
        if (told := _explained(part)) is not None:
            return told
        text = f"The packages were not installed: {_last_line(part) or _ending(part.code)}"
        return Cause("package", text, _INSTALL_HINT, final=part.code != _KILLED)

    def _give_up(self, part: Part, cause: Cause) -> None:
        self._cause = cause
        self.failed = (part.name, part.last_words(_WORDS))
        for keeper in self._keepers.values():
            keeper.hold()
        self._ending = asyncio.get_running_loop().create_task(self._end(kindly=False))

    # --------------------------------------------------------------------------- it ends

    def leave(self, done: Callable[[Generation], None]) -> None:
        """Have it end in good order, unless that was asked for already.

        Parameters
        ----------
        done
            Called when nothing is left of it.
        """
        if self._told is not None:
            return
        self._told = time.monotonic()
        before = self._ending

        async def go() -> None:
            if before is not None:
                await before
            await self._end(kindly=True)
            self.remove()
            done(self)

        self._ending = asyncio.get_running_loop().create_task(go())
        self._changed()

    async def gone(self) -> None:
        """Wait until what was told to end has."""
        if self._ending is not None:
            await asyncio.shield(self._ending)

    async def end(self) -> None:
        """End it in good order; its files stay."""
        self._told = self._told or time.monotonic()
        if self._ending is not None:
            await asyncio.shield(self._ending)
        await self._end(kindly=True)

    async def _end(self, *, kindly: bool) -> None:
        for keeper in self._keepers.values():
            keeper.hold()
        # Exec last: the agent brings to an end what runs there.
        for name in ("environment", "agent", "exec"):
            if name in self._keepers:
                grace = self._options.drain + _MARGIN if name == "agent" else _MARGIN
                await self._keepers[name].end(grace, kindly=kindly)
        self._over = True
        self._changed()

    def remove(self) -> None:
        """Remove its files."""
        for path in self.places.own:
            shutil.rmtree(path, ignore_errors=True)


def _cause(part: Part, *, working: bool) -> Cause:
    """Tell why a part ended, in words for the owner of the server."""
    what = "What runs your code" if part.name == "exec" else "The server's agent"
    if part.code == _KILLED and part.name == "exec":
        return Cause(
            "memory",
            f"{what} was killed, as happens when memory runs out.",
            "Its variables are lost; use less memory at a time, or ask for a larger server.",
        )
    if working:
        return Cause("crash", f"{what} ended ({_ending(part.code)}) and was started again.", _LOST)
    return _explained(part) or Cause(
        "configuration" if part.code == _USAGE else "crash",
        f"{what} ends as soon as it starts: {_last_line(part) or _ending(part.code)}",
        "Its log tells more.",
        final=True,
    )


def _explained(part: Part) -> Cause | None:
    """Return the cause that it told in its last words, as JSON; None if it did not."""
    if part.code != _EXPLAINED:
        return None
    try:
        told = msgspec.json.decode(_last_line(part), type=Cause)
    except msgspec.MsgspecError:
        return None
    return msgspec.structs.replace(told, hint=told.hint or _INSTALL_HINT, final=True)


def _last_line(part: Part) -> str:
    return next((line for line in reversed(part.last_words()) if line.strip()), "")


def _ending(code: int | None) -> str:
    if code is None:
        return "it cannot be started"
    return f"signal {-code}" if code < 0 else f"code {code}"
