"""Print where Binder starts the demo as it is in this commit, and the badge that leads there.

Usage: python scripts/binder_link.py [--remote NAME] [--service URL] [--ref REF] [--markdown]

The address of the repository is that of its remote, so a fork gets a link of its own.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from urllib.parse import quote, urlsplit

NOTEBOOK = "examples/demo.ipynb"
BADGE = "docs/binder.svg"
_SHORT = re.compile(r"(?:[\w.-]+@)?([\w.-]+):/?([^/].*)")


class NoAddressError(Exception):
    """There is nothing that Binder could fetch; the text says why."""


def public(remote: str) -> str:
    """Return the address of a remote as anybody can fetch it, without a name or a password.

    Raises
    ------
    NoAddressError
        If nobody else can.
    """
    short = _SHORT.fullmatch(remote) if "://" not in remote else None
    parts = urlsplit(f"ssh://{short[1]}/{short[2]}" if short else remote)
    if parts.scheme not in ("http", "https", "ssh") or not parts.hostname:
        raise NoAddressError(f"Binder cannot fetch {remote!r}: that is no address on the web")
    port = f":{parts.port}" if parts.port and parts.scheme != "ssh" else ""
    scheme = "https" if parts.scheme == "ssh" else parts.scheme
    return f"{scheme}://{parts.hostname}{port}{parts.path}".rstrip("/")


def link(remote: str, ref: str, service: str) -> str:
    """Return the address that starts the demo."""
    address = public(remote)
    host, path = urlsplit(address).netloc, urlsplit(address).path.strip("/").removesuffix(".git")
    if host == "github.com":
        where = f"gh/{path}"
    elif host == "gitlab.com":
        where = f"gl/{quote(path, safe='')}"
    else:
        where = f"git/{quote(address, safe='')}"
    return f"{service.rstrip('/')}/v2/{where}/{quote(ref, safe='')}?urlpath=lab/tree/{NOTEBOOK}"


def git(*arguments: str) -> str:
    """Run git; return what it wrote, or nothing if it failed."""
    done = subprocess.run(
        ["git", *arguments],  # noqa: S607 - whichever the user has
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def main() -> int:
    """Print the link; return the exit status."""
    parser = argparse.ArgumentParser(description="Print where Binder starts the demo.")
    parser.add_argument("--remote", default="origin", help="of git, or an address")
    parser.add_argument("--ref", default="", help="tag, branch or commit; this commit by default")
    parser.add_argument("--service", default="https://mybinder.org")
    parser.add_argument("--markdown", action="store_true", help="the badge, with its link")
    options = parser.parse_args()
    # A tag or a commit never changes, so Binder builds the image for it once.
    ref = options.ref or git("describe", "--tags", "--exact-match") or git("rev-parse", "HEAD")
    address = git("remote", "get-url", options.remote) or options.remote
    try:
        found = link(address, ref, options.service)
    except NoAddressError as error:
        print(f"{error}. Push to a public place, or name one with --remote.", file=sys.stderr)
        return 1
    print(f"[![Start on Binder]({BADGE})]({found})" if options.markdown else found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
