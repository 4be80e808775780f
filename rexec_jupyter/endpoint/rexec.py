"""Remote execution: where the endpoint says it is, and what the deploy API there is asked."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

from rexec_jupyter.endpoint import models as m
from rexec_jupyter.endpoint.address import base
from rexec_jupyter.endpoint.asking import ask, explained, reach, understood
from rexec_jupyter.endpoint.errors import InvalidError, NotUnderstoodError
from rexec_jupyter.endpoint.exchange import Method, Request, Steps
from rexec_jupyter.endpoint.feed import OVER

_PATH = "/rexec"
_MOST_WARNINGS, _LONGEST_WARNING = 10, 500
# Both go into the address that is connected to. A host is a name or an IP address.
_HOST = re.compile(r"[\w.-]{1,253}|[0-9A-Fa-f:.]{2,45}", re.ASCII)
_KEY = re.compile(r"[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")  # of CURVE, in Z85


class Broker(NamedTuple):
    """Where clients reach a broker.

    Attributes
    ----------
    key
        Its public CURVE key; "" if the deploy API tells none that can be one.
    """

    host: str
    port: str
    key: str


class Deployment(NamedTuple):
    """Address of a deploy API, and the token that it is asked with."""

    url: str
    token: str

    def __repr__(self) -> str:
        return f"<Deployment at {self.url}>"


class Ticket(NamedTuple):
    """A ticket, its validity in seconds, and the user's secret if the deploy API keeps one.

    ``warnings`` is what the user is to know of their servers, such as a near end.
    """

    token: str
    seconds: float
    job_secret: bytes
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Ticket for {self.seconds:g} s>"


# ------------------------------------------------------------------- as in ``ndp_ep``


def setup_rexec_environment(
    requirements: str | Path | Sequence[str],
    token: str | None = None,
    *,
    api_path: str = _PATH,
    force_reinstall: bool = False,
) -> Steps[m.Spawned]:
    """Have a server started that has what is required, and return what the deploy API says.

    Afterwards `rexec_jupyter.connect` with the endpoint's address uses it. So does
    ``remote_func`` of the package ``scidx-rexec`` if that is installed.

    Parameters
    ----------
    requirements
        Path of a requirements file, or its lines: ``["python==3.11", "numpy>=2"]``. Without a
        line for Python it is this one's version.
    token
        In place of the client's own.
    api_path
        Path of the deploy API below the address that the endpoint tells.
    force_reinstall
        Whether to replace a server with other requirements, and to end what runs there.
    """
    lines = read_requirements(requirements)
    deployment = yield from deploy_api(token, api_path=api_path)
    told = yield from spawn(deployment, lines, force=force_reinstall)
    broker = yield from broker_of(deployment)
    _configure_scidx(deployment, broker)
    return told


def terminate_rexec_environment(
    token: str | None = None, *, api_path: str = _PATH
) -> Steps[m.Spawned]:
    """End the user's server, and return what the deploy API says.

    Parameters
    ----------
    token
        In place of the client's own.
    api_path
        As for `setup_rexec_environment`.
    """
    deployment = yield from deploy_api(token, api_path=api_path)
    request = request_to("DELETE", deployment, "/terminate", form={}, token_in_form=True, slow=True)
    done: m.Spawned = yield from ask(request, "Failed to terminate Rexec environment")
    return done


# ------------------------------------------------------------------------- the deploy API


def deploy_api(token: str | None = None, *, api_path: str = _PATH) -> Steps[Deployment]:
    """Ask the endpoint where the deploy API is."""
    failing = "Failed to retrieve Rexec deployment endpoint"
    answer = yield from reach(Request("GET", "/status/rexec", token=token), failing)
    if not answer.ok:
        raise explained(answer, failing)
    told = understood(answer, failing)
    url = told.get("deployment_api_url")
    if not isinstance(url, str) or not url:
        raise NotUnderstoodError(
            "Rexec status endpoint did not provide 'deployment_api_url'.",
            hint="Whoever runs the endpoint has to configure where remote execution is.",
        )
    path = f"/{api_path.strip('/')}".rstrip("/")
    url = base(url, "deploy API")
    return Deployment(url if url.endswith(path) else url + path, answer.token)


def request_to(method: Method, deployment: Deployment, path: str, **details: Any) -> Request:
    """Return a request to a deploy API, with its token."""
    url = deployment.url + path
    return Request(method, url, token=deployment.token, trusted=True, **details)


def spawn(
    deployment: Deployment,
    requirements: Sequence[str],
    *,
    force: bool = False,
    profile: str = "",
) -> Steps[m.Spawned]:
    """Have a server started, unless there is one that has the same."""
    # The field is spelt as deploy APIs have always read it.
    form = {"requirments": list(requirements), "force_reinstall": str(force)}
    if profile:
        form["profile"] = profile
    request = request_to("POST", deployment, "/spawn", form=form, token_in_form=True, slow=True)
    told: m.Spawned = yield from ask(request, "Failed to start the Rexec environment")
    return told


def sessions(deployment: Deployment) -> Steps[list[str] | None]:
    """Return the user's sessions that have a server; None if the deploy API cannot tell."""
    request = request_to("GET", deployment, "/v1/sessions")
    failing = "Failed to list the sessions"
    answer = yield from reach(request, failing)
    if answer.status in (404, 405):
        return None
    if not answer.ok:
        raise explained(answer, failing)
    told = understood(answer, failing, list)
    return [
        str(each["name"])
        for each in told
        if isinstance(each, dict) and each.get("name") and each.get("state") not in OVER
    ]


