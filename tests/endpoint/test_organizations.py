"""Organizations: registered, listed, deleted, and by whom."""

import pytest


@pytest.fixture
def organization(as_writer, fresh):
    name = fresh("lab")
    body = {"name": name, "title": "A lab", "description": "What it does"}
    answer = as_writer.post("/organization", json=body)
    assert answer.status_code == 201, answer.text
    return name


def names(client, **params):
    answer = client.get("/organization", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_registering_one_gives_it_an_identifier(as_writer, fresh):
    answer = as_writer.post("/organization", json={"name": fresh("lab"), "title": "A lab"})
    assert answer.status_code == 201
    assert set(answer.json()) == {"id", "message"}
    assert answer.json()["message"] == "Organization created successfully"


@pytest.mark.parametrize("server", [None, "local", "global"])
def test_it_is_listed_by_name_for_everybody(anonymous, organization, server):
    params = {"server": server} if server else {}
    assert organization in names(anonymous, **params)


def test_the_one_for_services_is_always_there(anonymous):
    assert "services" in names(anonymous)


def test_a_part_of_the_name_finds_it_in_any_case(anonymous, organization):
    assert names(anonymous, name=organization[2:].upper()) == [organization]


@pytest.mark.parametrize("name", ["%", "_%", "' OR 1=1 --", "\\"])
def test_no_pattern_in_the_name_finds_more_than_it_says(anonymous, organization, name):
    assert organization not in names(anonymous, name=name)


def test_those_of_the_caller(as_writer, as_admin, organization):
    assert organization in names(as_writer, mine=True)
    assert organization not in names(as_admin, mine=True)


def test_those_of_nobody_in_particular_are_refused(anonymous):
    answer = anonymous.get("/organization", params={"mine": True})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_while_the_identity_service_is_down_nobody_is_said_to_have_none(endpoint, identity, fresh):
    person = identity.add(fresh("person"))
    with endpoint.client(person.token) as client, identity.down():
        answer = client.get("/organization", params={"mine": True})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_a_name_is_given_once_only(as_writer, organization):
    answer = as_writer.post("/organization", json={"name": organization, "title": "Another"})
    assert answer.status_code == 400
    assert "Group name already exists in database" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "title": "X"},
        {"name": "a/b", "title": "X"},
        {"name": "a\0b", "title": "X"},
        {"name": "x" * 101, "title": "X"},
        {"name": "no-title"},
        {"title": "no name"},
        ["a list"],
    ],
)
def test_what_cannot_be_one_is_refused(as_writer, body):
    answer = as_writer.post("/organization", json=body)
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


def test_a_name_of_any_script_is_kept_as_it_is(as_writer, anonymous, fresh):
    name = fresh("Hydrologie Zürich 水文")
    answer = as_writer.post("/organization", json={"name": name, "title": "Ü"})
    assert answer.status_code == 201, answer.text
    assert name in names(anonymous)
    assert as_writer.delete(f"/organization/{name}").status_code == 200


def test_deleting_one_takes_its_datasets_along(as_writer, anonymous, organization, fresh):
    dataset = {"name": fresh("rain"), "title": "Rain", "owner_org": organization}
    assert as_writer.post("/dataset", json=dataset).status_code == 201
    answer = as_writer.delete(f"/organization/{organization}")
    assert answer.status_code == 200
    assert answer.json()["message"].startswith("Organization deleted successfully")
    assert organization not in names(anonymous)
    found = anonymous.get("/search", params={"terms": dataset["name"], "server": "local"})
    assert found.json() == []


def test_with_datasets_it_stays_if_they_must_not_go(as_writer, anonymous, organization, fresh):
    dataset = {"name": fresh("rain"), "title": "Rain", "owner_org": organization}
    assert as_writer.post("/dataset", json=dataset).status_code == 201
    answer = as_writer.delete(f"/organization/{organization}", params={"cascade": False})
    assert answer.status_code == 409
    assert organization in names(anonymous)


def test_without_datasets_it_goes_either_way(as_writer, anonymous, organization):
    answer = as_writer.delete(f"/organization/{organization}", params={"cascade": False})
    assert answer.status_code == 200
    assert organization not in names(anonymous)


def test_deleting_what_is_not_there(as_writer, fresh):
    answer = as_writer.delete(f"/organization/{fresh('none')}")
    assert answer.status_code == 404
    assert "Organization not found" in answer.json()["detail"]


def test_defect_01_nobody_without_the_right_deletes_one(anonymous, as_viewer, organization):
    assert anonymous.delete(f"/organization/{organization}").status_code == 401
    assert as_viewer.delete(f"/organization/{organization}").status_code == 403
    assert organization in names(anonymous)


def test_the_one_for_services_cannot_be_deleted(as_admin, anonymous):
    assert as_admin.delete("/organization/services").status_code == 400
    assert "services" in names(anonymous)


def test_another_catalog_must_be_configured(as_writer, anonymous, fresh):
    answer = as_writer.post(
        "/organization", params={"server": "pre_ckan"}, json={"name": fresh("x"), "title": "X"}
    )
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Pre-CKAN is disabled and cannot be used."
    assert anonymous.get("/organization", params={"server": "other"}).status_code == 422
