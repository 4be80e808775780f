"""Resources: read, found, changed and deleted, within their dataset and on their own."""

import pytest


@pytest.fixture(scope="module")
def organization(endpoint, identity):
    with endpoint.client(identity.token("writer")) as client:
        answer = client.post("/organization", json={"name": "resources-lab", "title": "Lab"})
        assert answer.status_code in (201, 400), answer.text
    return "resources-lab"


@pytest.fixture
def dataset(as_writer, organization, fresh):
    """A dataset with two resources, as the endpoint shows it."""
    mark = fresh("res")
    body = {
        "name": mark,
        "title": "A title",
        "owner_org": organization,
        "resources": [
            {
                "name": f"{mark}-one",
                "url": f"https://data.example.org/{mark}/one.csv",
                "format": "CSV",
                "description": f"The first of {mark}",
                "mimetype": "text/csv",
                "size": 7,
            },
            {"name": f"{mark}-two", "url": f"s3://bucket/{mark}/two.nc"},
        ],
    }
    answer = as_writer.post("/dataset", json=body)
    assert answer.status_code == 201, answer.text
    return read(as_writer, mark)


def read(client, dataset):
    answer = client.get(f"/dataset/{dataset}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def search(client, **params):
    answer = client.get("/resources/search", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def not_found(answer, what="Resource"):
    assert answer.status_code == 404
    assert f"{what} not found" in answer.json()["detail"]


def test_one_is_read_by_its_identifier(anonymous, dataset):
    for resource in dataset["resources"]:
        answer = anonymous.get(f"/resource/{resource['id']}")
        assert answer.status_code == 200
        assert answer.json() == resource


def test_one_that_is_not_there(as_writer, fresh):
    identifier = fresh("none")
    not_found(as_writer.get(f"/resource/{identifier}"))
    not_found(as_writer.patch(f"/resource/{identifier}", json={"name": "x"}))
    not_found(as_writer.delete(f"/resource/{identifier}"))
    not_found(as_writer.delete("/resource", params={"resource_id": identifier}))


def test_a_change_keeps_the_rest(as_writer, anonymous, dataset):
    one, two = dataset["resources"]
    change = {"description": "Better", "format": "TSV"}
    answer = as_writer.patch(f"/resource/{one['id']}", json=change)
    assert answer.status_code == 200
    changed = answer.json()
    assert changed.pop("last_modified") >= one.pop("last_modified")
    assert changed == one | change
    after = read(anonymous, dataset["id"])["resources"]
    assert after[0]["description"] == "Better"
    assert after[1] == two


def test_a_change_shows_in_searches(as_writer, anonymous, dataset, fresh):
    one = dataset["resources"][0]
    name = fresh("renamed")
    assert as_writer.patch(f"/resource/{one['id']}", json={"name": name}).status_code == 200
    assert search(anonymous, name=name)["count"] == 1
    assert search(anonymous, name=one["name"])["count"] == 0
    hits = anonymous.get("/search", params={"terms": name}).json()
    assert [hit["resources"][0]["name"] for hit in hits] == [name]


def test_within_its_dataset(as_writer, anonymous, dataset):
    one, two = dataset["resources"]
    for key in (dataset["id"], dataset["name"]):
        path = f"/dataset/{key}/resource/{one['id']}"
        answer = as_writer.patch(path, json={"name": f"by {key}"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["name"] == f"by {key}"
    answer = as_writer.delete(path)
    assert answer.status_code == 200
    assert set(answer.json()) == {"message"}
    assert read(anonymous, dataset["id"])["resources"] == [two]


def test_not_within_another_dataset(as_writer, anonymous, dataset, organization, fresh):
    other = {"name": fresh("other"), "title": "T", "owner_org": organization}
    assert as_writer.post("/dataset", json=other).status_code == 201
    path = f"/dataset/{other['name']}/resource/{dataset['resources'][0]['id']}"
    not_found(as_writer.patch(path, json={"name": "x"}))
    not_found(as_writer.delete(path))
    assert read(anonymous, dataset["id"]) == dataset


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"name": "x" * 256}, {"url": "x:y"}, {"url": ""}, {"name": "\0"}, {"name": 1}],
)
def test_a_change_that_cannot_be_is_refused(as_writer, anonymous, dataset, wrong):
    answer = as_writer.patch(f"/resource/{dataset['resources'][0]['id']}", json=wrong)
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)
    assert read(anonymous, dataset["id"]) == dataset


