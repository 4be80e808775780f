"""The global and the pre-CKAN catalog, in place of the endpoint's own, by `server=`."""

import json
import socket

import pytest

from tests.endpoint.canary import inspect_service, secret, watch
from tests.endpoint.ckan_server import CkanServer
from tests.endpoint.service import Endpoint, not_late

GAUGES = {
    "name": "Juni",
    "url": "https://data.example.org/june.csv",
    "description": "Hourly sums",
    "format": "CSV",
    "size": "48213",
}


@pytest.fixture(scope="module")
def servers():
    with CkanServer() as everybody, CkanServer(secret("api-key")) as pre:
        yield everybody, pre


@pytest.fixture
def ckan(servers):
    """The global catalog, with a few datasets of others."""
    found = servers[0]
    found.reset()
    found.packages.clear()
    found.organizations.clear()
    lab = found.add_organization("hydrology-lab")
    found.add_organization("weather-service")
    extras = [
        {"key": "project", "value": "Catchment"},
        {"key": "mapping", "value": '{"rain": "mm"}'},
        {"key": "processing", "value": "{broken"},
        {"key": "timestamp", "value": "2026-05-04T12:00:00"},
    ]
    tags = [{"name": "precipitation", "state": "active", "vocabulary_id": None}]
    found.add_package(
        "rain-gauges", lab, notes="Forty gauges", extras=extras, tags=tags, resources=[GAUGES]
    )
    odd = {"resources": [{"url": None, "format": None}], "title": None, "extras": None}
    found.add_package("odd-rain", lab, **(odd | {"extras": []}))
    found.add_package("no-resources", lab, extras=[{"key": "timestamp", "value": "2026-05-06"}])
    return found


@pytest.fixture
def pre_ckan(servers):
    """The catalog before publication, with an organization."""
    found = servers[1]
    found.reset()
    found.packages.clear()
    found.organizations.clear()
    found.add_organization("hydrology-lab")
    return found


def starting(directory, identity, **settings):
    watch(directory)
    environment = {
        "AUTH_API_URL": identity.url,
        "REXEC_EP_DATABASE_URL": f"sqlite:///{directory}/catalog.sqlite3",
        "REXEC_EP_PATIENCE": "60",
    }
    return Endpoint(directory, environment | settings)


@pytest.fixture(scope="module")
def connected(servers, identity, tmp_path_factory):
    """An endpoint with both other catalogs behind it."""
    directory = tmp_path_factory.mktemp("connected")
    settings = {
        "CKAN_GLOBAL_URL": servers[0].url,
        "PRE_CKAN_ENABLED": "true",
        "PRE_CKAN_URL": f"{servers[1].url}/",
        "PRE_CKAN_API_KEY": servers[1].key,
    }
    with starting(directory, identity, **settings) as endpoint:
        yield endpoint
        with endpoint.client() as client:
            inspect_service(client)


@pytest.fixture
def client(connected, identity):
    with connected.client(identity.token("writer")) as client:
        yield client


@pytest.fixture
def nobody(connected):
    with connected.client() as client:
        yield client


def search(client, *terms, **query):
    answer = client.get("/search", params={"terms": terms, **query})
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()]


def advanced(client, **body):
    answer = client.post("/search", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer, status, text=""):
    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["detail"], str)
    assert text in answer.json()["detail"]


# ----------------------------------------------------------------------------- global


@pytest.mark.usefixtures("ckan")
def test_the_global_catalog_is_searched_unless_told_otherwise(nobody):
    (found,) = nobody.get("/search", params={"terms": "forty"}).json()
    assert found["name"] == "rain-gauges"
    assert found["owner_org"] == "hydrology-lab"
    assert found["notes"] == "Forty gauges"
    assert found["extras"]["project"] == "Catchment"
    assert found["extras"]["mapping"] == {"rain": "mm"}
    assert found["tags"] == ["precipitation"]
    (resource,) = found["resources"]
    assert set(resource) == {"id", "url", "name", "description", "format"}
    assert (resource["name"], resource["format"]) == ("Juni", "CSV")
    assert search(nobody, "forty", server="local") == []


