"""The client beside the released one: the same methods, requests, results and words."""

import inspect
import json
import subprocess

import pytest

from rexec_jupyter.endpoint import APIClient, AsyncEndpointClient, EndpointClient
from tests.endpoint.answering import Answering, Reply
from tests.endpoint.canary import secret
from tests.endpoint.test_client_operations import FAILURES, LISTS, OPERATIONS

DESCRIBE = """
import inspect, json
from ndp_ep import APIClient

def described(method):
    return [
        [each.name, each.kind.name, None if each.default is each.empty else repr(each.default)]
        for each in inspect.signature(method).parameters.values()
    ]

methods = {
    name: described(getattr(APIClient, name))
    for name in dir(APIClient)
    if not name.startswith("_") and callable(getattr(APIClient, name))
}
print(json.dumps(methods | {"__init__": described(APIClient.__init__)}))
"""

# Calls methods of the released client, and tells what came of each.
CALL = """
import json, sys
from ndp_ep import APIClient

url, token, calls = json.load(sys.stdin)
client = APIClient(url, token)
told = []
for name, args, kwargs in calls:
    client.session.headers["X-Call"] = str(len(told))
    try:
        told.append(["returned", getattr(client, name)(*args, **kwargs)])
    except ValueError as error:
        told.append(["raised", str(error)])
print(json.dumps(told))
"""
# Where the two differ on purpose: what the released one does not have, and what it does wrong.
OURS = ("get_dataset", "publish_dataset")


@pytest.fixture(scope="module")
def python(released):
    """An interpreter that has the released client."""
    return released("0.9.0")


@pytest.fixture(scope="module")
def methods(python):
    """The methods of the released client and their parameters, from the package itself."""
    told = subprocess.run([python, "-c", DESCRIBE], check=True, capture_output=True, text=True)
    return json.loads(told.stdout)


def described(method):
    return [
        [each.name, each.kind.name, None if each.default is each.empty else repr(each.default)]
        for each in inspect.signature(method).parameters.values()
    ]


@pytest.mark.parametrize("client", [EndpointClient, AsyncEndpointClient])
def test_every_method_of_the_released_client_is_there_with_the_same_parameters(methods, client):
    assert len(methods) > 50
    for name, parameters in methods.items():
        ours = described(getattr(client, name))
        assert ours[: len(parameters)] == parameters, name
        more = ours[len(parameters) :]
        assert all(kind == "KEYWORD_ONLY" and default for _, kind, default in more), name


def test_a_notebook_moves_by_changing_its_import():
    assert APIClient is EndpointClient


@pytest.mark.parametrize("name", [name for name in dir(EndpointClient) if name[0] != "_"])
def test_both_clients_have_the_same_methods_and_each_says_what_it_does(name):
    sync, other = getattr(EndpointClient, name), getattr(AsyncEndpointClient, name)
    assert (sync.__doc__ or "").strip()
    if callable(sync):
        assert described(sync) == described(other)
        assert sync.__name__ == other.__name__ == name or name.startswith("iterate_")


def called_by_the_released(python, server, token, calls):
    given = json.dumps([server.url, token, calls])
    told = subprocess.run(
        [python, "-c", CALL], input=given, check=True, capture_output=True, text=True
    )
    return json.loads(told.stdout)


@pytest.fixture
def server():
    with Answering() as server:
        server.answer("GET", "/status/", {"api_version": "1.0.0"})
        yield server


def content(asked):
    return asked.json if asked.body else None


def test_both_ask_for_the_same_and_return_the_same(python, server):
    token = secret("token")
    calls = [
        (name, args, kwargs)
        for name, args, kwargs, *_ in OPERATIONS
        if name not in OURS and "pre-ckan" not in args and "pre_ckan" not in kwargs.values()
    ]
    for name, _, _, method, path, *_ in OPERATIONS:
        if path != "/status/":
            told = ["x"] if name in LISTS else {"id": "x"}
            server.answer(method, path.replace(" ", "%20"), told)
    theirs = called_by_the_released(python, server, token, calls)
    asked_by_them = server.asked[1:]
    server.asked = []
    with EndpointClient(server.url, token) as client:
        ours = [["returned", getattr(client, name)(*args, **kw)] for name, args, kw in calls]
    asked_by_us = server.asked[1:]
    assert theirs == ours
    assert len(asked_by_them) == len(asked_by_us) == len(calls) > 40
    for call, a, b in zip(calls, asked_by_them, asked_by_us, strict=True):
        assert (a.method, a.path, a.query, content(a), a.token) == (
            (b.method, b.path, b.query, content(b), b.token)
        ), call


def test_both_say_what_went_wrong_in_the_same_words(python, server):
    token = secret("token")
    without = ("upload_object", "terminate_rexec_environment")
    chosen = [failure for failure in FAILURES if failure[0] not in without]
    calls = [(name, args, {}) for name, args, *_ in chosen]
    order = [detail for _, _, detail, _ in chosen]
    number = [0]

    def refuse(asked):
        if (call := asked.headers.get("x-call")) is not None:
            number[0] = int(call)
        return Reply(404, {"detail": order[number[0]]})

    plain, server.reply = server.reply, refuse
    theirs = called_by_the_released(python, server, token, calls)
    server.reply = plain
    with EndpointClient(server.url, token) as client:
        server.reply = refuse
        for number[0], (name, args, kwargs) in enumerate(calls):
            how, text = theirs[number[0]]
            assert how == "raised"
            with pytest.raises(ValueError) as caught:  # noqa: PT011 - its text is compared below
                getattr(client, name)(*args, **kwargs)
            # In place of the detail, these have the words of the library.
            same = text.partition(": 404")[0] if "404 Client Error" in text else text
            assert str(caught.value).startswith(same), name
