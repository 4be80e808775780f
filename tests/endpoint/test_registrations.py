"""Datasets with one resource of a known kind: URLs, S3 objects and Kafka topics."""

import pytest

URL = {
    "path": "/url",
    "name": "resource_name",
    "title": "resource_title",
    "where": {"resource_url": "https://data.example.org/levels.csv"},
    "elsewhere": {"resource_url": "https://data.example.org/other.csv"},
    "url": ("https://data.example.org/levels.csv", "https://data.example.org/other.csv"),
    "notes": "notes",
    "format": "url",
    "updated": "Resource updated successfully",
    "missing": {"PUT": "Resource not found", "PATCH": "URL resource not found"},
}
S3 = {
    "path": "/s3",
    "name": "resource_name",
    "title": "resource_title",
    "where": {"resource_s3": "s3://weather/radar.nc"},
    "elsewhere": {"resource_s3": "https://s3.example.org/weather/radar.nc"},
    "url": ("s3://weather/radar.nc", "https://s3.example.org/weather/radar.nc"),
    "notes": "notes",
    "format": "s3",
    "updated": "S3 resource updated successfully",
    "missing": {"PUT": "S3 resource not found", "PATCH": "S3 resource not found"},
}
KAFKA = {
    "path": "/kafka",
    "name": "dataset_name",
    "title": "dataset_title",
    "where": {"kafka_topic": "gauges", "kafka_host": "kafka.example.org", "kafka_port": 9092},
    "elsewhere": {"kafka_topic": "others", "kafka_host": "k2.example.org", "kafka_port": 9093},
    "url": ("", ""),
    "notes": "dataset_description",
    "format": "kafka",
    "updated": "Kafka dataset updated successfully",
    "missing": {"PUT": "Kafka dataset not found", "PATCH": "Kafka dataset not found"},
}
CHANGING = ["PUT", "PATCH"]