@pytest.mark.parametrize(
    ("terms", "keys", "names"),
    [
        (["RAIN"], None, ["odd-rain", "rain-gauges"]),
        (["rain", "cipit"], None, ["rain-gauges"]),
        (["gauges"], None, ["rain-gauges"]),
        (["auges-not"], None, []),
        (["rain-gauges"], ["name"], ["rain-gauges"]),
        (["gauges"], ["title"], ["rain-gauges"]),
        (["CATCH"], ["extras_project"], ["rain-gauges"]),
        (["catch"], ["project"], ["rain-gauges"]),
        (["catch"], ["notes"], []),
        (["csv"], ["res_format"], ["rain-gauges"]),
        (["hydrology"], ["owner_org"], ["no-resources", "odd-rain", "rain-gauges"]),
        (["rain", "lab"], ["null", "organization"], ["odd-rain", "rain-gauges"]),
        (["name:rain-gauges"], None, []),
        (["*"], None, []),
    ],
)
@pytest.mark.usefixtures("ckan")
def test_one_semantics_holds_for_foreign_catalogs_too(nobody, terms, keys, names):
    assert search(nobody, *terms, **({"keys": keys} if keys else {})) == names


@pytest.mark.parametrize(
    "term",
    [
        '") OR *:*',
        "{!func}sum(1,2)",
        "a AND (b",
        "\\",
        "[* TO *]",
        "name:*",
        "id:x OR text:y",
        "\t",
    ],
)
def test_defect_03_no_term_reaches_the_search_engine_but_as_words(nobody, ckan, term):
    # The server refuses whatever is more than words.
    search(nobody, term)
    advanced(nobody, search_term=term)
    advanced(nobody, filter_list=[term])
    assert ckan.calls


@pytest.mark.usefixtures("ckan")
def test_an_identifier_finds_its_dataset(nobody, ckan):
    package = next(one for one in ckan.packages.values() if one["name"] == "rain-gauges")
    assert search(nobody, package["id"]) == ["rain-gauges"]


@pytest.mark.usefixtures("ckan")
def test_defect_17_odd_datasets_do_not_break_a_search(nobody):
    found = advanced(nobody, resource_format="csv")
    assert [one["name"] for one in found] == ["rain-gauges"]
    assert len(advanced(nobody)) == 3
    broken = advanced(nobody, search_term="rain-gauges")[0]
    assert broken["extras"]["processing"] == "{broken"


@pytest.mark.usefixtures("ckan")
def test_one_resource_must_have_all_that_is_said_about_it(nobody):
    assert advanced(nobody, resource_name="Juni", resource_format="csv")
    assert not advanced(nobody, resource_name="juni")
    assert not advanced(nobody, resource_name="Juni", resource_format="NetCDF")
    assert advanced(nobody, resource_url=GAUGES["url"])[0]["resources"][0]["name"] == "Juni"


@pytest.mark.parametrize(
    ("timestamp", "names"),
    [
        ("2026-05-01/2026-05-05", ["rain-gauges"]),
        ("2026-05-01T00:00:00/2026-05-07T00:00:00", ["no-resources", "rain-gauges"]),
        (">2026-05-01", ["rain-gauges"]),
        ("<2026-06-01", ["no-resources"]),
    ],
)
@pytest.mark.usefixtures("ckan")
def test_times_narrow_a_search(nobody, timestamp, names):
    assert sorted(one["name"] for one in advanced(nobody, timestamp=timestamp)) == names


def test_pages_are_read_until_there_is_enough(nobody, ckan):
    lab = next(iter(ckan.organizations.values()))
    for number in range(1200):
        ckan.add_package(f"series-{number:04}", lab, notes="many" if number % 2 else "few")
    assert len(search(nobody, "many")) == 600
    assert len(search(nobody, "series")) == 1000
    last = search(nobody, "series", limit=3, offset=1197)
    assert last == ["series-0002", "series-0001", "series-0000"]
    ckan.calls.clear()
    assert search(nobody, "series", limit=2) == ["series-1199", "series-1198"]
    assert [arguments["rows"] for _, arguments, _ in ckan.calls] == [2]


