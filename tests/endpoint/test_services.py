"""Services: registered, found and changed."""

import pytest


@pytest.fixture
def body(fresh):
    return {
        "service_name": fresh("Rain API"),
        "service_title": "Rain API",
        "owner_org": "services",
        "service_url": "https://rain.example.org/api",
        "service_type": "API",
        "extras": {"version": "1.0", "requires_auth": False},
        "health_check_url": "https://rain.example.org/health",
        "documentation_url": "https://rain.example.org/docs",
    }


@pytest.fixture
def service(as_writer, body):
    return register(as_writer, body)


def register(client, body):
    answer = client.post("/services", json=body)
    assert answer.status_code == 201, answer.text
    assert set(answer.json()) == {"id"}
    return answer.json()["id"]


def read(client, service):
    answer = client.get(f"/dataset/{service}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def detail(answer, status):
    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["detail"], str)
    return answer.json()["detail"]


def test_a_service_is_a_dataset_with_one_resource(anonymous, body, service):
    found = read(anonymous, service)
    assert found["name"] == body["service_name"]
    assert found["owner_org"] == "services"
    assert found["notes"] == "Service: Rain API"
    described = {
        "service_type": "API",
        "health_check_url": "https://rain.example.org/health",
        "documentation_url": "https://rain.example.org/docs",
        "version": "1.0",
        "requires_auth": False,
    }
    assert described.items() <= found["extras"].items()
    [resource] = found["resources"]
    assert resource["format"] == "service"
    assert resource["url"] == "https://rain.example.org/api"


def test_a_name_is_given_once_only(as_writer, body, service):
    assert "Duplicate Service" in detail(as_writer.post("/services", json=body), 409)


def test_only_one_organization_has_services(as_writer, body):
    answer = as_writer.post("/services", json=body | {"owner_org": "others"})
    assert "owner_org must be 'services'" in detail(answer, 422)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("key", ["id", "name"])
def test_a_change_keeps_what_is_not_said(as_writer, anonymous, body, service, method, key):
    before = read(anonymous, service)
    change = {"service_url": "http://rain.example.org/v2", "extras": {"version": "2"}}
    answer = as_writer.request(method, f"/services/{before[key]}", json=change)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"message": "Service updated successfully"}
    after = read(anonymous, service)
    assert after["extras"] == before["extras"] | {"version": "2"}
    [resource] = after["resources"]
    assert resource["url"] == "http://rain.example.org/v2"
    assert resource["id"] == before["resources"][0]["id"]
    assert after["title"] == before["title"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_everything_can_be_changed(as_writer, anonymous, service, method, fresh):
    change = {
        "service_name": fresh("new"),
        "service_title": "New",
        "owner_org": "services",
        "service_type": "page",
        "notes": "Better",
        "health_check_url": "https://h.example.org/",
        "documentation_url": "https://d.example.org/",
    }
    assert as_writer.request(method, f"/services/{service}", json=change).status_code == 200
    after = read(anonymous, service)
    assert (after["name"], after["title"]) == (change["service_name"], "New")
    assert after["notes"] == "Better"
    for key in ("service_type", "health_check_url", "documentation_url"):
        assert after["extras"][key] == change[key]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_one_that_is_not_there(as_writer, method, fresh):
    answer = as_writer.request(method, f"/services/{fresh('none')}", json={})
    assert "Service not found" in detail(answer, 404)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_the_name_of_another_cannot_be_taken(as_writer, body, service, method, fresh):
    other = register(as_writer, body | {"service_name": fresh("other")})
    change = {"service_name": body["service_name"]}
    answer = as_writer.request(method, f"/services/{other}", json=change)
    assert "Duplicate Service" in detail(answer, 409)


@pytest.mark.parametrize(
    "wrong",
    [
        {"service_name": ""},
        {"service_name": "x" * 101},
        {"service_name": "a/b"},
        {"service_title": "x" * 201},
        {"service_type": "x" * 51},
        {"service_url": "ftp://h/"},
        {"service_url": "https://user:word@h.example.org/"},
        {"service_url": "javascript:alert(1)"},
        {"service_url": None},
        {"health_check_url": "/health"},
        {"documentation_url": "docs"},
        {"extras": {"a": "\0"}},
    ],
)
def test_what_cannot_be_one_is_refused(as_writer, body, wrong):
    assert detail(as_writer.post("/services", json=body | wrong), 422)


def test_keys_that_every_dataset_has_are_refused(as_writer, body):
    answer = as_writer.post("/services", json=body | {"extras": {"title": "x"}})
    assert detail(answer, 400).startswith("Reserved key error")


def test_only_writers_may(anonymous, as_viewer, body, service):
    for method, path in (("POST", "/services"), ("PUT", f"/services/{service}")):
        assert anonymous.request(method, path, json=body).status_code == 401
        assert as_viewer.request(method, path, json=body).status_code == 403
