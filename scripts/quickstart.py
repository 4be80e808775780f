"""Run a notebook from end to end, tell cell by cell how it went, and leave its file alone."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config


def run(path: Path, timeout: int, patience: float) -> int:
    """Execute the notebook at `path`; return the exit status."""
    notebook = nbformat.read(path, as_version=4)
    os.environ.setdefault("REXEC_NONINTERACTIVE", "1")
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    began = cell_began = time.monotonic()
    slow: list[str] = []

    def tell(cell: nbformat.NotebookNode, **_: object) -> None:
        nonlocal cell_began
        now = time.monotonic()
        first_line = next((line for line in cell.source.splitlines() if line.strip()), "")
        line = f"{now - cell_began:6.1f} s  {first_line[:80]}"
        print(line, flush=True)
        if now - cell_began > patience:
            slow.append(line)
        cell_began = now

    print(f"Running the {cells} cells of {path} ...", flush=True)
    with tempfile.TemporaryDirectory() as sockets:
        client = NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            resources={"metadata": {"path": str(path.parent)}},
            on_cell_executed=tell,
            # Private sockets: over TCP the kernel would begin with a warning.
            config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"}),
        )
        try:
            client.execute()
        except CellExecutionError as error:
            print(f"\n{error}", file=sys.stderr)
            return 1
    if slow:
        print(f"\nThese took more than {patience:g} s:", *slow, sep="\n", file=sys.stderr)
        return 1
    print(f"All of them ran, in {time.monotonic() - began:.1f} s. To try them yourself: make lab")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--timeout", type=int, default=120, help="seconds allowed to one cell")
    parser.add_argument(
        "--patience", type=float, default=float("inf"), help="seconds that no cell may exceed"
    )
    options = parser.parse_args()
    sys.exit(run(options.notebook, options.timeout, options.patience))
