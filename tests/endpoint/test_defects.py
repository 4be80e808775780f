"""What has gone wrong in endpoints before, by its number, and does not here.

Where a defect belongs to a part that has tests of its own, its test is among those, with the
number in its name all the same. The last test here makes sure that no number is missing.
"""

import asyncio
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from pydantic import SecretStr

from rexec_ep_api.app import create_app
from rexec_ep_api.catalog.records import NewDataset
from rexec_ep_api.catalog.store import Catalog
from rexec_ep_api.settings import EndpointSettings
from tests.endpoint.authentication import asking

PRE_CKAN_OFF = "Pre-CKAN is disabled and cannot be used."


@pytest.fixture
def organization(as_writer, fresh):
    name = fresh("lab")
    assert as_writer.post("/organization", json={"name": name, "title": "L"}).status_code == 201
    return name


@pytest.fixture
def make(as_writer, organization, fresh):
    """Register a dataset; return its name."""

    def made(**more):
        body = {"name": fresh("data"), "title": "A title", "owner_org": organization} | more
        answer = as_writer.post("/dataset", json=body)
        assert answer.status_code == 201, answer.text
        return body["name"]

    return made


def read(client, dataset):
    answer = client.get(f"/dataset/{dataset}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def search(client, **body):
    answer = client.post("/search", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def change(client, method, path, body):
    answer = client.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


# Security


def test_defect_01_nothing_is_deleted_without_a_right_to_it(
    anonymous, as_viewer, organization, make
):
    name = make(resources=[{"name": "n", "url": "https://h.example.org/"}])
    before = read(anonymous, name)
    resource = before["resources"][0]["id"]
    for path in (
        f"/organization/{organization}",
        f"/resource?resource_id={name}",
        f"/resource/{name}",
        f"/resource/{resource}",
        f"/dataset/{name}/resource/{resource}",
    ):
        assert anonymous.delete(path).status_code == 401
        assert as_viewer.delete(path).status_code == 403
    assert read(anonymous, name) == before


@pytest.mark.parametrize("text", ["$where", "function() { return true; }", "{'$ne': null}"])
def test_defect_03_no_operator_of_a_query_language_is_let_in(anonymous, make, text):
    name = make()
    for asked in (
        anonymous.get("/search", params={"terms": "1", "keys": text}),
        anonymous.get("/search", params={"terms": text}),
        anonymous.post("/search", json={"filter_list": [f"$where:{text}"]}),
        anonymous.post("/search", json={"filter_list": [text], "search_term": text}),
    ):
        assert asked.status_code == 200
        assert name not in [hit["name"] for hit in asked.json()]
    assert anonymous.get(f"/services/redirect/{text}").status_code == 404
    assert anonymous.get(f"/dataset/{text}").status_code == 404


@pytest.mark.parametrize("pattern", ["(", "[", "*", "(a+)+$", ".*", "^", "\\", "(?i)a"])
def test_defect_04_no_pattern_is_taken_for_more_than_a_text(anonymous, make, pattern):
    name = make(resources=[{"name": "a" * 200, "url": "https://h.example.org/"}])
    for field in ("q", "name", "url", "format", "description"):
        answer = anonymous.get("/resources/search", params={field: pattern, "limit": 1000})
        assert answer.status_code == 200
        assert name not in [found["dataset_name"] for found in answer.json()["results"]]


def test_defect_06_nobody_imports_or_downloads_without_a_token(anonymous, as_viewer):
    body = {"pelican_url": "osdf:///a/b", "package_id": "x"}
    path = "/pelican/import-metadata"
    assert anonymous.post(path, json=body).status_code == 401
    assert as_viewer.post(path, json=body).status_code == 403
    assert anonymous.get("/pelican/download", params={"path": "/a/b"}).status_code == 401


def test_defect_07_private_datasets_are_not_for_everybody(anonymous, as_viewer, as_writer, make):
    name = make(private=True, resources=[{"name": "n", "url": "https://h.example.org/"}])
    resource = read(as_writer, name)["resources"][0]
    assert read(as_writer, name)["private"] is True
    for client, count in ((anonymous, 0), (as_viewer, 0), (as_writer, 1)):
        assert len(client.get("/search", params={"terms": name}).json()) == count
        assert len(search(client, dataset_name=name)) == count
        found = client.get("/resources/search", params={"url": resource["url"]}).json()
        assert sum(one["dataset_name"] == name for one in found["results"]) == count
        status = 200 if count else 404
        assert client.get(f"/dataset/{name}").status_code == status
        assert client.get(f"/resource/{resource['id']}").status_code == status


def test_defect_12_no_password_is_known_to_everybody():
    settings = EndpointSettings(_env_file=None)
    secrets = {name: value for name, value in settings if isinstance(value, SecretStr)}
    address = secrets.pop("database_url").get_secret_value()
    assert "@" not in address
    assert {secret.get_secret_value() for secret in secrets.values()} == {""}


# Function


def test_defect_13_a_resource_is_deleted_by_its_identifier_and_its_dataset_stays(
    as_writer, anonymous, make
):
    resources = [{"name": n, "url": f"https://h.example.org/{n}"} for n in ("one", "two")]
    name = make(resources=resources)
    one, two = read(anonymous, name)["resources"]
    assert as_writer.delete(f"/resource/{one['id']}").status_code == 200
    assert read(anonymous, name)["resources"] == [two]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_defect_14_registrations_are_changed_where_they_are(
    as_writer, anonymous, organization, fresh, method
):
    url = {"resource_name": fresh("u"), "resource_title": "T", "owner_org": organization}
    s3 = url | {"resource_name": fresh("s")}
    kafka = {"dataset_name": fresh("k"), "dataset_title": "T", "owner_org": organization}
    kafka |= {"kafka_topic": "t", "kafka_host": "h", "kafka_port": 1}
    for path, body, new in (
        ("/url", url | {"resource_url": "https://h.example.org/"}, {"resource_title": "New"}),
        ("/s3", s3 | {"resource_s3": "s3://b/k"}, {"resource_title": "New"}),
        ("/kafka", kafka, {"dataset_title": "New"}),
    ):
        answer = as_writer.post(path, json=body)
        assert answer.status_code == 201, answer.text
        change(as_writer, method, f"{path}/{answer.json()['id']}", new)
        assert read(anonymous, answer.json()["id"])["title"] == "New"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_defect_15_resources_that_come_with_a_change_are_whole(
    as_writer, anonymous, make, method, fresh
):
    name, mark = make(), fresh("mark")
    resource = {"name": mark, "url": f"https://h.example.org/{mark}"}
    change(as_writer, method, f"/dataset/{name}", {"resources": [resource]})
    [found] = read(anonymous, name)["resources"]
    assert found["id"]
    assert anonymous.get(f"/resource/{found['id']}").json() == found
    assert anonymous.get("/resources/search", params={"name": mark}).json()["count"] == 1
    [hit] = search(anonymous, dataset_name=name)
    assert [one["id"] for one in hit["resources"]] == [found["id"]]


def test_defect_16_everything_that_is_registered_is_kept(anonymous, make, fresh):
    tag = fresh("tag")
    body = {
        "tags": [tag],
        "groups": ["g"],
        "private": False,
        "license_id": "cc-by",
        "version": "1",
        "resources": [
            {"name": "n", "url": "https://h.example.org/", "mimetype": "text/csv", "size": 5}
        ],
    }
    name = make(**body)
    found = read(anonymous, name)
    [resource] = found.pop("resources")
    [given] = body.pop("resources")
    assert body.items() <= found.items()
    assert given.items() <= resource.items()
    for params in ({"terms": tag}, {"terms": tag, "keys": "tags"}):
        hits = anonymous.get("/search", params=params).json()
        assert [hit["name"] for hit in hits] == [name]


def test_defect_17_what_a_resource_lacks_breaks_no_search(as_writer, anonymous, make):
    name = make(
        extras={"mapping": "{not JSON", "processing": None},
        resources=[{"name": "bare", "url": "/"}, {"name": "n", "url": "/n", "format": "CSV"}],
    )
    [hit] = search(anonymous, dataset_name=name, resource_format="csv")
    assert [resource["name"] for resource in hit["resources"]] == ["n"]
    assert search(anonymous, dataset_name=name, resource_description="x") == []
    [hit] = anonymous.get("/search", params={"terms": name}).json()
    assert hit["extras"]["mapping"] == "{not JSON"
    assert hit["resources"][0]["format"] is None


def test_defect_18_a_period_finds_what_lies_in_it(anonymous, make, fresh):
    mark = fresh("when")
    names = [
        make(notes=mark, extras={"timestamp": f"2026-0{month}-01T00:00:00"}) for month in (1, 2, 3)
    ]

    def found(timestamp):
        hits = search(anonymous, dataset_description=mark, timestamp=timestamp)
        return [hit["name"] for hit in hits]

    assert sorted(found("2026-01-15/2026-03-15")) == names[1:]
    assert found("<2026-02-15T00:00:00") == [names[1]]
    assert found(">2026-02-15T00:00:00") == [names[2]]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_defect_18_the_address_of_an_object_changes(
    as_writer, anonymous, organization, fresh, method
):
    body = {"resource_name": fresh("s3"), "resource_title": "T", "owner_org": organization}
    created = as_writer.post("/s3", json=body | {"resource_s3": "s3://bucket/old"}).json()
    change(as_writer, method, f"/s3/{created['id']}", {"resource_s3": "s3://bucket/new"})
    [resource] = read(anonymous, created["id"])["resources"]
    assert resource["url"] == "s3://bucket/new"


def test_defect_19_a_catalog_that_is_off_is_said_to_be_off(as_writer, make, organization):
    name = make(resources=[{"name": "n", "url": "https://h.example.org/"}])
    resource = read(as_writer, name)["resources"][0]["id"]
    new = {"name": "x", "title": "T", "owner_org": organization}
    for method, path, body in (
        ("PATCH", f"/dataset/{name}/resource/{resource}", {"name": "x"}),
        ("POST", "/dataset", new),
        ("PUT", f"/dataset/{name}", {"title": "x"}),
        ("DELETE", f"/resource/{name}", None),
    ):
        answer = as_writer.request(method, path, json=body, params={"server": "pre_ckan"})
        assert answer.status_code == 400
        assert answer.json()["detail"] == PRE_CKAN_OFF


def test_defect_20_no_route_hides_another():
    app = create_app(EndpointSettings(_env_file=None))
    operations = Counter(
        (method, re.sub(r"\{[^}]*\}", "{}", path))
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    )
    assert [operation for operation, count in operations.items() if count > 1] == []
    sources = Path(create_app.__code__.co_filename).parent.rglob("*.py")
    assert [source.name for source in sources if " " in source.name] == []


@pytest.mark.parametrize(
    ("path", "named", "body", "said"),
    [
        (
            "/url",
            "resource_name",
            {"resource_title": "T", "resource_url": "https://h.example.org/"},
            "Duplicate Dataset",
        ),
        (
            "/s3",
            "resource_name",
            {"resource_title": "T", "resource_s3": "s3://b/k"},
            "Duplicate Dataset",
        ),
        (
            "/kafka",
            "dataset_name",
            {"dataset_title": "T", "kafka_topic": "t", "kafka_host": "h", "kafka_port": 1},
            "Duplicate Dataset",
        ),
        (
            "/services",
            "service_name",
            {
                "service_title": "T",
                "service_url": "https://h.example.org/",
                "owner_org": "services",
            },
            "Duplicate Service",
        ),
    ],
)
def test_defect_21_a_name_that_is_taken_is_told_alike_everywhere(
    as_writer, organization, make, path, named, body, said
):
    answer = as_writer.post(path, json={named: make(), "owner_org": organization} | body)
    assert answer.status_code == 409
    assert said in answer.json()["detail"]


def test_defect_21_a_dataset_whose_name_is_taken_gets_another(as_writer, organization, make):
    name = make()
    body = {"name": name, "title": "T", "owner_org": organization}
    answer = as_writer.post("/dataset", json=body)
    assert answer.status_code == 201
    assert answer.json()["name"].startswith(f"{name}-")
    assert name in answer.json()["warning"]


def test_defect_21_services_are_counted(catalog_url):
    async def count():
        catalog = await Catalog.open(catalog_url)
        try:
            await catalog.create_dataset(NewDataset("one", "One", "services"))
            return (await catalog.count()).services
        finally:
            await catalog.close()

    assert asyncio.run(count()) == 1


@pytest.mark.parametrize("by", ["id", "name"])
def test_defect_22_a_dataset_goes_along_with_its_new_organization(
    as_writer, anonymous, make, fresh, by
):
    other = {"name": fresh("other"), "title": "Other"}
    other["id"] = as_writer.post("/organization", json=other).json()["id"]
    name = make()
    change(as_writer, "PUT", f"/dataset/{name}", {"owner_org": other[by]})
    assert read(anonymous, name)["owner_org"] == other["name"]
    assert [hit["name"] for hit in search(anonymous, owner_org=other["name"])] == [name]
    assert as_writer.delete(f"/organization/{other['name']}").status_code == 200
    assert anonymous.get(f"/dataset/{name}").status_code == 404


@pytest.mark.parametrize(
    ("role", "group"), [("role_name", "group_name"), ("roleName", "groupName")]
)
def test_defect_28_a_role_is_assigned_in_either_spelling(identity, fresh, role, group):
    ann = identity.add(fresh("person"))
    token = identity.token("admin")
    with asking(auth_api_url=identity.url, affinities_ep_uuid="ep-7") as asked:
        asked.grant(token, ann.username, "writer")
    sent = json.loads([body for path, _, body in identity.requests if path == "/role/assign"][-1])
    assert (sent[role], sent[group], sent["username"]) == ("writer", "ep-7", ann.username)


# All of them


def test_every_defect_has_a_test():
    sources = (path.read_text() for path in Path(__file__).parents[1].glob("*/test_*.py"))
    named = {
        number
        for source in sources
        for name in re.findall(r"^def test_defect_(\w+)", source, re.MULTILINE)
        for number in re.match(r"(\d\d(?:_and_\d\d)*)", name).group().split("_and_")
    }
    assert [number for number in range(1, 35) if f"{number:02}" not in named] == []
