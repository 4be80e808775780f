"""Where settings come from, and which of them wins.

The strongest first: what ``%rexec config`` set in this process, the notebook's metadata (key
``rexec``), the magics' configuration (``%config RexecMagics.timeout = "5m"`` and files named
``rexec_config.py``), the user's file ``config.toml``, environment variables ``REXEC_TIMEOUT``
and so on, and what is built in. What stands on a line beats all of them.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from rexec_jupyter.core.defaults import SETTINGS, Defaults, Setting
from rexec_jupyter.core.errors import NotConfiguredError

BUILT_IN = "built in"
COMMAND = "%rexec config"
NOTEBOOK = "notebook metadata"
MAGICS = "RexecMagics"
ENVIRONMENT = "environment"

# A notebook that somebody sent must not lead data elsewhere.
_NOT_BY_NOTEBOOK = frozenset(("url", "aliases"))
_Layer = dict[str, Any]


class SettingError(ValueError):
    """A setting that does not exist, or a value that it cannot have; one line for people."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" with the known word most like this one, or nothing."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]}?" if matches else ""


def find(name: str) -> Setting:
    """Return what is known of a setting; ``-`` counts as ``_``.

    Raises
    ------
    SettingError
        If there is none of that name.
    """
    setting = SETTINGS.get(name.strip().replace("-", "_"))
    if setting is None:
        raise SettingError(f"there is no setting {name!r}{nearest(name, SETTINGS)}")
    return setting


def parse(name: str, value: object) -> Any:
    """Return the value of a setting from text, or from a number, a truth value or a list.

    Raises
    ------
    SettingError
        If it cannot have that value.
    """
    setting = find(name)
    match value:
        case None | bool():
            text = str(value).lower()
        case list() | tuple():
            text = ",".join(map(str, value))
        case _:
            text = str(value)
    try:
        return setting.read(text)
    except ValueError as error:
        raise SettingError(f"{setting.name}: {error}") from None


def folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the user's configuration; ``REXEC_CONFIG_DIR`` moves it."""
    if own := environment.get("REXEC_CONFIG_DIR"):
        return Path(own)
    base = environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "rexec"


class Settings:
    """The settings of a process.

    Parameters
    ----------
    environment
        Environment variables.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._command: _Layer = {}
        self._magics: _Layer = {}
        self._watched = _Watched(_read_file), _Watched(_read_notebook)

    @property
    def path(self) -> Path:
        """The user's file."""
        return folder(self._environment) / "config.toml"

    def now(self) -> Defaults:
        """Return the settings in force.

        Raises
        ------
        NotConfiguredError
            If one that somebody made cannot be understood; tells where it stands.
        """
        values = {SETTINGS[name].attribute: value for name, value in self._all().items()}
        return Defaults(**values)

    def effective(self) -> dict[str, tuple[Any, str]]:
        """Return value and source of every setting; else as `now`."""
        told = {name: (setting.default, BUILT_IN) for name, setting in SETTINGS.items()}
        for source, layer in self._layers():
            told |= {name: (value, source) for name, value in layer.items()}
        return told

    def set(self, name: str, value: object, *, save: bool = False) -> Any:
        """Set one for this process, and with `save` in the user's file too.

        Parameters
        ----------
        name
            Name of the setting.
        value
            As people write it. None: no longer set here.

        Returns
        -------
        object
            The value now in force.

        Raises
        ------
        SettingError
            If there is no such setting, or it cannot have that value.
        """
        setting = find(name)
        if value is None and setting.default is not None:
            self.unset(name, save=save)
        else:
            parsed = parse(setting.name, value)
            self._command[setting.name] = parsed
            if save:
                _save(self.path, setting.name, setting.write(parsed))
                # From now on what anybody saves holds here too, unless something is in the way.
                del self._command[setting.name]
                if getattr(self.now(), setting.attribute) != parsed:
                    self._command[setting.name] = parsed
        return getattr(self.now(), setting.attribute)

    def unset(self, name: str, *, save: bool = False) -> None:
        """Make one as if it had never been set in this process; else as `set`."""
        setting = find(name)
        self._command.pop(setting.name, None)
        if save:
            _save(self.path, setting.name, None)

    def configure(self, values: Mapping[str, Any]) -> None:
        """Take what the magics are configured with, in place of what it was before.

        Raises
        ------
        SettingError
            As for `set`.
        """
        self._magics = {find(name).name: parse(name, value) for name, value in values.items()}

    def saved(self, name: str) -> Any:
        """Return what the user's file says, None if nothing; else as `now`."""
        return self._watched[0].read(self.path).get(name)

    def beside_file(self, name: str) -> tuple[Any, Any]:
        """Return what is set here with more weight than the user's file, and with less.

        None where nothing is. For settings that no notebook may set.

        Raises
        ------
        NotConfiguredError
            As for `now`.
        """
        more, less = self._magics | self._command, self._from_environment((name,))
        return more.get(name), less.get(name)

    def _all(self) -> _Layer:
        merged: _Layer = {}
        for _, layer in self._layers():
            merged |= layer
        return merged

    def _layers(self) -> list[tuple[str, _Layer]]:
        """Return sources and what they set, the weakest first."""
        file, notebook = self._watched
        path = self.path
        session = self._environment.get("JPY_SESSION_NAME", "")
        return [
            (ENVIRONMENT, self._from_environment()),
            (str(path), file.read(path)),
            (MAGICS, self._magics),
            (NOTEBOOK, notebook.read(Path(session)) if session.endswith(".ipynb") else {}),
            (COMMAND, self._command),
        ]

    def _from_environment(self, names: Iterable[str] = SETTINGS) -> _Layer:
        layer = {}
        for name in names:
            variable = f"REXEC_{name.upper()}"
            if text := self._environment.get(variable):
                layer[name] = _understood(name, text, f"The environment variable {variable}")
        return layer


