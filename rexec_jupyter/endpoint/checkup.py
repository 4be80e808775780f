"""What `rexec doctor` finds at the endpoint that the settings name."""

from __future__ import annotations

from collections.abc import Iterator

from rexec_jupyter.core.doctor import LIMIT, Finding
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.logins import LoginError, Logins, normal
from rexec_jupyter.core.settings import current


def configured() -> Iterator[Finding]:
    """Check that the endpoint accepts the user, and leads to a broker."""
    try:
        url = current().now().url
        url = "" if url in ("", "local") else normal(url)
        login = Logins().login(url, url) if url else None
    except (LoginError, RexecError):
        return  # other checks tell
    if login is not None:
        yield from _asked(url, login.token)


def _asked(url: str, token: str) -> Iterator[Finding]:
    from rexec_jupyter.endpoint import rexec, users  # noqa: PLC0415 - only if there is one
    from rexec_jupyter.endpoint.errors import EndpointError  # noqa: PLC0415
    from rexec_jupyter.endpoint.translation import translated  # noqa: PLC0415
    from rexec_jupyter.endpoint.transport import Driver  # noqa: PLC0415

    driver = Driver(url, token, LIMIT / 3, retries=0)
    check, what = "user", "tell who you are"
    try:
        user = driver.run(users.get_user_info())
        name = user.get("username") or user.get("sub") or "nobody"
        role = user.get("effective_role")
        yield Finding(check, "ok", f"{url} knows you as {name}" + (f", {role}" if role else ""))
        check, what = "remote execution", "tell where remote execution is"
        deployment = driver.run(rexec.deploy_api())
        broker = driver.run(rexec.broker_of(deployment))
        text = f"{deployment.url}, with its broker at {broker.host}:{broker.port}"
        yield Finding(check, "ok", text)
    except EndpointError as error:
        told = translated(error, url, what)
        yield Finding(check, "fail", told.message, told.hint)
    finally:
        driver.close()
