"""What older clients ask: forms that hold the token, at the root and under the prefix."""

import pytest

from rexec_jupyter.core.protocol import VERSIONS
from tests.deploy.serving import serving, until

LINES = ["python==3.11", "numpy>=1.26"]


@pytest.fixture(params=["", "/rexec"])
def client(service, request):
    with service.client(root=request.param) as client:
        yield client


@pytest.fixture
def token(identity):
    return identity.token("ann")


def form(token, lines=LINES, **more):
    return {"requirments": lines, "force_reinstall": "False", "token": token} | more


def test_a_server_is_spawned_as_released_clients_ask(client, service, token, user):
    answer = client.post("/spawn", data=form(token))
    assert answer.status_code == 200
    assert answer.json() == {
        "Status": "R-Exec server instance with user-provided requirements created.",
        "Username": "ann",
        "NDP_Endpoint_membership": None,
    }
    spec = service.record(user).spec
    assert (spec.python, spec.requirements) == ("3.11", ("numpy>=1.26",))
    again = client.post("/spawn", data=form(token, [*reversed(LINES), "# a comment"]))
    assert again.json()["Status"].endswith("exists.")


def test_without_force_reinstall_and_with_the_other_spelling(client, token):
    assert client.post("/spawn", data={"requirments": LINES, "token": token}).status_code == 200
    assert client.post("/spawn", data={"requirements": LINES, "token": token}).status_code == 200


def test_the_token_may_come_in_the_header(client, token):
    headers = {"Authorization": f"Bearer {token}"}
    assert client.post("/spawn", data={"requirments": LINES}, headers=headers).status_code == 200
    assert client.delete("/terminate", headers=headers).status_code == 200


def test_a_form_in_parts_is_one_too(client, token):
    parts = [("requirments", (None, line)) for line in LINES] + [("token", (None, token))]
    assert client.post("/spawn", files=parts).status_code == 200


def test_other_requirements_are_a_conflict_unless_forced(client, service, token, user):
    client.post("/spawn", data=form(token))
    refused = client.post("/spawn", data=form(token, ["python==3.11", "pandas"]))
    assert refused.status_code == 409
    told = refused.json()
    assert told["Status"] == told["detail"]
    assert "other requirements" in told["detail"]
    forced = client.post(
        "/spawn", data=form(token, ["python==3.11", "pandas"], force_reinstall="True")
    )
    assert forced.status_code == 200
    assert service.record(user).spec.requirements == ("pandas",)


def test_a_server_is_terminated_again_and_again(client, service, token, user):
    client.post("/spawn", data=form(token))
    until(lambda: service.record(user).state != "requested" or service.spawner.there, "a start")
    for _ in range(2):
        answer = client.request("DELETE", "/terminate", data={"token": token})
        assert answer.status_code == 200
        assert answer.json()["Status"]
        until(lambda: service.record(user) is None, "its end")


def test_the_broker_is_told(client, running):
    told = client.get("/broker-config").json()
    assert told == {
        "broker_external_host": "broker.example.org",
        "broker_external_port": 5559,
        "broker_external_url": "broker.example.org:5559",
        "curve_public_key": running.app.state.parts.tickets.broker.key,
        "protocol": list(VERSIONS),
    }


def test_the_root_says_that_it_runs(client):
    assert client.get("/").json() == "API is running successfully."


@pytest.mark.parametrize(
    ("sent", "status", "word"),
    [
        ({"requirments": LINES}, 401, "token"),
        ({"requirments": LINES, "token": "wrong"}, 401, ""),
        ({}, 422, "requirments"),
        ({"requirments": ["", "  "]}, 422, "requirments"),
        ({"requirments": ["numpy"]}, 400, "python==3.11"),
        ({"requirments": ["python>=3.11"]}, 422, "python==3.11"),
        ({"requirments": [*LINES, "--index-url=https://evil.example"]}, 422, "Line 3"),
        ({"requirments": [*LINES, "x; $(id)"]}, 422, "Line 3"),
        ({"requirments": [*LINES, "x\n--pre"]}, 422, "Line 3"),
        ({"requirments": LINES, "force_reinstall": "perhaps"}, 422, "force_reinstall"),
        ({"requirments": LINES, "profile": "huge"}, 422, "huge"),
    ],
)
def test_what_cannot_be_is_told_in_both_keys(client, token, sent, status, word):
    if status != 401:
        sent = {"token": token} | sent
    refused = client.post("/spawn", data=sent)
    told = refused.json()
    assert refused.status_code == status
    assert word in told["detail"]
    assert told["Status"] == told["detail"]


def test_whose_member_somebody_is_is_told(identity, tmp_path):
    identity.add("member", groups=["/NDP/Team"])
    changed = {"enable_group_based_access": True, "group_names": ("/ndp/team",)}
    with serving(tmp_path, identity, **changed) as service, service.client() as client:
        told = client.post("/spawn", data=form(identity.token("member"))).json()
        assert told["NDP_Endpoint_membership"] == "ndp/team"
        refused = client.post("/spawn", data=form(identity.token("ann")))
        assert refused.status_code == 403
        assert refused.json()["Status"] == (
            "Access forbidden: user is not a member of an allowed group."
        )