@pytest.mark.usefixtures("ckan")
def test_organizations_of_the_global_catalog_are_listed(nobody):
    names = nobody.get("/organization").json()
    assert names == ["hydrology-lab", "weather-service"]
    assert nobody.get("/organization", params={"name": "WEATHER"}).json() == ["weather-service"]
    assert nobody.get("/organization", params={"server": "local"}).json() == ["services"]


def test_organizations_are_read_page_by_page(nobody, client, ckan, identity):
    mine = client.get("/user/info").json()["ndp_user_id"]
    for number in range(1100):
        extras = [{"key": "ndp_user_id", "value": mine}] if number % 400 == 0 else []
        ckan.add_organization(f"org-{number:04}", extras=extras)
    assert len(nobody.get("/organization").json()) == 1102
    found = client.get("/organization", params={"mine": True}).json()
    assert found == ["org-0000", "org-0400", "org-0800"]


def test_no_token_goes_to_the_global_catalog(client, ckan):
    search(client, "rain")
    assert [authorization for _, _, authorization in ckan.calls] == [""]


def test_without_one_the_local_catalog_stands_in_for_the_global(as_writer, fresh):
    name = fresh("lab")
    assert as_writer.post("/organization", json={"name": name, "title": "X"}).status_code == 201
    assert name in as_writer.get("/organization").json()


# --------------------------------------------------------------------------- pre-CKAN


PRE = {"server": "pre_ckan"}


@pytest.fixture
def dataset(client, pre_ckan, fresh):
    body = {
        "name": fresh("rain"),
        "title": "Rain",
        "owner_org": "hydrology-lab",
        "notes": "Forty gauges",
        "extras": {"project": "catchment", "stations": 40},
        "tags": ["rain"],
        "resources": [{"name": "june", "url": "https://data.example.org/june.csv"}],
    }
    made = client.post("/dataset", params=PRE, json=body)
    assert made.status_code == 201, made.text
    return made.json()


def test_a_dataset_is_registered_there_and_not_here(client, pre_ckan, dataset):
    package = pre_ckan.packages[dataset["id"]]
    assert package["name"] == dataset["name"]
    extras = {one["key"]: one["value"] for one in package["extras"]}
    assert extras["project"] == "catchment"
    assert extras["stations"] == "40"
    assert extras["ndp_user_id"] == client.get("/user/info").json()["ndp_user_id"]
    assert package["tags"] == [{"name": "rain"}]
    refused(client.get(f"/dataset/{dataset['name']}"), 404)
    told = client.get(f"/dataset/{dataset['name']}", params=PRE).json()
    assert (told["owner_org"], told["tags"]) == ("hydrology-lab", ["rain"])
    hits = advanced(client, search_term="forty", server="pre_ckan")
    assert [one["name"] for one in hits] == [dataset["name"]]


def test_a_dataset_is_changed_there_and_keeps_the_rest(client, pre_ckan, dataset):
    package = pre_ckan.packages[dataset["id"]]
    package["resources"][0]["datastore_active"] = True
    package["maintainer"] = "somebody"
    first = package["resources"][0]["id"]
    body = {
        "notes": "Fifty gauges",
        "extras": {"region": "alps"},
        "resources": [{"name": "july", "url": "https://data.example.org/july.csv"}],
    }
    answer = client.patch(f"/dataset/{dataset['name']}", params=PRE, json=body)
    assert answer.status_code == 200, answer.text
    assert (package["notes"], package["title"]) == ("Fifty gauges", "Rain")
    assert package["maintainer"] == "somebody"
    keys = {one["key"] for one in package["extras"]}
    assert keys >= {"project", "region", "ndp_user_id"}
    assert [one["name"] for one in package["resources"]] == ["june", "july"]
    assert package["resources"][0]["id"] == first
    assert package["resources"][0]["datastore_active"] is True
    body = {"resources": [{"name": "july", "url": "https://data.example.org/july.nc"}]}
    assert client.put(f"/dataset/{dataset['id']}", params=PRE, json=body).status_code == 200
    assert [one["url"] for one in package["resources"]] == ["https://data.example.org/july.nc"]