class _Watched:
    """What stands in a file, read again when it changed."""

    def __init__(self, read: Callable[[Path], _Layer]) -> None:
        self._read = read
        self._state: tuple[str, int, int] | None = None
        self._layer: _Layer = {}

    def read(self, path: Path) -> _Layer:
        try:
            info = path.stat()
        except OSError:
            return {}
        state = (str(path), info.st_mtime_ns, info.st_size)
        if state != self._state:
            self._layer = self._read(path)
            self._state = state
        return self._layer


def _understood(name: str, value: object, where: str) -> Any:
    try:
        return parse(name, value)
    except SettingError as error:
        raise NotConfiguredError(f"{where} cannot be understood: {error}.") from None


def _read_file(path: Path) -> _Layer:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotConfiguredError(
            f"The file {path} cannot be read: {error}.", hint="Correct or delete it."
        ) from None
    where = f"The setting {{!r}} in {path}"
    return {name: _understood(name, value, where.format(name)) for name, value in found.items()}


class _Metadata(msgspec.Struct):
    rexec: Any = None


class _Notebook(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


def _read_notebook(path: Path) -> _Layer:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Notebook).metadata.rexec
    except (OSError, msgspec.MsgspecError):
        return {}  # what kind of notebook it is is not for us to judge
    if not isinstance(found, dict):
        return {}
    for name in found.keys() & _NOT_BY_NOTEBOOK:
        raise NotConfiguredError(
            f"The notebook's metadata may not set {name!r}: notebooks are passed on.",
            hint=f"Take it out, and use `%rexec config {name} VALUE` instead.",
        )
    where = "The setting {!r} in the notebook's metadata"
    return {name: _understood(name, value, where.format(name)) for name, value in found.items()}


def _save(path: Path, name: str, text: str | None) -> None:
    """Write one setting, and leave the rest of the file as somebody wrote it."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    line = "" if text is None else f"{name} = {json.dumps(text, ensure_ascii=False)}\n"
    entry = re.compile(rf"^\s*{re.escape(name)}\s*=.*\n?", re.MULTILINE)
    after, found = entry.subn(lambda _: line, before, count=1)
    if not found:
        after = line + before
    tomllib.loads(after)  # a value over several lines, which this cannot replace
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(after)
    new.replace(path)


@cache
def current() -> Settings:
    """Return the settings of this process."""
    return Settings()
