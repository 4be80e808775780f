"""``python -m rexec_jupyter.core.bound PARENT MODULE …``: a module that ends with its parent.

The process asks for that itself, before it does anything else. Its parent could not see to it
between fork and exec without running Python code there, which is not safe beside threads.
"""

from __future__ import annotations

import runpy
import sys

from rexec_jupyter.core.startup import die_with


def main() -> None:
    """Run the module as ``python -m MODULE …`` would, until the parent ends."""
    _, parent, module, *arguments = sys.argv
    die_with(int(parent))
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