def test_defect_19_a_resource_is_changed_and_deleted_there(client, pre_ckan, dataset):
    (one,) = pre_ckan.packages[dataset["id"]]["resources"]
    path = f"/dataset/{dataset['name']}/resource/{one['id']}"
    answer = client.patch(path, params=PRE, json={"format": "NetCDF"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["format"], one["format"]) == ("NetCDF", "NetCDF")
    found = client.get(f"/resource/{one['id']}", params=PRE)
    assert found.json()["name"] == "june"
    listed = client.get("/resources/search", params={"q": "JUNE", **PRE}).json()
    assert listed["count"] == 1
    assert listed["results"][0]["dataset_name"] == dataset["name"]
    refused(client.patch(f"/dataset/other/resource/{one['id']}", params=PRE, json={}), 404)
    assert client.delete(path, params=PRE).status_code == 200
    refused(client.delete(path, params=PRE), 404, "not found")


@pytest.mark.parametrize("purges", [True, False])
def test_a_dataset_is_deleted_there(client, pre_ckan, dataset, purges):
    pre_ckan.purges = purges
    answer = client.delete("/resource", params={"resource_id": dataset["name"], **PRE})
    assert answer.status_code == 200, answer.text
    refused(client.get(f"/dataset/{dataset['name']}", params=PRE), 404, "Dataset not found")


def test_a_name_that_is_taken_there_gets_the_time_added(client, dataset):
    body = {"name": dataset["name"], "title": "Rain", "owner_org": "hydrology-lab"}
    again = client.post("/dataset", params=PRE, json=body)
    assert again.status_code == 201, again.text
    assert again.json()["name"].startswith(f"{dataset['name']}-20")
    assert again.json()["warning"]


def test_what_is_refused_there_is_told_in_known_words(client, pre_ckan, fresh):
    body = {"name": fresh("rain"), "title": "Rain", "owner_org": "nobody"}
    refused(client.post("/dataset", params=PRE, json=body), 400, "Organization does not exist")
    body |= {"owner_org": "hydrology-lab", "tags": ["!"]}
    refused(client.post("/dataset", params=PRE, json=body), 400, "must be alphanumeric")
    organization = {"name": "hydrology-lab", "title": "X"}
    answer = client.post("/organization", params=PRE, json=organization)
    refused(answer, 400, "Group name already exists in database")
    organization["name"] = "Bad Name"
    refused(client.post("/organization", params=PRE, json=organization), 400, "lowercase")
    assert pre_ckan.packages == {}


def test_an_organization_is_registered_there(client, pre_ckan, fresh):
    body = {"name": fresh("lab"), "title": "A lab", "description": "What it does"}
    made = client.post("/organization", params=PRE, json=body)
    assert made.status_code == 201, made.text
    assert pre_ckan.organizations[made.json()["id"]]["title"] == "A lab"
    assert client.get("/organization", params={"mine": True, **PRE}).json() == [body["name"]]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/kafka",
            {
                "dataset_name": "kafka-x",
                "dataset_title": "X",
                "kafka_topic": "t",
                "kafka_host": "h",
                "kafka_port": 9092,
                "mapping": {"a": "b"},
            },
        ),
        ("/url", {"resource_name": "url-x", "resource_title": "X", "resource_url": "https://h/x"}),
        ("/s3", {"resource_name": "s3-x", "resource_title": "X", "resource_s3": "s3://b/k"}),
    ],
)
def test_registrations_of_every_kind_go_there(client, pre_ckan, path, body):
    body = body | {"owner_org": "hydrology-lab"}
    made = client.post(path, params=PRE, json=body)
    assert made.status_code == 201, made.text
    assert made.json()["id"] in pre_ckan.packages
    refused(client.post(path, params=PRE, json=body), 409, "Duplicate Dataset")
    changed = client.patch(f"{path}/{made.json()['id']}", params=PRE, json={"extras": {"a": "b"}})
    assert changed.status_code == 200, changed.text


def test_a_dataset_of_the_endpoint_is_published_there(client, pre_ckan, fresh):
    assert client.post("/organization", json={"name": "hydrology-lab", "title": "X"}).status_code
    body = {"name": fresh("rain"), "title": "Rain", "owner_org": "hydrology-lab"}
    assert client.post("/dataset", json=body).status_code == 201
    answer = client.post(f"/dataset/{body['name']}/publish")
    assert answer.status_code == 201, answer.text
    package = pre_ckan.packages[answer.json()["id"]]
    assert {"key": "status", "value": "submitted"} in package["extras"]


