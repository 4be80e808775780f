"""Datasets: registered, read, changed, published, deleted, and by whom."""

import re
import uuid

import pytest


@pytest.fixture(scope="module")
def organization(endpoint, identity):
    """An organization for all datasets of this module."""
    with endpoint.client(identity.token("writer")) as client:
        name = "datasets-lab"
        answer = client.post("/organization", json={"name": name, "title": "Lab"})
        assert answer.status_code in (201, 400), answer.text
    return name


@pytest.fixture
def body(organization, fresh):
    """A dataset with everything."""
    return {
        "name": fresh("rain"),
        "title": "Rain",
        "owner_org": organization,
        "notes": "Hourly sums",
        "tags": ["hourly", "rain"],
        "groups": ["water"],
        "extras": {"count": 40, "deep": {"a": [1, None, "ü"]}, "text": "x"},
        "resources": [
            {
                "name": "first",
                "url": "https://data.example.org/first.csv",
                "format": "CSV",
                "description": "The first",
                "mimetype": "text/csv",
                "size": 12,
            },
            {"name": "second", "url": "s3://bucket/second.nc", "format": "NetCDF"},
        ],
        "license_id": "cc-by",
        "version": "1.2",
    }


@pytest.fixture
def dataset(as_writer, body):
    """The identifier of a registered dataset."""
    return register(as_writer, body)["id"]


def register(client, body):
    answer = client.post("/dataset", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def read(client, dataset):
    answer = client.get(f"/dataset/{dataset}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def detail(answer, status):
    assert answer.status_code == status, answer.text
    said = answer.json()["detail"]
    assert isinstance(said, str)
    return said


def names(dataset):
    return [resource["name"] for resource in dataset["resources"]]


def test_registering_one_tells_what_it_is_now(as_writer, body):
    created = register(as_writer, body)
    assert created == {
        "id": created["id"],
        "name": body["name"],
        "title": "Rain",
        "warning": None,
    }


def test_everything_about_it_is_kept(anonymous, body, dataset):
    found = read(anonymous, dataset)
    for key in ("name", "title", "owner_org", "notes", "license_id", "version"):
        assert found[key] == body[key]
    assert sorted(found["tags"]) == body["tags"]
    assert found["groups"] == body["groups"]
    assert found["private"] is False
    assert body["extras"].items() <= found["extras"].items()
    for kept, given in zip(found["resources"], body["resources"], strict=True):
        assert given.items() <= kept.items()
        assert kept["package_id"] == dataset


def test_it_is_read_by_name_as_well(anonymous, body, dataset):
    assert read(anonymous, body["name"]) == read(anonymous, dataset)


def test_the_least_that_makes_one(as_writer, anonymous, organization, fresh):
    body = {"name": fresh(), "title": "T", "owner_org": organization}
    found = read(anonymous, register(as_writer, body)["id"])
    assert found["resources"] == []
    assert found["tags"] == []
    assert found["notes"] == ""


def test_nulls_are_the_same_as_nothing(as_writer, anonymous, organization, fresh):
    empty = dict.fromkeys(
        ("notes", "tags", "groups", "extras", "resources", "private", "license_id", "version")
    )
    body = {"name": fresh(), "title": "T", "owner_org": organization} | empty
    assert read(anonymous, register(as_writer, body)["id"])["private"] is False


def test_who_created_it_can_be_told_but_not_said(as_writer, as_admin, anonymous, body):
    lies = {"ndp_user_id": "somebody else", "ndp_creator_md5": "0", "ndp_group_id": "another"}
    dataset = register(as_writer, body | {"extras": {"k": "v"} | lies})["id"]
    extras = read(anonymous, dataset)["extras"]
    assert extras["ndp_group_id"] == "Unknown Organization"
    assert re.fullmatch("[0-9a-f]{16}", extras["ndp_user_id"])
    assert re.fullmatch("[0-9a-f]{32}", extras["ndp_creator_md5"])
    answer = as_admin.put(f"/dataset/{dataset}", json={"extras": lies})
    assert answer.status_code == 200, answer.text
    assert read(anonymous, dataset)["extras"] == extras


def test_a_name_that_is_taken_gets_the_time_added(as_writer, body):
    register(as_writer, body)
    second = register(as_writer, body)
    assert re.fullmatch(rf"{body['name']}-\d{{14}}", second["name"])
    assert re.fullmatch(r"Rain \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\)", second["title"])
    assert body["name"] in second["warning"]


def test_an_organization_that_is_not_there(as_writer, body, fresh):
    answer = as_writer.post("/dataset", json=body | {"owner_org": fresh("none")})
    assert "Organization does not exist" in detail(answer, 400)


@pytest.mark.parametrize("key", ["name", "url", "state", "tags", "last_modified"])
def test_keys_that_a_dataset_has_itself_are_refused(as_writer, body, key):
    answer = as_writer.post("/dataset", json=body | {"extras": {key: "x"}})
    assert detail(answer, 400).startswith("Reserved key error: ")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Upper"},
        {"name": "with blank"},
        {"name": "line\n"},
        {"name": ""},
        {"name": "ü"},
        {"name": 5},
        {"name": "x" * 201},
        {"title": None},
        {"title": "a\0b"},
        {"owner_org": ""},
        {"tags": "rain"},
        {"tags": ["x"] * 10_000},
        {"tags": [1]},
        {"extras": ["x"]},
        {"extras": {"a": 10**30}},
        {"extras": {"a": "\0"}},
        {"extras": {"\0": "a"}},
        {"resources": [{"name": "n"}]},
        {"resources": [{"name": "n", "url": "ftp://h/x"}]},
        {"resources": [{"name": "n", "url": "https://"}]},
        {"resources": [{"name": "n", "url": "https://[::1"}]},
        {"resources": [{"name": "n", "url": "javascript:alert(1)"}]},
        {"resources": [{"name": "n", "url": "https://h/a b"}]},
        {"resources": [{"name": "n", "url": "https://h/", "size": -1}]},
        {"resources": [{"name": "n", "url": "https://h/", "size": 2**70}]},
        {"resources": [{"name": "", "url": "https://h/"}]},
        {"private": "perhaps"},
    ],
)
def test_what_cannot_be_one_is_refused(as_writer, anonymous, body, wrong):
    answer = as_writer.post("/dataset", json=body | wrong)
    assert detail(answer, 422)
    assert anonymous.get(f"/dataset/{body['name']}").status_code == 404


