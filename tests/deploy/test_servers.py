"""Servers as resources, asked for over HTTP."""

import concurrent.futures
import json

import pytest

from rexec_deploy_api.records import Cause
from rexec_jupyter.core.credentials import SigningKey, Verifier
from rexec_jupyter.core.trust import new_keypair
from tests.deploy.memory_spawner import failing
from tests.deploy.serving import events_in, serving, until


def ask(client, **asked):
    return client.post("/v1/servers", json=asked)


def make_ready(service, user, name="default", generation=1, **told):
    until(lambda: ("place", generation) in service.spawner.done, "it to be placed")
    service.see(user, name, generation, "running")
    service.greet(user, name, generation, **told)
    until(lambda: service.record(user, name).state == "ready", "it to be ready")


def test_a_server_is_begun_once_and_becomes_ready(service, ann, user):
    answer = ask(ann, requirements=["NumPy >= 2"], cpu=1)
    assert answer.status_code == 201
    told = answer.json()
    assert (told["id"], told["state"], told["profile"]) == ("default", "requested", "small")
    assert (told["cpu"], told["memory"], told["requirements"]) == (1, 4 << 30, ["numpy>=2"])
    assert answer.headers["Location"] == "/rexec/v1/servers/default"
    again = ask(ann, requirements=["numpy>=2"], cpu=1)
    assert (again.status_code, again.json()["created"]) == (200, told["created"])

    make_ready(service, user, running=2, clients=1)
    told = ann.get("/v1/servers/default").json()
    assert (told["state"], told["running"], told["clients"]) == ("ready", 2, 1)
    assert ann.get("/v1/servers").json()["servers"] == [told]
    assert ann.get("/v1/sessions").json() == [{"name": "default", "state": "ready"}]


def test_many_who_ask_at_once_get_one_server(service, identity, user):
    def one(_):
        with service.client(identity.token("ann")) as client:
            return ask(client, name="mine").status_code

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        statuses = sorted(pool.map(one, range(12)))
    assert statuses == [200] * 11 + [201]
    until(lambda: service.spawner.done == [("place", 1)], "it to be placed once")


def test_a_different_server_is_a_conflict_unless_it_is_to_be_replaced(service, ann, user):
    ask(ann, requirements=["numpy"])
    refused = ask(ann, requirements=["pandas"])
    assert refused.status_code == 409
    assert "other requirements" in refused.json()["detail"]
    assert "Status" not in refused.json()
    assert ask(ann, requirements=["pandas"], force=True).status_code == 201
    assert service.record(user).spec.requirements == ("pandas",)
    until(lambda: ("place", 2) in service.spawner.done, "the other to be placed")


def test_only_its_clocks_change_while_a_server_runs(service, ann, user):
    ask(ann, max_lifetime=3600)
    make_ready(service, user)
    again = ask(ann, max_lifetime=60)
    assert (again.status_code, again.json()["max_lifetime"]) == (200, 60)
    until(lambda: ann.get("/v1/servers/default").json()["ends_in"] <= 60, "the clock to be seen")
    assert service.record(user).events[-1].text == "When it ends by itself was changed."
    generation = service.record(user).generation
    # Who asks for nothing in particular leaves it as it is.
    assert ask(ann).json()["max_lifetime"] == 60
    assert service.record(user).generation == generation


def test_nobody_sees_or_changes_the_servers_of_others(service, ann, bob):
    ask(ann)
    assert bob.get("/v1/servers").json() == {"servers": []}
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/restart"),
        ("GET", "/events"),
        ("GET", "/logs"),
    ):
        assert bob.request(method, f"/v1/servers/default{path}").status_code == 404
    assert bob.post("/v1/servers/default/extend", json={"seconds": 5}).status_code == 404
    assert ann.get("/v1/servers/default").json()["state"] != "stopping"


@pytest.mark.parametrize(
    "path", ["/v1/servers", "/v1/servers/default", "/v1/profiles", "/v1/sessions"]
)
def test_nothing_is_told_without_a_token(anonymous, path):
    answer = anonymous.get(path)
    assert answer.status_code == 401
    assert answer.json()["error"] == "Unauthorized"


