"""Which Python a kernel has, and whether it can run the embedded backend."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, NamedTuple, Self

from jupyter_client.kernelspec import KernelSpec, NoSuchKernel
from jupyter_core.utils import ensure_async
from jupyter_server.gateway.gateway_client import GatewayClient

from rexec_jupyter._version import __version__
from rexec_jupyter.core.errors import StartError
from rexec_jupyter.labapp.problems import RefusedError

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.multikernelmanager import MultiKernelManager

_SECONDS = 5.0
_PYTHON = re.compile(r"python(\d+(\.\d+)*t?)?")
# As jupyter_client has it: these are the Python that the Jupyter server runs on.
_BARE = {"python", f"python{sys.version_info[0]}", "python{}.{}".format(*sys.version_info[:2])}
_LAUNCHERS = {"ipykernel", "ipykernel_launcher", "xpython", "xpython_launcher"}
_INSTEAD = "The first %%rexec cell of a notebook starts the backend too, with the notebook's Python"
_QUESTION = """\
try:
    from rexec_jupyter._version import __version__ as version
except ImportError:
    version = ""
print("\\nrexec:" + version)
"""


class Python(NamedTuple):
    """An interpreter, and the environment variables that it is to have."""

    path: str
    environment: Mapping[str, str]

    @classmethod
    def own(cls) -> Self:
        """Return that of this process."""
        return cls(sys.executable, os.environ)


class Pythons:
    """Finds and checks them.

    Parameters
    ----------
    specs, kernels
        What the Jupyter server knows of kernels, and what starts them.
    pool
        Threads for what has to be waited for.
    """

    def __init__(
        self, specs: KernelSpecManager, kernels: MultiKernelManager, pool: ThreadPoolExecutor
    ) -> None:
        self._specs = specs
        self._kernels = kernels
        self._pool = pool

    async def of_kernel(self, name: str) -> Python:
        """Return the Python of a kernel, which can run the backend.

        It is that of the Jupyter server for what is no kernel of Python, or runs elsewhere.

        Parameters
        ----------
        name
            Of the kernel spec; empty for the one of new notebooks.

        Raises
        ------
        RefusedError
            If there is no such kernel.
        StartError
            If nobody can tell, or it has not this version of rexec.
        """
        if GatewayClient.instance().gateway_enabled:
            return Python.own()
        name = name or self._kernels.default_kernel_name
        try:
            spec = await ensure_async(self._specs.get_kernel_spec(name))
        except NoSuchKernel:
            raise RefusedError(
                404, f"There is no kernel {name!r} (any more).", "Choose another for the notebook."
            ) from None
        python = python_of(spec)
        await self.check(python, f"the Python of the kernel “{spec.display_name}”")
        return python

    async def check(self, python: Python, what: str) -> None:
        """Look whether a Python has this version of rexec.

        Parameters
        ----------
        what
            What it is, for people.

        Raises
        ------
        StartError
            If it has not.
        """
        if not is_own(python.path):
            await asyncio.get_running_loop().run_in_executor(self._pool, _check, python, what)


def python_of(spec: KernelSpec) -> Python:
    """Return the Python that a kernel spec names; this one if it is none of Python.

    Raises
    ------
    StartError
        If it does not tell, or there is no such program.
    """
    if spec.language.lower() != "python":
        return Python.own()
    # As jupyter_client has it, too.
    more = {name: Template(value).safe_substitute(os.environ) for name, value in spec.env.items()}
    environment = os.environ | more
    places = {"{prefix}": sys.prefix, "{resource_dir}": spec.resource_dir}
    argv = [re.sub(r"\{\w+\}", lambda found: places.get(found[0], found[0]), w) for w in spec.argv]
    word = _word(argv)
    if word and word == argv[0] and word in _BARE:
        return Python(sys.executable, environment)
    # Within another program, a name without a path may be anything.
    if not word or (word != argv[0] and not Path(word).is_absolute()):
        raise StartError(
            f"The kernel “{spec.display_name}” is started by {' '.join(argv[:1]) or 'nothing'}, "
            "which does not tell with which Python.",
            hint=f"{_INSTEAD}.",
        )
    found = shutil.which(word, path=environment.get("PATH"))
    if found is None:
        raise StartError(
            f"{word}, the Python of the kernel “{spec.display_name}”, is not there.",
            hint="Install the kernel again, or choose another for the notebook.",
        )
    return Python(str(Path(found).absolute()), environment)


def _word(argv: list[str]) -> str:
    """Return the word that is the interpreter; empty if there is none."""
    for at, (option, module) in enumerate(pairwise(argv)):
        if option == "-m" and module in _LAUNCHERS:
            before = [word for word in argv[:at] if _PYTHON.fullmatch(Path(word).name)]
            return before[-1] if before else ""
    return argv[0] if argv and _PYTHON.fullmatch(Path(argv[0]).name) else ""


def is_own(python: str) -> bool:
    """Tell whether an interpreter is the one that this process runs on."""

    # Environments have links to the same program: where the link is makes the difference.
    def same(path: str) -> tuple[str, str]:
        return os.path.realpath(path), os.path.realpath(Path(path).parent)

    return same(python) == same(sys.executable)


def _check(python: Python, what: str) -> None:
    path = python.path
    try:
        done = subprocess.run(
            [path, "-c", _QUESTION],
            cwd="/",
            env=python.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        told = f"{path}, {what}, did not answer within {_SECONDS:g} s."
        raise StartError(told, hint=f"Try again. {_INSTEAD}.") from None
    except (OSError, subprocess.CalledProcessError) as error:
        why = error.strerror if isinstance(error, OSError) else f"it ended with {error.returncode}"
        told = f"{path}, {what}, cannot be run: {why}."
        raise StartError(told, hint="Repair or make anew what it is installed in.") from None
    version = done.stdout.decode(errors="replace").rpartition("rexec:")[2].strip()
    pip = f"{shlex.quote(path)} -m pip install rexec-jupyter"
    if not version:
        told = f"{path}, {what}, has no rexec."
        raise StartError(told, hint=f"Install it there: `{pip}`.")
    if version != __version__:
        raise StartError(
            f"{path}, {what}, has rexec {version}, and the Jupyter server {__version__}.",
            hint=f"Have the same there: `{pip}=={__version__}`.",
        )
