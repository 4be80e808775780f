"""The server extension behind the panel in JupyterLab: ``rexec_jupyter.labapp``."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from rexec_jupyter.labapp.extension import RexecPanel  # noqa: PLC0415 - only in such servers

    return [{"module": "rexec_jupyter.labapp", "app": RexecPanel}]
