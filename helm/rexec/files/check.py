"""Use the installation as a notebook does: log in, have a server, run a cell, end the server.

`helm test` runs it in the image of the servers, which has the client of the broker. It reaches
all parts at their names in the cluster.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from rexec_jupyter import _connect
from rexec_jupyter.core.backend import Address

EP_API = os.environ["EP_API"]
DEPLOY_API = os.environ["DEPLOY_API"]
BROKER = os.environ["BROKER"]
TOKEN = os.environ.get("TOKEN", "")
PROFILE = os.environ.get("PROFILE", "")
END = time.monotonic() + float(os.environ["PATIENCE"])
NAME = "helm-test"
CELL = "total = 6 * 7\nprint('the cell says', total)"
GONE = ("stopped", "failed")


def ask(
    method: str, url: str, content: object = None, accepted: tuple[int, ...] = (200,)
) -> tuple[int, Any]:
    """Return what is answered; the status alone if that is none of those accepted."""
    headers = {"Accept": "application/json"}
    if TOKEN:
        headers["Authorization"] = f"Bearer {TOKEN}"
    body = None
    if content is not None:
        body = json.dumps(content).encode()
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - the chart's
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            status, told = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, told = error.code, error.read()
    if status not in accepted:
        raise SystemExit(f"{method} {url}: {status} {told.decode(errors='replace')[:500]}")
    return status, json.loads(told or b"null")


def patiently(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition holds; return what it returned."""
    last = None
    while time.monotonic() < END:
        try:
            if found := condition():
                return found
        except (OSError, SystemExit) as error:
            last = error
        time.sleep(0.5)
    raise SystemExit(f"{what}: not within the time that test.timeout gives ({last})")


def ready(url: str) -> None:
    """Wait until a part says that it can serve."""
    patiently(lambda: ask("GET", f"{url}/ready"), f"{url} gets ready")
    print(f"{url} is ready", flush=True)


class Backend:
    """The broker as `rexec_jupyter` sees it, found without an endpoint."""

    description = "the installation"
    progress = ""

    def __init__(self) -> None:
        self._secret = bytes(32)

    async def locate(self) -> Address:
        """Tell where the broker is."""
        _, told = ask("GET", f"{DEPLOY_API}/broker-config")
        return Address(BROKER, told["curve_public_key"])

    async def revive(self) -> None:
        """Leave a server that ended alone."""

    async def ticket(self, key: str) -> tuple[str, float]:
        """Return a ticket."""
        asked = {"client_pubkey": key, "session": NAME}
        _, told = ask("POST", f"{DEPLOY_API}/v1/tickets", asked)
        self._secret = bytes.fromhex(told["job_secret"])
        return told["ticket"], told["expires_in"]

    async def close(self) -> None:
        """Hold nothing."""

    def job_secret(self) -> bytes:
        """Return the user's secret."""
        return self._secret


def state() -> dict[str, Any] | None:
    """Return the state of the server; nothing if there is none."""
    status, told = ask("GET", f"{DEPLOY_API}/v1/servers/{NAME}", accepted=(200, 404))
    return told if status == 200 else None


def became_ready() -> bool:
    """Tell whether the server is ready; end if it cannot be."""
    told = state()
    if told and told["state"] == "failed":
        print(f"the server failed: {told.get('cause')}", file=sys.stderr, flush=True)
        sys.exit(1)
    return bool(told) and told["state"] == "ready"


def run_a_cell() -> None:
    """Have a server, run a cell on it, and end it."""
    server = f"{DEPLOY_API}/v1/servers"
    ask("POST", server, {"name": NAME, "profile": PROFILE}, accepted=(200, 201, 202))
    try:
        patiently(became_ready, "the server gets ready")
        print("the server is ready", flush=True)
        client = _connect.connect_to(Backend(), timeout=60)
        try:
            session = client.session(NAME)
            session.run_cell(CELL)
            session.run_cell("assert total == 42")
        finally:
            client.close()
        print("a cell ran", flush=True)
    finally:
        ask("DELETE", f"{server}/{NAME}", accepted=(200, 202, 204, 404))
    patiently(lambda: (state() or {"state": "stopped"})["state"] in GONE, "the server ends")
    print("the server is gone", flush=True)


def main() -> None:
    """Do all of it, as far as there is a token."""
    if EP_API:
        ready(EP_API)
    ready(DEPLOY_API)
    if not TOKEN:
        print("No token: set test.tokenSecret to have a server started too. All parts answer.")
        return
    if EP_API:
        _, user = ask("GET", f"{EP_API}/user/info")
        print(f"logged in as {user.get('sub')}, {user.get('effective_role')}", flush=True)
    if BROKER:
        run_a_cell()
    print("All is well.")


if __name__ == "__main__":
    main()
