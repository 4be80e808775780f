"""Whatever goes wrong, the answer has one form, and says what to do."""

import http.client
import json
import socket

import pytest

from tests.endpoint.canary import secret
from tests.endpoint.service import PATIENCE

KEYS = {"error", "detail", "correlation_id", "timestamp", "path"}


def refusal(answer, status, error):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) - {"errors"} == KEYS
    assert body["error"] == error
    assert isinstance(body["detail"], str)
    assert body["correlation_id"] == answer.headers["X-Correlation-ID"]
    return body


def test_an_unknown_path_is_named(anonymous):
    body = refusal(anonymous.get("/nothing/here"), 404, "NotFound")
    assert body["path"] == "/nothing/here"
    assert "/nothing/here" in body["detail"]


def test_a_method_that_does_not_apply_is_named_with_those_that_do(anonymous):
    answer = anonymous.patch("/health")
    assert "PATCH" in refusal(answer, 405, "MethodNotAllowed")["detail"]
    assert answer.headers["Allow"] == "GET"


def test_no_token_is_refused_with_a_challenge(anonymous):
    answer = anonymous.get("/status/")
    assert "Not authenticated" in refusal(answer, 401, "Unauthorized")["detail"]
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_viewer_is_told_whom_to_ask(as_viewer):
    answer = as_viewer.post("/organization", json={"name": "x", "title": "X"})
    assert "Ask an administrator" in refusal(answer, 403, "Forbidden")["detail"]


def test_what_is_invalid_is_told_as_text_and_place_by_place(as_writer):
    answer = as_writer.post("/organization", json={"name": 3})
    body = refusal(answer, 422, "ValidationError")
    assert "title: Field required" in body["detail"]
    assert {"loc": ["body", "title"], "msg": "Field required", "type": "missing"} in body["errors"]


def test_what_was_sent_is_not_repeated(anonymous):
    password = secret("password")
    answer = anonymous.post("/user/login", json={"username": "ada", "password": [password]})
    assert answer.status_code == 422
    assert password not in answer.text


def test_a_body_that_is_not_json_says_where(as_writer):
    headers = {"Content-Type": "application/json"}
    answer = as_writer.post("/organization", content=b'{"name": ', headers=headers)
    assert "The body is not JSON" in refusal(answer, 422, "ValidationError")["detail"]


@pytest.mark.parametrize(
    "body", [b"\xff\xfe\x00", b"[" * 100_000, b'{"name": NaN, "title": 1e999}']
)
def test_no_body_breaks_the_service(as_writer, body):
    headers = {"Content-Type": "application/json"}
    answer = as_writer.post("/organization", content=body, headers=headers)
    assert answer.status_code in (400, 422)
    assert isinstance(answer.json()["detail"], str)


def test_a_correlation_id_is_taken_over(anonymous):
    answer = anonymous.get("/nothing", headers={"X-Correlation-ID": "run-7.part_2"})
    assert answer.json()["correlation_id"] == "run-7.part_2"


@pytest.mark.parametrize("sent", ["two words", 'quote"', "x" * 500, "<b>", "{}"])
def test_a_correlation_id_that_could_do_harm_in_a_log_is_replaced(anonymous, sent):
    answer = anonymous.get("/health", headers={"X-Correlation-ID": sent})
    assert answer.headers["X-Correlation-ID"].isalnum()


def test_what_an_address_may_not_hold_is_refused(anonymous):
    refusal(anonymous.get("/dataset/a%00b"), 400, "BadRequest")
    refusal(anonymous.get("/search", params={"terms": "a\0b"}), 400, "BadRequest")


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(endpoint):
    connection = http.client.HTTPConnection(endpoint.url.removeprefix("http://"), timeout=PATIENCE)
    try:
        connection.putrequest("POST", "/organization")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(100 * 1024 * 1024))
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 413
        assert "REXEC_EP_MAX_BODY" in json.load(answer)["detail"]
    finally:
        connection.close()


def test_a_client_that_sends_all_of_it_regardless_still_reads_the_refusal(as_writer):
    answer = as_writer.post("/organization", content=bytes(100 * 1024 * 1024))
    assert "16 MiB" in refusal(answer, 413, "ContentTooLarge")["detail"]


def test_a_body_of_unknown_length_is_counted(as_writer):
    def chunks():
        for _ in range(40):
            yield bytes(1024 * 1024)

    answer = as_writer.post("/organization", content=chunks())
    refusal(answer, 413, "ContentTooLarge")


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET /health\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nA\0B: c\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET " + b"/a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_not_http_leaves_the_service_unharmed(endpoint, anonymous, request_text):
    host, port = endpoint.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(request_text)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").readline()
    assert b" 500 " not in answer
    assert anonymous.get("/health").status_code == 200