def test_a_user_has_no_more_servers_than_one_may(service, ann, user):
    for name in ("a", "b", "c"):
        assert ask(ann, name=name).status_code == 201
    refused = ask(ann, name="d")
    assert refused.status_code == 429
    assert "a, b, c" in refused.json()["detail"]
    ann.delete("/v1/servers/b")
    assert ask(ann, name="d").status_code == 201
    # What was stopped counts again when it is asked for again.
    service.do(setattr, service.spawner, "leads", False)
    try:
        ann.delete("/v1/servers/a")
        assert ask(ann, name="e").status_code == 201
        assert ask(ann, name="a").status_code == 429
    finally:
        service.do(setattr, service.spawner, "leads", True)


def test_a_server_is_ended_and_gone(service, ann, user):
    ask(ann)
    make_ready(service, user)
    answer = ann.delete("/v1/servers/default")
    assert (answer.status_code, answer.json()["state"]) == (202, "stopping")
    until(lambda: ann.get("/v1/servers/default").status_code == 404, "it to be gone")
    assert ann.delete("/v1/servers/default").status_code == 404


def test_a_restart_is_another_generation(service, ann, user):
    ask(ann)
    make_ready(service, user)
    before = service.record(user).generation
    answer = ann.post("/v1/servers/default/restart")
    assert (answer.status_code, answer.json()["generation"]) == (202, before + 1)
    make_ready(service, user, generation=2)
    assert ("displace", 1) in service.spawner.done


def test_a_near_end_is_told_and_put_off(service, ann, user):
    ask(ann, profile="brief", max_lifetime=1200)
    make_ready(service, user)
    # It is warned of in the last quarter.
    service.age(user, 1000)
    until(lambda: ann.get("/v1/servers/default").json()["warning"], "the warning")
    told = ann.get("/v1/servers/default").json()
    assert "ends in" in told["warning"]
    assert 0 < told["ends_in"] <= 200
    key = new_keypair().public.decode()
    ticket = ann.post("/v1/tickets", json={"client_pubkey": key}).json()
    assert any("ends in" in text for text in ticket["warnings"])
    extended = ann.post("/v1/servers/default/extend", json={"seconds": 600})
    assert extended.status_code == 200
    assert extended.json()["warning"] == ""
    assert extended.json()["ends_in"] > 500
    assert ann.post("/v1/servers/default/extend", json={"seconds": 1e9}).status_code == 422
    assert ann.post("/v1/servers/default/extend", json={"seconds": 0}).status_code == 422


@pytest.mark.parametrize(("lifetime", "validity"), [("20min", 300), ("10min", 150), ("1min", 20)])
def test_a_ticket_is_renewed_in_time_for_the_warning(service, ann, user, lifetime, validity):
    ask(ann, profile="brief", max_lifetime=lifetime)
    make_ready(service, user)
    key = new_keypair().public.decode()
    told = ann.post("/v1/tickets", json={"client_pubkey": key}).json()
    assert told["expires_in"] == validity


def test_profiles_are_told_and_not_widened(ann):
    told = ann.get("/v1/profiles").json()
    assert told["default"] == "small"
    assert [each["name"] for each in told["profiles"]] == ["small", "big", "brief"]
    assert told["profiles"][0]["memory"] == 4 << 30
    for wrong, word in (
        ({"cpu": 3}, "cpu"),
        ({"memory": "5GiB"}, "memory"),
        ({"gpu": 1}, "gpu"),
        ({"image": "evil:1"}, "image"),
        ({"profile": "huge"}, "huge"),
        ({"idle_timeout": 0}, "idle_timeout"),
        ({"environment": {"LD_PRELOAD": "x"}}, "LD_PRELOAD"),
        ({"environment": {"OMP_NUM_THREADS": "64"}}, "OMP_NUM_THREADS"),
        ({"home": 5}, "home"),
        ({"name": "No"}, "name"),
        ({"name": "x\n"}, "name"),
    ):
        refused = ask(ann, **wrong)
        assert refused.status_code == 422, wrong
        assert word in refused.json()["detail"]
    assert ann.get("/v1/servers").json() == {"servers": []}