@pytest.fixture(params=[URL, S3, KAFKA], ids=["url", "s3", "kafka"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def organization(endpoint, identity):
    with endpoint.client(identity.token("writer")) as client:
        answer = client.post("/organization", json={"name": "kinds-lab", "title": "Lab"})
        assert answer.status_code in (201, 400), answer.text
    return "kinds-lab"


@pytest.fixture
def make(organization, fresh):
    """Return the body that registers one of a kind."""

    def body(kind, **more):
        named = {kind["name"]: fresh("reg"), kind["title"]: "A title", "owner_org": organization}
        return named | kind["where"] | more

    return body


def register(client, kind, body):
    answer = client.post(kind["path"], json=body)
    assert answer.status_code == 201, answer.text
    assert set(answer.json()) == {"id"}
    return answer.json()["id"]


def read(client, dataset):
    answer = client.get(f"/dataset/{dataset}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def change(client, method, kind, dataset, body):
    answer = client.request(method, f"{kind['path']}/{dataset}", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"message": kind["updated"]}


def detail(answer, status):
    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["detail"], str)
    return answer.json()["detail"]


def test_registering_one_makes_a_dataset_with_one_resource(as_writer, anonymous, kind, make):
    body = make(kind, extras={"project": "x"}) | {kind["notes"]: "What it is"}
    found = read(anonymous, register(as_writer, kind, body))
    assert found["name"] == body[kind["name"]]
    assert found["title"] == "A title"
    assert found["notes"] == "What it is"
    assert found["owner_org"] == body["owner_org"]
    assert found["extras"]["project"] == "x"
    assert "ndp_user_id" in found["extras"]
    [resource] = found["resources"]
    assert resource["format"] == kind["format"]
    assert resource["url"] == kind["url"][0]


def test_a_topic_is_described_by_extras(as_writer, anonymous, make):
    body = make(KAFKA, kafka_port="9094", mapping={"time": "ts"}, processing={"data_key": "k"})
    found = read(anonymous, register(as_writer, KAFKA, body))
    described = {
        "topic": "gauges",
        "host": "kafka.example.org",
        "port": 9094,
        "mapping": {"time": "ts"},
        "processing": {"data_key": "k"},
    }
    assert described.items() <= found["extras"].items()
    assert found["resources"][0]["name"] == "gauges"


def test_mapping_and_processing_are_objects_in_searches(as_writer, anonymous, make):
    processing = {"delimiter": ",", "header_line": 1, "start_line": 2}
    body = make(URL, file_type="CSV", mapping={"time": "date"}, processing=processing)
    register(as_writer, URL, body)
    [hit] = anonymous.get("/search", params={"terms": body["resource_name"]}).json()
    described = {"file_type": "CSV", "mapping": {"time": "date"}, "processing": processing}
    assert described.items() <= hit["extras"].items()


@pytest.mark.parametrize("method", CHANGING)
def test_everything_of_it_can_be_changed(as_writer, anonymous, kind, make, method, fresh):
    body = make(kind, extras={"a": "1", "b": "2"})
    dataset = register(as_writer, kind, body)
    before = read(anonymous, dataset)
    new = {kind["name"]: fresh("new"), kind["title"]: "New", kind["notes"]: "New notes"}
    change(as_writer, method, kind, dataset, new | kind["elsewhere"] | {"extras": {"b": "3"}})
    after = read(anonymous, dataset)
    assert (after["name"], after["title"]) == (new[kind["name"]], "New")
    assert after["notes"] == "New notes"
    assert {"a": "1", "b": "3"}.items() <= after["extras"].items()
    [resource] = after["resources"]
    assert resource["url"] == kind["url"][1]
    assert resource["id"] == before["resources"][0]["id"]
    assert resource["format"] == kind["format"]
    if kind is KAFKA:
        described = {"topic": "others", "host": "k2.example.org", "port": 9093}
        assert described.items() <= after["extras"].items()
        assert resource["name"] == "others"


@pytest.mark.parametrize("method", CHANGING)
def test_what_is_not_said_stays(as_writer, anonymous, kind, make, method):
    body = make(kind, extras={"a": "1"})
    dataset = register(as_writer, kind, body)
    before = read(anonymous, dataset)
    change(as_writer, method, kind, body[kind["name"]], {kind["title"]: "Other", "extras": None})
    after = read(anonymous, dataset)
    after.pop("metadata_modified")
    before.pop("metadata_modified")
    assert after == before | {"title": "Other"}


@pytest.mark.parametrize("method", CHANGING)
def test_changing_one_that_is_not_there(as_writer, kind, method, fresh):
    answer = as_writer.request(method, f"{kind['path']}/{fresh('none')}", json={})
    assert detail(answer, 404).startswith(kind["missing"][method])


@pytest.mark.parametrize("method", CHANGING)
@pytest.mark.parametrize(
    ("kind", "other"), [(URL, S3), (S3, KAFKA), (KAFKA, URL)], ids=["url", "s3", "kafka"]
)
def test_changing_one_of_another_kind(as_writer, anonymous, kind, other, make, method):
    dataset = register(as_writer, other, make(other))
    before = read(anonymous, dataset)
    body = {kind["title"]: "x"}
    answer = as_writer.request(method, f"{kind['path']}/{dataset}", json=body)
    assert detail(answer, 404).startswith(kind["missing"][method])
    assert read(anonymous, dataset) == before


@pytest.mark.parametrize("method", CHANGING)
def test_one_whose_format_tells_more_is_still_of_its_kind(as_writer, anonymous, make, method):
    dataset = register(as_writer, URL, make(URL))
    resource = read(anonymous, dataset)["resources"][0]["id"]
    assert as_writer.patch(f"/resource/{resource}", json={"format": "CSV"}).status_code == 200
    change(as_writer, method, URL, dataset, URL["elsewhere"])
    assert read(anonymous, dataset)["resources"][0]["url"] == URL["url"][1]


def test_a_name_is_given_once_only(as_writer, kind, make):
    body = make(kind)
    register(as_writer, kind, body)
    assert "Duplicate Dataset" in detail(as_writer.post(kind["path"], json=body), 409)


@pytest.mark.parametrize("method", CHANGING)
def test_the_name_of_another_cannot_be_taken(as_writer, kind, make, method):
    taken, other = make(kind), make(kind)
    register(as_writer, kind, taken)
    dataset = register(as_writer, kind, other)
    body = {kind["name"]: taken[kind["name"]], kind["title"]: "x"}
    answer = as_writer.request(method, f"{kind['path']}/{dataset}", json=body)
    assert "Duplicate Dataset" in detail(answer, 409)
    assert read(as_writer, dataset)["title"] == "A title"


def test_an_organization_that_is_not_there(as_writer, kind, make, fresh):
    body = make(kind) | {"owner_org": fresh("none")}
    said = detail(as_writer.post(kind["path"], json=body), 400)
    assert "Organization does not exist" in said


@pytest.mark.parametrize("key", ["name", "id", "resources", "collection"])
def test_keys_that_a_dataset_has_itself_are_refused(as_writer, kind, make, key):
    answer = as_writer.post(kind["path"], json=make(kind, extras={key: "x"}))
    assert detail(answer, 400).startswith("Reserved key error")
    dataset = register(as_writer, kind, make(kind))
    answer = as_writer.put(f"{kind['path']}/{dataset}", json={"extras": {key: "x"}})
    assert detail(answer, 400).startswith("Reserved key error")


@pytest.mark.parametrize(
    ("of", "key"), [(URL, "file_type"), (URL, "url"), (KAFKA, "port"), (KAFKA, "mapping")]
)
def test_keys_of_a_kind_are_refused(as_writer, make, of, key):
    answer = as_writer.post(of["path"], json=make(of, extras={key: "x"}))
    assert detail(answer, 400).startswith("Reserved key error")


@pytest.mark.parametrize(
    ("of", "wrong"),
    [
        (URL, {"resource_name": "Bad Name"}),
        (URL, {"resource_url": "ftp://h/x"}),
        (URL, {"resource_url": "s3://b/k"}),
        (URL, {"resource_url": "https:///x"}),
        (URL, {"resource_url": "https://h:port/"}),
        (URL, {"extras": {"a": 1}}),
        (URL, {"mapping": {"a": {"b": "c"}}}),
        (URL, {"processing": []}),
        (S3, {"resource_s3": "ws://b/k"}),
        (S3, {"resource_s3": "s3://"}),
        (S3, {"resource_name": ""}),
        (S3, {"resource_s3": None}),
        (KAFKA, {"kafka_port": 0}),
        (KAFKA, {"kafka_port": 65536}),
        (KAFKA, {"kafka_port": "many"}),
        (KAFKA, {"kafka_topic": ""}),
        (KAFKA, {"kafka_host": None}),
        (KAFKA, {"processing": {"a": 1}}),
        (KAFKA, {"dataset_title": "\0"}),
    ],
)
def test_what_cannot_be_one_is_refused(as_writer, anonymous, make, of, wrong):
    body = make(of)
    assert detail(as_writer.post(of["path"], json=body | wrong), 422)
    assert anonymous.get(f"/dataset/{body[of['name']]}").status_code == 404


@pytest.mark.parametrize(
    ("file_type", "processing"),
    [
        ("CSV", {"header_line": "first"}),
        ("CSV", {"delimiter": 5}),
        ("TXT", {"start_line": 1.5}),
        ("JSON", {"data_key": ["a"]}),
        ("NetCDF", {"group": {"a": 1}}),
        ("stream", {"data_key": True}),
    ],
)
def test_processing_that_does_not_fit_the_type(as_writer, make, file_type, processing):
    body = make(URL, file_type=file_type, processing=processing)
    assert detail(as_writer.post("/url", json=body), 400).startswith("Invalid input")


@pytest.mark.parametrize(
    ("file_type", "processing"),
    [
        ("CSV", {"delimiter": ";", "note": "and more"}),
        ("CSV", {}),
        ("stream", {"refresh_rate": 5, "data_key": None}),
        ("NetCDF", {"group": "/a"}),
        ("Zarr", {"anything": [1, {"a": 2}]}),
        (None, {"anything": 1}),
    ],
)
def test_processing_that_fits(as_writer, anonymous, make, file_type, processing):
    body = make(URL, file_type=file_type, processing=processing)
    found = read(anonymous, register(as_writer, URL, body))
    assert found["extras"]["processing"] == processing


@pytest.mark.parametrize("method", CHANGING)
def test_processing_must_be_complete_when_it_is_changed(as_writer, anonymous, make, method):
    dataset = register(as_writer, URL, make(URL, file_type="CSV"))
    path = f"/url/{dataset}"
    complete = {"delimiter": ",", "header_line": 1, "start_line": 2}
    for wrong in ({"delimiter": ","}, complete | {"unknown": 1}):
        answer = as_writer.request(method, path, json={"processing": wrong})
        assert detail(answer, 400).startswith("Invalid input")
    change(as_writer, method, URL, dataset, {"processing": complete})
    assert read(anonymous, dataset)["extras"]["processing"] == complete
    assert detail(as_writer.request(method, path, json={"file_type": "Zarr"}), 422)


@pytest.mark.parametrize("method", ["POST", *CHANGING])
def test_only_writers_may(anonymous, as_viewer, as_writer, kind, make, method):
    body, path = make(kind), kind["path"]
    if method != "POST":
        path = f"{path}/{register(as_writer, kind, make(kind))}"
    assert anonymous.request(method, path, json=body).status_code == 401
    assert as_viewer.request(method, path, json=body).status_code == 403
    assert anonymous.get(f"/dataset/{body[kind['name']]}").status_code == 404