def test_defect_07_private_datasets_there_are_not_for_everybody(client, nobody, pre_ckan):
    lab = next(iter(pre_ckan.organizations.values()))
    hidden = pre_ckan.add_package("hidden", lab, private=True, resources=[GAUGES])
    assert advanced(nobody, server="pre_ckan") == []
    assert [one["name"] for one in advanced(client, server="pre_ckan")] == ["hidden"]
    refused(nobody.get("/dataset/hidden", params=PRE), 404)
    assert nobody.get("/resources/search", params={"q": "juni", **PRE}).json()["count"] == 0
    refused(nobody.get(f"/resource/{hidden['resources'][0]['id']}", params=PRE), 404)


def test_it_is_told_whether_it_answers(client, pre_ckan):
    told = client.get("/status/").json()
    assert told["global_enabled"]
    assert (told["pre_ckan_enabled"], told["pre_ckan_connected"]) == (True, True)
    pre_ckan.reply = (500, b"")
    told = client.get("/status/").json()
    assert (told["pre_ckan_enabled"], told["pre_ckan_connected"]) == (True, False)


# ----------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    "reply",
    [
        (500, b"<html>Server Error</html>"),
        (502, b""),
        (200, b"<html>Welcome</html>"),
        (200, b"[]"),
        (200, b'{"success": true}'),
        (200, b'{"success": false, "error": "text"}'),
        (200, b"[" * 100_000),
        (301, b""),
        (404, b"<html>"),
        (429, b"slow down"),
    ],
)
def test_a_catalog_that_fails_is_an_outage(nobody, ckan, reply):
    ckan.reply = reply
    refused(nobody.get("/search", params={"terms": "rain"}), 503, "The global catalog")
    refused(nobody.get("/organization"), 503, "The global catalog")


@pytest.mark.parametrize("result", [None, 7, "text", [], {}, {"results": 7}, {"results": [None]}])
def test_a_catalog_that_tells_nonsense_finds_nothing(nobody, ckan, result):
    ckan.reply = (200, json.dumps({"success": True, "result": result}).encode())
    assert search(nobody, "rain") == []
    assert nobody.get("/organization").status_code == 200
    assert nobody.get("/organization", params={"name": "x"}).json() == []


def test_a_package_that_is_none_is_an_outage(client, pre_ckan):
    pre_ckan.reply = (200, b'{"success": true, "result": []}')
    refused(client.get("/dataset/rain", params=PRE), 503, "no object")


def test_a_key_that_is_not_accepted_is_told_without_the_key(client, pre_ckan):
    key = pre_ckan.key
    pre_ckan.reply = (
        409,
        json.dumps({"success": False, "error": {"__type": "x", "key": [f"no {key}"]}}).encode(),
    )
    body = {"name": "rain", "title": "Rain", "owner_org": "hydrology-lab"}
    answer = client.post("/dataset", params=PRE, json=body)
    refused(answer, 400)
    assert key not in answer.text
    pre_ckan.reply = (403, b'{"success": false, "error": {"__type": "Authorization Error"}}')
    refused(client.post("/dataset", params=PRE, json=body), 400, "API key")


def test_catalogs_that_are_silent_or_not_there_are_outages(identity, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = {"CKAN_GLOBAL_URL": address, "REXEC_EP_PATIENCE": "1"}
        with starting(tmp_path, identity, **settings) as endpoint, endpoint.client() as client:
            refused(client.get("/search", params={"terms": "x"}), 504, "took too long")
            silent.close()
            answer = not_late(lambda: client.get("/search", params={"terms": "x"}))
            refused(answer, 503, "cannot be reached")


def test_without_any_catalog_it_says_so(identity, tmp_path):
    with (
        starting(tmp_path, identity, CKAN_LOCAL_ENABLED="false") as endpoint,
        endpoint.client(identity.token("writer")) as client,
    ):
        refused(client.get("/search", params={"terms": "x"}), 503, "Server is not configured")
        body = {"name": "lab", "title": "X"}
        refused(client.post("/organization", json=body), 400, "Server is not configured")
        refused(client.post("/organization", params=PRE, json=body), 400, "Pre-CKAN is disabled")