def broker_of(deployment: Deployment) -> Steps[Broker]:
    """Ask the deploy API where the broker is."""
    request = request_to("GET", deployment, "/broker-config")
    told = yield from ask(request, "Failed to retrieve Rexec broker configuration")
    host = told.get("broker_external_host") or told.get("broker_addr")
    port = told.get("broker_external_port") or told.get("broker_port")
    if not (host and port):
        other_host, _, other_port = str(told.get("broker_external_url") or "").rpartition(":")
        host, port = host or other_host.rpartition("//")[2], port or other_port
    host, port = str(host).strip("[]"), str(port)
    if not (_HOST.fullmatch(host) and re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 2**16):
        raise NotUnderstoodError(
            f"The deploy API at {deployment.url} does not tell where its broker is.",
            hint="Whoever runs it has to configure the broker's address.",
        )
    key = told.get("curve_public_key")
    return Broker(host, port, key if isinstance(key, str) and _KEY.fullmatch(key) else "")


def ticket(deployment: Deployment, key: str) -> Steps[Ticket]:
    """Ask the deploy API for a ticket for the client that has this CURVE key."""
    asked = {"client_pubkey": key}
    request = request_to("POST", deployment, "/v1/tickets", json=asked, repeatable=True)
    told = yield from ask(request, "Failed to get a ticket for the broker")
    match told:
        case {"ticket": str(text), "expires_in": int() | float() as seconds} if seconds > 0:
            secret = _secret(told.get("job_secret"), request.path)
            return Ticket(text, float(seconds), secret, _texts(told.get("warnings")))
    raise _not_understood(request.path)


def _texts(told: Any) -> tuple[str, ...]:
    texts = told if isinstance(told, list) else []
    return tuple(
        text[:_LONGEST_WARNING] for text in texts[:_MOST_WARNINGS] if isinstance(text, str)
    )


def _secret(text: Any, url: str) -> bytes:
    if text is None:
        return b""
    try:
        secret = bytes.fromhex(text)
    except (TypeError, ValueError):
        secret = b""
    if len(secret) != 32:
        raise _not_understood(url)
    return secret


def _not_understood(url: str) -> NotUnderstoodError:
    return NotUnderstoodError(
        f"The answer of {url} is not that of a deploy API.",
        hint="Both sides may be of different versions.",
    )


# --------------------------------------------------------------------------- requirements


def read_requirements(requirements: str | Path | Sequence[str]) -> list[str]:
    """Return the lines that require something; one of them for Python.

    Raises
    ------
    InvalidError
        If one is none, or there is no such file.
    """
    if isinstance(requirements, str | Path):
        path = Path(requirements).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InvalidError(f"Requirements file not found: {path}") from None
        except (OSError, ValueError) as error:
            raise InvalidError(f"Requirements file {path} cannot be read: {error}") from None
        requirements = text.splitlines()
    lines = [line for each in requirements if (line := str(each).partition(" #")[0].strip())]
    lines = [line for line in lines if not line.startswith("#")]
    if not any(list(map(_check, lines))):
        lines.insert(0, f"python=={'.'.join(platform.python_version_tuple()[:2])}")
    return lines


def _check(line: str) -> bool:
    """Check a line; tell whether it is for Python."""
    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise InvalidError(
            f"{line!r} is no requirement: {reason}.", hint="Write it as in 'numpy>=2'."
        ) from None
    if requirement.name != "python":
        return False
    if [each.operator for each in requirement.specifier] != ["=="]:
        raise InvalidError(
            f"{line!r} does not say which Python.", hint="Write one version: 'python==3.11'."
        )
    return True


def _configure_scidx(deployment: Deployment, broker: Broker) -> None:
    """Tell ``scidx-rexec``, if a notebook uses that besides, where everything is."""
    try:
        remote_func = import_module("rexec.client_api").remote_func
    except (ImportError, AttributeError):  # another package of that name
        return
    remote_func.set_remote_addr(broker.host)
    remote_func.set_remote_port(broker.port)
    remote_func.set_api_url(f"{deployment.url}/spawn")
    remote_func.set_exec_token(deployment.token)
