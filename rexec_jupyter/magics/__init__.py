"""The notebook face: ``%%rexec``, ``%rexec`` and ``%rx``."""

from rexec_jupyter.magics.extension import load_ipython_extension, unload_ipython_extension

__all__ = ["load_ipython_extension", "unload_ipython_extension"]