@pytest.mark.parametrize("text", ["NaN", "Infinity", '"\\ud800"', "1e999", "[" * 40 + "]" * 40])
def test_what_no_json_reader_takes_is_refused(as_writer, organization, fresh, text):
    content = (
        f'{{"name": "{fresh()}", "title": "T", "owner_org": "{organization}", '
        f'"extras": {{"k": {text}}}}}'
    )
    answer = as_writer.post(
        "/dataset", content=content, headers={"Content-Type": "application/json"}
    )
    assert detail(answer, 422)


@pytest.mark.parametrize("url", ["/data/x.csv", "./x.csv", "ws://h/x", "wss://h", "S3://b/k"])
def test_where_a_resource_may_be(as_writer, anonymous, body, url):
    body["resources"] = [{"name": "n", "url": url}]
    found = read(anonymous, register(as_writer, body)["id"])
    assert found["resources"][0]["url"] == url


def test_put_keeps_what_is_not_said(as_writer, anonymous, body, dataset):
    before = read(anonymous, dataset)
    answer = as_writer.put(f"/dataset/{dataset}", json={"title": "New", "resources": []})
    assert answer.status_code == 200
    assert answer.json() == {"message": "Dataset updated successfully"}
    after = read(anonymous, dataset)
    assert after.pop("metadata_modified") >= before.pop("metadata_modified")
    assert after == before | {"title": "New"}


def test_put_adds_extras_and_replaces_lists(as_writer, anonymous, body, dataset):
    change = {
        "extras": {"text": "y", "more": [1]},
        "tags": ["one"],
        "groups": [],
        "resources": [{"name": "only", "url": "https://h.example.org/only"}],
        "private": False,
        "version": "2",
    }
    assert as_writer.put(f"/dataset/{body['name']}", json=change).status_code == 200
    after = read(anonymous, dataset)
    assert after["extras"].items() >= {"count": 40, "text": "y", "more": [1]}.items()
    assert after["tags"] == ["one"]
    assert after["groups"] == []
    assert names(after) == ["only"]
    assert after["version"] == "2"


def test_patch_adds_resources_and_takes_the_place_of_the_same(as_writer, anonymous, body, dataset):
    before = read(anonymous, dataset)
    second = body["resources"][1]
    change = {
        "resources": [
            {"name": "first", "url": "https://new.example.org/"},
            {"name": "renamed", "url": second["url"]},
            {"name": "third", "url": "https://third.example.org/"},
        ]
    }
    answer = as_writer.patch(f"/dataset/{dataset}", json=change)
    assert answer.json() == {"message": "Dataset updated successfully"}
    after = read(anonymous, dataset)
    assert sorted(names(after)) == ["first", "renamed", "third"]
    kept = {resource["id"] for resource in before["resources"]}
    assert kept < {resource["id"] for resource in after["resources"]}
    assert after["tags"] == before["tags"]


