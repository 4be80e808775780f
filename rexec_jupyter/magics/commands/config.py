"""``%rexec config`` and ``panel``: the settings, and everything at a glance."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from rexec_jupyter.core.defaults import SETTINGS
from rexec_jupyter.core.settings import SettingError, find
from rexec_jupyter.magics.commands.command import Command, Shown, arg
from rexec_jupyter.magics.secrets import looks_secret
from rexec_jupyter.widget.table import Column, Table

if TYPE_CHECKING:
    from rexec_jupyter.magics.commands.desk import Desk

_UNSET = "default"
_COLUMNS = (
    Column("setting", "setting"),
    Column("value", "value"),
    Column("source", "from"),
    Column("meaning", "meaning"),
)


def _config(desk: Desk, given: argparse.Namespace) -> Table:
    if given.key and looks_secret(given.key):
        raise UsageError(
            "%rexec config: no secret may be a setting, nor stand on a line; use %rexec login"
        )
    words = given.value
    if len(words) > 1:
        raise UsageError("%rexec config: one value only; put quotation marks around spaces")
    try:
        if words:
            if words[0] == _UNSET:
                desk.settings.unset(given.key, save=given.save)
            else:
                desk.settings.set(given.key, words[0], save=given.save)
        elif given.save:
            raise UsageError("%rexec config: --save needs KEY and VALUE")
        chosen = [find(given.key).name] if given.key else list(SETTINGS)
    except (SettingError, OSError) as error:
        raise UsageError(f"%rexec config: {error}") from None
    effective = desk.settings.effective()
    rows = [_row(name, *effective[name]) for name in chosen]
    saved = f"Saved in {desk.settings.path}." if given.save else ""
    return Table(rows, _COLUMNS, note=saved)


def _row(name: str, value: object, source: str) -> dict[str, object]:
    setting = SETTINGS[name]
    return {
        "setting": name,
        "value": setting.write(value),
        "source": source,
        "meaning": setting.doc,
    }


def _panel(desk: Desk, _given: argparse.Namespace) -> Shown:
    from rexec_jupyter.magics.commands.panel import Panel  # noqa: PLC0415 - seldom used

    return Panel(desk)


COMMANDS = (
    Command(
        "config",
        "config",
        "show the settings, or one; or set one for this notebook",
        _config,
        (
            arg("key", nargs="?", default="", metavar="KEY", help="a setting"),
            arg("value", nargs="*", metavar="VALUE", help="its value; default: as if never set"),
            arg("--save", action="store_true", help="keep it for all notebooks, in your own file"),
        ),
        completes="setting",
    ),
    Command(
        "panel",
        "config",
        "show sessions and jobs in one place, kept up to date where widgets can be shown",
        _panel,
    ),
)
