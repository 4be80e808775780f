"""The magics' settings as IPython knows them: ``%config RexecMagics`` and configuration files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_core.paths import jupyter_config_path
from traitlets import TraitError, TraitType
from traitlets.config import Config, Configurable
from traitlets.config.loader import PyFileConfigLoader

from rexec_jupyter.core.defaults import SETTINGS, Setting
from rexec_jupyter.core.errors import NotConfiguredError
from rexec_jupyter.core.settings import SettingError, folder, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from IPython.core.interactiveshell import InteractiveShell

FILE = "rexec_config.py"
_SECTION = "RexecMagics"


class SettingTrait(TraitType[Any, Any]):
    """One setting; None where it is not set here.

    Parameters
    ----------
    setting
        Which one.
    """

    def __init__(self, setting: Setting) -> None:
        told = f"{setting.doc} (built in: {setting.write(setting.default) or 'empty'})"
        super().__init__(None, allow_none=True, help=told, config=True)
        self._setting = setting.name
        self.info_text = setting.doc

    def validate(self, _obj: object, value: object) -> Any:
        """Check a value."""
        try:
            return parse(self._setting, value)
        except SettingError as error:
            raise TraitError(str(error)) from None


_TRAITS = {setting.attribute: SettingTrait(setting) for setting in SETTINGS.values()}
_NAMES = {setting.attribute: setting.name for setting in SETTINGS.values()}


def configurable(
    shell: InteractiveShell, changed: Callable[[Mapping[str, Any]], None]
) -> Configurable:
    """Make the object behind ``%config RexecMagics``, with what files say about it.

    Parameters
    ----------
    shell
        The notebook's shell.
    changed
        Called at once and after every change with all that is set.

    Raises
    ------
    NotConfiguredError
        If a file cannot be understood.
    """
    kind = type(_SECTION, (Configurable,), {"__doc__": "Defaults of %%rexec.", **_TRAITS})
    config = _from_files(shell)
    config.merge(shell.config)
    try:
        made: Configurable = kind(parent=shell, config=config)
    except TraitError as error:
        raise NotConfiguredError(f"The configuration of {_SECTION} is wrong: {error}.") from None

    def tell(_change: object = None) -> None:
        values = ((name, getattr(made, attribute)) for attribute, name in _NAMES.items())
        changed({name: value for name, value in values if value is not None})

    tell()
    made.observe(tell, names=list(_NAMES))
    return made


def _from_files(shell: InteractiveShell) -> Config:
    """Read every ``rexec_config.py``; the most personal one wins."""
    folders = [Path(path) for path in reversed(jupyter_config_path())]
    profile = getattr(shell, "profile_dir", None)
    folders += [Path(profile.location)] if profile is not None else []
    config = Config()
    for path in [*folders, folder()]:
        if not (path / FILE).is_file():
            continue
        try:
            config.merge(PyFileConfigLoader(FILE, str(path)).load_config())
        except Exception as error:  # noqa: BLE001 - it is code, and may do anything
            raise NotConfiguredError(
                f"The file {path / FILE} cannot be read: {type(error).__name__}: {error}.",
                hint="Correct or delete it.",
            ) from None
    return config
