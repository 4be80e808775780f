"""Requests that are wrong, huge or meant to do harm."""

import time

import pytest

LINES = ["python==3.11", "numpy"]


@pytest.fixture
def token(identity):
    return identity.token("ann")


def test_ten_thousand_requirements_are_refused_soon(anonymous, ann, token):
    lines = ["python==3.11", *(f"package-{number}" for number in range(10_000))]
    began = time.process_time()
    refused = anonymous.post("/spawn", data={"requirments": lines, "token": token})
    assert refused.status_code == 422
    assert "more than 500 requirements" in refused.json()["detail"]
    refused = ann.post("/v1/servers", json={"requirements": lines})
    assert refused.status_code == 422
    assert "more than 500 requirements" in refused.json()["detail"]
    parts = [("requirments", (None, line)) for line in lines] + [("token", (None, token))]
    assert anonymous.post("/spawn", files=parts).status_code == 422
    assert time.process_time() - began < 5


def test_there_is_an_end_to_fields(anonymous, token):
    body = f"token={token}&" + "a=1&" * 30_000
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    refused = anonymous.post("/spawn", content=body, headers=headers)
    assert refused.status_code == 422
    assert "too many fields" in refused.json()["detail"]


@pytest.mark.parametrize("announced", [True, False])
def test_there_is_an_end_to_bodies(anonymous, ann, token, announced):
    body = b"token=x&requirments=" + b"x" * (1 << 20)

    def pieces():
        yield body

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    content = body if announced else pieces()
    refused = anonymous.post("/spawn", content=content, headers=headers)
    assert refused.status_code == 413
    assert "REXEC_DEPLOY_MAX_BODY" in refused.json()["detail"]
    assert refused.json()["Status"] == refused.json()["detail"]
    assert ann.post("/v1/servers", content=body).status_code == 413


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"token": "x"}'),
        ("application/x-www-form-urlencoded", b"token=\xff\xfe"),
        ("application/x-www-form-urlencoded", b"token=%ff%fe"),
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b"--x\r\nrubbish"),
        ("text/plain", b"hello"),
    ],
)
def test_what_is_no_form_is_told(anonymous, kind, body):
    refused = anonymous.post("/spawn", content=body, headers={"Content-Type": kind})
    assert refused.status_code in (401, 422)
    assert refused.json()["Status"] == refused.json()["detail"]


def test_a_file_in_a_form_is_no_field(anonymous, token):
    parts = {"token": (None, token), "requirments": ("r.txt", b"numpy")}
    assert anonymous.post("/spawn", files=parts).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"null",
        b'{"requirements": "numpy"}',
        b'{"requirements": [1]}',
        b'{"cpu": "NaN"}',
        b'{"cpu": 1e999}',
        b'{"cpu": -1}',
        b'{"memory": "lots"}',
        b'{"memory": 1e300}',
        b'{"environment": {"A": 1}}',
        b'{"environment": {"A=B": "x"}}',
        b'{"environment": {"A": "x\\u0000"}}',
        b'{"name": ""}',
        b'{"name": "../x"}',
        b'{"python": "3.11; rm"}',
        b'{"python": "3.11\\nnumpy"}',
        b'{"unknown": 1}',
        b"[" * 100_000,
    ],
)
def test_bodies_that_cannot_be_are_refused(ann, body):
    refused = ann.post("/v1/servers", content=body, headers={"Content-Type": "application/json"})
    assert refused.status_code == 422
    assert isinstance(refused.json()["detail"], str)
    assert ann.get("/v1/servers").json() == {"servers": []}


@pytest.mark.parametrize("name", ["..", "%2e%2e", "%00", "a%0ab", "x" * 5000, "%ff", "a/b"])
def test_names_that_cannot_be_are_not_there(ann, name):
    assert ann.get(f"/v1/servers/{name}").status_code in (400, 404)
    assert ann.get(f"/v1/servers/{name}/events").status_code in (400, 404)


def test_users_of_every_kind_have_servers(service, identity):
    for number, sub in enumerate(("../..", "a b", "ä/ö", "x" * 255, "'; drop", "ANN", "ann")):
        person = identity.add(f"odd-{number}", sub=sub)
        with service.client(person.token) as client:
            assert client.post("/v1/servers", json={}).status_code == 201
            assert len(client.get("/v1/servers").json()["servers"]) == 1


def test_no_token_reaches_the_log(anonymous, token, caplog, service):
    with caplog.at_level("DEBUG"):
        anonymous.post("/spawn", data={"requirments": LINES, "token": token})
        anonymous.post("/spawn", data={"requirments": ["python"], "token": token})
    assert token not in caplog.text