def test_a_ticket_is_for_whoever_has_a_server(service, ann, running, user):
    pair = new_keypair()
    asked = {"client_pubkey": pair.public.decode()}
    refused = ann.post("/v1/tickets", json=asked)
    assert refused.status_code == 409
    assert "start one" in refused.json()["detail"]
    ask(ann)
    answer = ann.post("/v1/tickets", json=asked)
    assert answer.headers["Cache-Control"] == "no-store"
    told = answer.json()
    pem = SigningKey.read(running.app.state.parts.settings.signing_key_file).public_pem
    assert Verifier([pem]).ticket(told["ticket"], asked["client_pubkey"]).user == user
    assert len(bytes.fromhex(told["job_secret"])) == 32
    assert told["warnings"] == []
    assert ann.post("/v1/tickets", json={"client_pubkey": "short"}).status_code == 422
    ann.delete("/v1/servers/default")
    assert ann.post("/v1/tickets", json=asked).status_code == 409


def test_a_failure_is_told_with_its_cause(service, ann, user):
    ask(ann)
    until(lambda: ("place", 1) in service.spawner.done, "it to be placed")
    cause = Cause("image", "The image rexec-server:1 cannot be fetched.", "Ask for another.", True)
    service.see(user, "default", 1, "pulling", cause=cause)
    until(lambda: service.record(user).state == "failed", "its failure")
    told = ann.get("/v1/servers/default").json()["cause"]
    assert (told["reason"], told["hint"], told["final"]) == ("image", "Ask for another.", True)
    refused = ann.post("/v1/tickets", json={"client_pubkey": new_keypair().public.decode()})
    assert refused.status_code == 409
    assert "cannot be fetched. Ask for another." in refused.json()["detail"]
    # Asking again tries again.
    assert ask(ann).status_code == 201


def test_a_store_that_does_not_answer_is_told(service, ann):
    service.spawner.fails["fetch"] = failing()
    refused = ask(ann)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert refused.json()["detail"] == "The store is away. Try again later."
    assert refused.json()["cause"]["reason"] == "backend"
    service.spawner.fails["fetch"] = failing("No room.", reason="quota", final=True)
    assert ask(ann).status_code == 409
    service.spawner.fails["fetch"] = failing("Never.", reason="configuration", final=True)
    assert ask(ann).status_code == 422


def test_events_come_as_they_happen_and_are_resumed(service, ann, user):
    ask(ann)
    until(lambda: ("place", 1) in service.spawner.done, "it to be placed")
    service.see(user, "default", 1, "installing")
    with ann.stream("GET", "/v1/servers/default/events") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        events = events_in(stream.iter_lines())
        seen, lines = [], []
        while len(lines) < 2:  # what the installer says comes with them
            number, event = next(events)
            if event["kind"] == "line":
                lines.append(event)
            else:
                seen.append((number, event))
        assert lines == [
            {"kind": "line", "state": "installing", "text": text} for text in ("one", "two")
        ]
        assert seen[-1][1]["state"] == "installing"
        make_ready(service, user)
        while seen[-1][1]["state"] != "ready":
            seen.append(next(events))
        assert [number for number, _ in seen] == list(range(1, len(seen) + 1))
        until(service.spawner.log_closed.is_set, "the log to be closed")
    last = seen[-2][0]
    with ann.stream(
        "GET", "/v1/servers/default/events", headers={"Last-Event-ID": str(last)}
    ) as stream:
        events = events_in(stream.iter_lines())
        assert next(events) == seen[-1]
        ann.delete("/v1/servers/default")
        assert [event["state"] for _, event in events] == ["stopping", "gone"]


def test_a_number_of_an_earlier_server_tells_nothing_of_this_one(service, ann):
    ask(ann)
    headers = {"Last-Event-ID": "5000"}
    with ann.stream("GET", "/v1/servers/default/events", headers=headers) as stream:
        assert next(events_in(stream.iter_lines()))[0] == 1
    headers = {"Last-Event-ID": "what"}
    with ann.stream("GET", "/v1/servers/default/events", headers=headers) as stream:
        assert next(events_in(stream.iter_lines()))[0] == 1


def test_silence_is_filled_and_nobody_is_followed_after_leaving(service, ann, monkeypatch):
    monkeypatch.setattr("rexec_deploy_api.service._SILENCE", 0.05)
    ask(ann)
    followers = service.app.state.running.servers._followers
    with ann.stream("GET", "/v1/servers/default/events") as stream:
        for line in stream.iter_lines():
            if line.startswith(":"):
                assert followers
                break
    until(lambda: not followers, "the stream to end")


