#!/bin/sh
# Makes what the image of a service holds. Run in stages of their own, whose results are copied:
# a change of the code leaves the layer with the packages as it is.
#   image.sh packages FILE...   /opt/rexec: an environment with exactly these requirements
#   image.sh rexec DIRECTORY    /own: rexec from its source there, to be laid over /opt/rexec,
#                               without its dependencies, which are those of a notebook
set -eu
VENV=/opt/rexec
OWN=/own
export PYTHONDONTWRITEBYTECODE=1 # but by compileall

install() { # never into the environment itself: nothing there installs anything
    python3 -m pip --python "$VENV/bin/python3" install --no-compile --no-deps "$@"
}

# finish DIRECTORY [OPTION...]: with bytecode, and without a trace of when it was made. The bytecode
# is never checked against its source: neither changes, and looking costs time at every start.
finish() {
    directory=$1
    shift
    "$VENV/bin/python3" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$@" "$directory"
    find "$directory" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
}

python3 -m venv --without-pip "$VENV"
case "$1" in
packages)
    shift
    for file in "$@"; do
        install --requirement "$file"
    done
    rm -rf "$VENV"/bin/[Aa]ctivate*
    # Packages' own tests. Stubs stay: completion reads them.
    find "$VENV"/lib -type d \( -name tests -o -name test \) -not -path '*/jedi/*' \
        -not -path '*/_vendored/*' -prune -exec rm -rf {} +
    finish "$VENV"
    ;;
rexec)
    # Nobody looks at a service in JupyterLab: without the panel, and without Node.
    mkdir -p "$2/build/labextension"
    export SKIP_JUPYTER_BUILDER=1
    python3 -m venv /tmp/build
    /tmp/build/bin/python3 -m pip install --no-deps --requirement "$2/services/build-requirements.txt"
    /tmp/build/bin/python3 -m pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel "$2"
    install --no-index --root "$OWN" /tmp/wheel/*.whl
    rm -rf "$OWN$VENV/share" "$OWN$VENV/etc"
    # Official images come without the bytecode of the standard library, and where nothing can be
    # written every start would compile it anew.
    python3 - <<'CODE'
import compileall
import re
import shutil
import sys
import sysconfig
from pathlib import Path
from py_compile import PycInvalidationMode

library = Path(sysconfig.get_path("stdlib"))
unused = re.compile(
    r"/(test|tests|idlelib|lib2to3|turtledemo|ensurepip|pydoc_data|tkinter|__pycache__"
    r"|site-packages|dist-packages|config-[^/]*)/"
)
if not list(library.glob("__pycache__/*.pyc")):
    compileall.compile_dir(
        library, quiet=1, rx=unused, workers=0, force=True,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    for cache in library.rglob("__pycache__"):
        shutil.copytree(cache, Path("/own") / cache.relative_to("/"), dirs_exist_ok=True)
CODE
    finish "$OWN" -s "$OWN" -p /
    ;;
esac
