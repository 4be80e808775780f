"""A small real deploy API in front of an embedded backend's broker, agent and workers.

It speaks the old form (`/spawn`, `/terminate`, `/broker-config`) and what `connect` needs
besides (`/v1/sessions`, `/v1/tickets`), at its root and under `/rexec`.
"""

import contextlib
import hashlib
import socket
import threading
from typing import Annotated
from urllib.parse import urlsplit

import uvicorn
from fastapi import APIRouter, FastAPI, Form, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

PATIENCE = 30.0


class RefusedError(Exception):
    """What is answered instead."""

    def __init__(self, status, detail):
        super().__init__(detail)
        self.status = status
        self.detail = detail


class TicketRequest(BaseModel):
    """Body of `POST /v1/tickets`."""

    client_pubkey: str
    session: str = "default"


class DeployAPI:
    """Serves on a free port of the loopback.

    Parameters
    ----------
    accepts
        Returns the user of a token; None if it is not accepted. `{"token": "ann"}.get` will do.
    backend
        An `Embedded` that runs. Without one there are no tickets.

    Attributes
    ----------
    url
        Where it is: what an endpoint is given as `REXEC_DEPLOYMENT_API_URL`.
    servers
        Requirements of the servers that were spawned, by user.
    warnings
        What goes along with each ticket.
    seen
        Method, path, headers and body of every request.
    answers
        Path, without `/rexec`, to what is answered there instead: status, JSON and headers.
    """

    def __init__(self, accepts, backend=None):
        self.accepts = accepts
        self.backend = backend
        self.servers = {}
        self.warnings = []
        self.seen = []
        self.answers = {}
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(self._app(), log_config=None, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        self._socket.close()
        assert not self._thread.is_alive()

    def broker_config(self):
        """Return what `/broker-config` answers."""
        if self.backend is None:
            return {"broker_external_host": "127.0.0.1", "broker_external_port": 5559}
        address = self.backend.ask("address")
        where = urlsplit(address["endpoint"])
        return {
            "broker_external_host": where.hostname,
            "broker_external_port": where.port,
            "broker_external_url": f"{where.hostname}:{where.port}",
            "curve_public_key": address["broker_key"],
            "protocol": [1, 1],
        }

    def user(self, token):
        """Return whose token that is."""
        user = self.accepts(token) if token else None
        if user is None:
            raise RefusedError(401, "Invalid or expired token")
        return user

    def _app(self):
        app = FastAPI(openapi_url=None)
        router = self._routes()
        app.include_router(router)
        app.include_router(router, prefix="/rexec")

        @app.middleware("http")
        async def note(request: Request, proceed):
            path = request.url.path.removeprefix("/rexec")
            body = await request.body()
            self.seen.append((request.method, path, dict(request.headers), body))
            if path in self.answers:
                status, content, headers = self.answers[path]
                return JSONResponse(content, status, headers)
            return await proceed(request)

        @app.exception_handler(RefusedError)
        async def refuse(_: Request, error: RefusedError):
            told = {"detail": error.detail, "Status": error.detail}
            return JSONResponse(told, error.status)

        return app

    def _routes(self):
        router = APIRouter()

        @router.get("/")
        def root() -> str:
            return "API is running successfully."

        @router.post("/spawn")
        def spawn(
            token: Annotated[str, Form()],
            requirments: Annotated[list[str] | None, Form()] = None,
            requirements: Annotated[list[str] | None, Form()] = None,
            force_reinstall: Annotated[bool, Form()] = False,
        ):
            user = self.user(token)
            asked = sorted(requirments or requirements or [])
            if not any(line.startswith("python==") for line in asked):
                raise RefusedError(
                    400, "The requirements name no Python version, as python==3.11 does."
                )
            if (there := self.servers.get(user)) not in (None, asked) and not force_reinstall:
                raise RefusedError(409, "A server with other requirements runs already.")
            self.servers[user] = asked
            how = "exists" if there == asked else "created"
            return {
                "Status": f"R-Exec server instance with user-provided requirements {how}.",
                "Username": user,
                "NDP_Endpoint_membership": None,
                "digest": hashlib.sha256("\n".join(asked).encode()).hexdigest(),
            }

        @router.delete("/terminate")
        def terminate(
            token: Annotated[str | None, Form()] = None,
            authorization: Annotated[str, Header()] = "",
        ):
            user = self.user(token or _bearer(authorization))
            self.servers.pop(user, None)
            return {"Status": "R-Exec server instance terminated.", "Username": user}

        @router.get("/broker-config")
        def broker_config():
            return self.broker_config()

        @router.get("/v1/sessions")
        def sessions(authorization: Annotated[str, Header()] = ""):
            user = self.user(_bearer(authorization))
            return [{"name": "default", "state": "ready"}] if user in self.servers else []

        @router.post("/v1/tickets")
        def tickets(asked: TicketRequest, authorization: Annotated[str, Header()] = ""):
            user = self.user(_bearer(authorization))
            if user not in self.servers:
                raise RefusedError(409, "There is no server to give a ticket for; spawn one first.")
            ticket = self.backend.ask("ticket", key=asked.client_pubkey)
            if "error" in ticket:
                raise RefusedError(422, "That is no public key.")
            secret = self.backend.ask("address")["secret"]
            return ticket | {"job_secret": secret, "warnings": self.warnings}

        return router


def _bearer(header):
    scheme, _, token = header.partition(" ")
    return token if scheme.lower() == "bearer" else ""


@contextlib.contextmanager
def deploying(accepts, backend=None):
    """Run a `DeployAPI`."""
    with DeployAPI(accepts, backend) as api:
        yield api