def test_deleting_one_by_its_identifier_leaves_the_dataset(as_writer, anonymous, dataset):
    one, two = dataset["resources"]
    answer = as_writer.delete(f"/resource/{one['id']}")
    assert answer.status_code == 200
    assert answer.json() == {"message": f"{one['id']} deleted successfully"}
    assert read(anonymous, dataset["id"])["resources"] == [two]
    not_found(anonymous.get(f"/resource/{one['id']}"))


@pytest.mark.parametrize("key", ["id", "name"])
def test_deleting_a_dataset_where_no_resource_has_the_identifier(
    as_writer, anonymous, dataset, key
):
    answer = as_writer.delete(f"/resource/{dataset[key]}")
    assert answer.status_code == 200
    not_found(anonymous.get(f"/dataset/{dataset['id']}"), "Dataset")
    not_found(anonymous.get(f"/resource/{dataset['resources'][0]['id']}"))
    assert search(anonymous, name=dataset["name"])["count"] == 0


@pytest.mark.parametrize("key", ["id", "name"])
def test_deleting_a_dataset_by_a_parameter(as_writer, anonymous, dataset, key):
    answer = as_writer.delete("/resource", params={"resource_id": dataset[key]})
    assert answer.status_code == 200
    assert answer.json() == {"message": f"{dataset[key]} deleted successfully"}
    not_found(anonymous.get(f"/dataset/{dataset['id']}"), "Dataset")


def test_deleting_a_resource_by_a_parameter(as_writer, anonymous, dataset):
    one, two = dataset["resources"]
    assert as_writer.delete("/resource", params={"resource_id": one["id"]}).status_code == 200
    assert read(anonymous, dataset["id"])["resources"] == [two]


def test_deleting_nothing_in_particular(as_writer):
    assert as_writer.delete("/resource").status_code == 422


def test_finding_by_parts_in_any_case(anonymous, dataset):
    mark = dataset["name"]
    one, two = dataset["resources"]
    assert search(anonymous, q=mark.upper())["count"] == 2
    assert search(anonymous, name=f"{mark}-ONE")["results"][0]["id"] == one["id"]
    assert search(anonymous, url=f"{mark}/TWO")["results"][0]["id"] == two["id"]
    assert search(anonymous, description=f"first of {mark}")["results"][0]["id"] == one["id"]
    assert search(anonymous, q=mark, format="csv")["results"][0]["id"] == one["id"]
    assert search(anonymous, q=mark, format="cs")["count"] == 0
    assert search(anonymous, q=mark, name="one", url="two")["count"] == 0


def test_what_is_found_tells_its_dataset(anonymous, dataset):
    found = search(anonymous, name=f"{dataset['name']}-one")
    assert found == {
        "count": 1,
        "results": [
            dataset["resources"][0]
            | {
                "dataset_id": dataset["id"],
                "dataset_name": dataset["name"],
                "dataset_title": "A title",
            }
        ],
    }


def test_finding_page_by_page(anonymous, dataset):
    pages = [search(anonymous, q=dataset["name"], limit=1, offset=page) for page in range(3)]
    assert [page["count"] for page in pages] == [2, 2, 2]
    found = [result["id"] for page in pages for result in page["results"]]
    assert sorted(found) == sorted(resource["id"] for resource in dataset["resources"])


@pytest.mark.parametrize(
    "params",
    [{"limit": 0}, {"limit": 1001}, {"offset": -1}, {"offset": 2**70}, {"server": "global"}],
)
def test_limits_of_finding(anonymous, params):
    answer = anonymous.get("/resources/search", params=params)
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


def test_those_of_private_datasets_are_found_by_writers_only(
    as_writer, as_viewer, anonymous, dataset
):
    assert as_writer.patch(f"/dataset/{dataset['id']}", json={"private": True}).status_code == 200
    assert search(as_writer, q=dataset["name"])["count"] == 2
    for client in (anonymous, as_viewer):
        assert search(client, q=dataset["name"]) == {"count": 0, "results": []}


def test_only_writers_change_and_delete(anonymous, as_viewer, dataset):
    resource = dataset["resources"][0]["id"]
    asked = [
        ("PATCH", f"/resource/{resource}", {"name": "x"}),
        ("PATCH", f"/dataset/{dataset['id']}/resource/{resource}", {"name": "x"}),
        ("DELETE", f"/resource/{resource}", None),
        ("DELETE", f"/resource/{dataset['name']}", None),
        ("DELETE", f"/resource?resource_id={dataset['id']}", None),
        ("DELETE", f"/dataset/{dataset['id']}/resource/{resource}", None),
    ]
    for method, path, body in asked:
        assert anonymous.request(method, path, json=body).status_code == 401
        assert as_viewer.request(method, path, json=body).status_code == 403
    assert read(anonymous, dataset["id"]) == dataset