def test_another_name_frees_the_old_one(as_writer, anonymous, body, dataset, fresh):
    name = fresh("new")
    assert as_writer.patch(f"/dataset/{dataset}", json={"name": name}).status_code == 200
    assert read(anonymous, name)["id"] == dataset
    assert anonymous.get(f"/dataset/{body['name']}").status_code == 404
    assert register(as_writer, body)["name"] == body["name"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_the_name_of_another_cannot_be_taken(as_writer, body, dataset, method, fresh):
    other = register(as_writer, body | {"name": fresh("other")})
    answer = as_writer.request(method, f"/dataset/{other['id']}", json={"name": body["name"]})
    assert "Duplicate Dataset" in detail(answer, 409)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_changes_that_cannot_be_change_nothing(as_writer, anonymous, dataset, method, fresh):
    before = read(anonymous, dataset)
    changes = [
        ({"title": "x", "owner_org": fresh("none")}, 400, "Organization does not exist"),
        ({"title": "x", "extras": {"id": "x"}}, 400, "Reserved key error"),
        ({"title": "x", "name": "Bad Name"}, 422, "name"),
        ({"title": "x", "resources": [{"url": "x:y", "name": "n"}]}, 422, "address"),
    ]
    for change, status, said in changes:
        answer = as_writer.request(method, f"/dataset/{dataset}", json=change)
        assert said in detail(answer, status)
    assert read(anonymous, dataset) == before


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH"])
def test_one_that_is_not_there(as_writer, method, fresh):
    body = None if method == "GET" else {"title": "x"}
    answer = as_writer.request(method, f"/dataset/{fresh('none')}", json=body)
    assert "Dataset not found" in detail(answer, 404)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_only_writers_change_one(anonymous, as_viewer, dataset, body, method):
    path = f"/dataset/{dataset}"
    assert anonymous.request(method, path, json={"title": "x"}).status_code == 401
    assert as_viewer.request(method, path, json={"title": "x"}).status_code == 403
    assert anonymous.post("/dataset", json=body).status_code == 401
    assert as_viewer.post("/dataset", json=body).status_code == 403
    assert read(anonymous, dataset)["title"] == "Rain"


def test_a_dataset_of_any_script(as_writer, anonymous, body):
    body |= {"title": "Осадки 降水 🌧", "notes": "عربى\n\ttabs", "tags": ["降水"]}
    found = read(anonymous, register(as_writer, body)["id"])
    assert (found["title"], found["notes"], found["tags"]) == (
        body["title"],
        body["notes"],
        body["tags"],
    )


def test_a_private_one_is_seen_by_its_creator_and_by_writers(
    as_writer, as_viewer, as_admin, anonymous, body
):
    dataset = register(as_writer, body | {"private": True})["id"]
    resource = read(as_writer, dataset)["resources"][0]["id"]
    for path, what in ((f"/dataset/{dataset}", "Dataset"), (f"/resource/{resource}", "Resource")):
        assert as_writer.get(path).status_code == 200
        assert as_admin.get(path).status_code == 200
        assert f"{what} not found" in detail(anonymous.get(path), 404)
        assert f"{what} not found" in detail(as_viewer.get(path), 404)


def test_nobody_learns_that_there_is_a_private_one_they_may_not_see(
    as_writer, as_viewer, anonymous, body
):
    dataset = register(as_writer, body | {"private": True})["id"]
    resource = read(as_writer, dataset)["resources"][0]["id"]
    nothing = str(uuid.uuid4())
    for client in (anonymous, as_viewer):
        for path, there in (("dataset", dataset), ("resource", resource)):
            said = detail(client.get(f"/{path}/{there}"), 404)
            assert said.replace(there, nothing) == detail(client.get(f"/{path}/{nothing}"), 404)


def test_without_another_catalog_nothing_is_published(as_writer, as_viewer, dataset):
    answer = as_writer.post(f"/dataset/{dataset}/publish")
    assert detail(answer, 400) == "Pre-CKAN is disabled and cannot be used."
    assert as_viewer.post(f"/dataset/{dataset}/publish").status_code == 403


@pytest.mark.parametrize("server", ["global", "elsewhere", ""])
def test_a_catalog_that_cannot_be_written_to(as_writer, body, server):
    answer = as_writer.post("/dataset", json=body, params={"server": server})
    assert "server" in detail(answer, 422)
