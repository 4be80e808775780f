"""The real deploy API that real people use, and a front that answers what it never would."""

import contextlib
import json
from http.client import HTTPConnection
from urllib.parse import urlsplit

from rexec_jupyter.endpoint.servers import Servers
from tests.deploy.whole import broker_in, deploy_api
from tests.endpoint.answering import Answering, Reply
from tests.endpoint.canary import watch
from tests.endpoint.service import until
from tests.places import short_directory

# Whether a token is still good is asked each time.
_SETTINGS = {
    "APP_ROOT_PATH": "/rexec",
    "REXEC_DEPLOY_DEVELOPMENT": "false",
    "REXEC_DEPLOY_AUTH_CACHE_SECONDS": "0",
}
# What is said of one connection is not said of another.
_OF_CONNECTIONS = ("connection", "content-length", "date", "server", "transfer-encoding")


class Front(Answering):
    """Stands before a service: answers what a test tells it, and passes everything else on.

    Attributes
    ----------
    behind
        Where that is.
    broker
        The process of its broker.
    """

    def __init__(self, url, broker):
        super().__init__()
        self.behind = url
        self.broker = broker
        self._more = {}

    def otherwise(self, asked):
        return Reply(content=lambda handler: self._pass_on(handler, asked))

    def also(self, path, **more):
        """Say that too in each answer there, or something else than the service does."""
        self._more[path] = more

    def forget(self):
        super().forget()
        self._more.clear()

    def _pass_on(self, handler, asked):
        headers = {name: value for name, value in asked.headers.items() if name != "x-port"}
        with contextlib.closing(HTTPConnection(urlsplit(self.behind).netloc)) as behind:
            behind.request(asked.method, handler.path, asked.body, headers)
            answer = behind.getresponse()
            pieces, length = iter(lambda: answer.read1(65536), b""), answer.length
            if more := self._more.get(asked.path):
                body = json.dumps(json.load(answer) | more).encode()
                pieces, length = [body], len(body)
            handler.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _OF_CONNECTIONS:
                    handler.send_header(name, value)
            if length is None:  # nobody knows how much is to come
                handler.send_header("connection", "close")
            else:
                handler.send_header("content-length", str(length))
            handler.end_headers()
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    handler.wfile.write(piece)

    def count(self, method, path):
        """Tell how often something was asked."""
        return sum((each.method, each.path) == (method, f"/rexec{path}") for each in self.asked)


@contextlib.contextmanager
def servers_of(front, person):
    """Give the `Servers` of somebody, and end what is left of them."""
    with Answering() as way:
        way.answer("GET", "/status/rexec", {"deployment_api_url": front.behind})
        with Servers(way.url, lambda: person.token) as servers:
            yield servers
            for each in servers.every():
                servers.end(each["name"])
            until(lambda: not servers.every(), "their end")


@contextlib.contextmanager
def deploying(identity, **more):
    """Run a broker and a deploy API whose users an identity service knows; give its `Front`."""
    settings = _SETTINGS | {"AUTH_API_URL": identity.url} | more
    with (
        short_directory() as directory,
        broker_in(directory) as broker,
        deploy_api(directory, broker, **settings) as url,
        Front(url, broker) as front,
    ):
        watch(directory)
        yield front