def test_logs_are_streamed(service, ann):
    ask(ann)
    answer = ann.get("/v1/servers/default/logs", params={"part": "agent"})
    assert (answer.text, answer.headers["Content-Type"]) == (
        "one\ntwo\n",
        "text/plain; charset=utf-8",
    )
    with ann.stream("GET", "/v1/servers/default/logs", params={"follow": True}) as stream:
        lines = stream.iter_lines()
        assert [next(lines), next(lines)] == ["one", "two"]
        service.do(service.spawner.going_on.set)
        assert next(lines) == "three"


def test_who_leaves_while_packages_are_installed_is_followed_by_nothing(service, ann, user):
    ask(ann)
    until(lambda: ("place", 1) in service.spawner.done, "it to be placed")
    service.see(user, "default", 1, "installing")
    until(lambda: service.record(user).state == "installing", "the installer")
    known = {"Last-Event-ID": str(service.record(user).events[-1].seq)}
    with ann.stream("GET", "/v1/servers/default/events", headers=known) as stream:
        events = events_in(stream.iter_lines())
        assert [next(events)[1]["text"] for _ in range(2)] == ["one", "two"]
    until(service.spawner.log_closed.is_set, "the log to be closed")
    until(lambda: not service.app.state.running.servers._followers, "the stream to end")


def test_a_log_that_nobody_reads_any_more_is_closed(service, ann):
    ask(ann)
    service.spawner.log.clear()
    with ann.stream("GET", "/v1/servers/default/logs", params={"follow": True}) as stream:
        assert stream.status_code == 200  # though nothing came yet
    until(service.spawner.log_closed.is_set, "the log to be closed")


def test_logs_that_are_not_there_are_told(service, ann):
    ask(ann)
    missing = ann.get("/v1/servers/default/logs", params={"previous": True})
    assert missing.status_code == 404
    assert "no process before" in missing.json()["detail"]
    assert ann.get("/v1/servers/default/logs", params={"part": "../x"}).status_code == 422
    assert ann.get("/v1/servers/none/logs").status_code == 404
    service.spawner.fails["logs"] = failing()
    assert ann.get("/v1/servers/default/logs").status_code == 503


def test_only_members_of_a_group_start_servers(identity, tmp_path):
    identity.add("member", groups=["/NDP/Team"])
    with serving(
        tmp_path, identity, enable_group_based_access=True, group_names=("/ndp/team",)
    ) as service:
        with service.client(identity.token("ann")) as client:
            assert ask(client).status_code == 403
            assert client.get("/v1/profiles").status_code == 403
            assert client.get("/v1/servers").status_code == 200
        with service.client(identity.token("member")) as client:
            assert ask(client).status_code == 201


def test_another_who_does_not_lead_answers_and_leaves_the_servers_alone(service, ann, user):
    service.do(setattr, service.spawner, "leads", False)
    try:
        assert ask(ann).status_code == 201
        assert ann.get("/v1/servers/default").json()["state"] == "requested"
        assert service.spawner.there == {}
    finally:
        service.do(setattr, service.spawner, "leads", True)
    service.do(service.app.state.running.controller.touch, service.record(user).key)
    until(lambda: service.spawner.there, "it to be placed")


def test_health_readiness_and_metrics(service, ann, anonymous):
    ask(ann)
    assert anonymous.get("/health").json()["status"] == "healthy"
    told = anonymous.get("/ready")
    assert told.status_code == 200
    assert told.json()["checks"]["servers"] is True
    text = anonymous.get("/metrics").text
    assert "rexec_deploy_servers{state=" in text
    assert "rexec_deploy_leads 1.0" in text
    assert "rexec_deploy_step_seconds_count" in text
    assert 'route="/v1/servers"' in text
    service.do(setattr, service.spawner, "ready", False)
    try:
        assert anonymous.get("/ready").status_code == 503
    finally:
        service.do(setattr, service.spawner, "ready", True)


def test_the_api_describes_itself(anonymous):
    told = anonymous.get("/openapi.json").json()
    assert {"/spawn", "/terminate", "/broker-config", "/v1/servers", "/v1/tickets"} <= set(
        told["paths"]
    )
    assert json.dumps(told)


def test_it_answers_under_its_prefix_too(service, identity):
    with service.client(identity.token("ann"), root="/rexec") as client:
        assert ask(client).status_code == 201
        assert client.get("/v1/servers").json()["servers"][0]["events_url"] == (
            "/rexec/v1/servers/default/events"
        )
        assert client.get("/health").status_code == 200
