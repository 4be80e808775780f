"""The released clients work unchanged: complete sessions of ndp-ep 0.9.0 and 0.7.0."""

import contextlib
import sys

import pytest

import rexec_jupyter as rexec
from tests.endpoint.canary import secret, watch
from tests.endpoint.deploying import deploying, servers_of
from tests.endpoint.released import ReleasedClient
from tests.endpoint.service import Endpoint, until

PYTHON = f"python=={sys.version_info.major}.{sys.version_info.minor}"
REQUIREMENTS = [PYTHON, "iniconfig>=2", "# a comment", ""]


@pytest.fixture(scope="module", params=["0.9.0", "0.7.0"])
def version(request):
    return request.param


@pytest.fixture(scope="module")
def python(released, version):
    """The interpreter of an environment that holds one released client, and nothing of ours."""
    return released(version)


@pytest.fixture(scope="module")
def deployment(identity):
    """The real deploy API, in front of a real broker."""
    with deploying(identity) as front:
        yield front


@pytest.fixture
def servers(deployment, identity):
    """The servers of the writer, of which none is left."""
    with servers_of(deployment, identity.people["writer"]) as servers:
        yield servers


@pytest.fixture(scope="module")
def endpoint(database_url, identity, deployment, tmp_path_factory):
    directory = tmp_path_factory.mktemp("endpoint-of-ndp")
    watch(directory)
    settings = {
        "AUTH_API_URL": identity.url,
        "ORGANIZATION": "Hydrology Lab",
        "EP_NAME": "rain",
        "REXEC_EP_DATABASE_URL": database_url,
        "REXEC_CONNECTION": "true",
        "REXEC_DEPLOYMENT_API_URL": deployment.url,
        "USE_JUPYTERLAB": "true",
        "JUPYTER_URL": "https://jupyter.example.org/lab",
        "KAFKA_CONNECTION": "true",
        "KAFKA_HOST": "kafka.example.org",
    }
    with Endpoint(directory, settings) as running:
        yield running


@pytest.fixture(scope="module")
def client_of(python, endpoint, identity):
    """Return the client of somebody who logged in; it is the same one each time."""
    with contextlib.ExitStack() as stack:
        made = {}

        def get(username):
            if username not in made:
                given = {"username": username, "password": identity.password(username)}
                made[username] = stack.enter_context(ReleasedClient(python, endpoint.url, **given))
            return made[username]

        yield get


@pytest.fixture
def client(client_of):
    """The client of a writer."""
    return client_of("writer")


@pytest.fixture
def lab(client, fresh):
    """The name of an organization."""
    name = fresh("lab")
    client.register_organization({"name": name, "title": "A lab"})
    return name


def found(client, name, **options):
    """Return the one dataset of this name."""
    (hit,) = client.search_datasets([name], keys=["name"], **options)
    return hit


def extras_of(hit):
    return {key: hit["extras"][key] for key in hit["extras"] if not key.startswith("ndp_")}


# Getting in


def test_a_password_gives_a_token_and_the_version_is_new_enough(python, endpoint, identity):
    password = identity.password("viewer")
    with ReleasedClient(python, endpoint.url, username="viewer", password=password) as client:
        assert client.api_version == "1.0.0"
        assert client.get_user_info()["username"] == "viewer"


def test_a_token_does_too(python, endpoint, identity):
    with ReleasedClient(python, endpoint.url, token=identity.token("viewer")) as client:
        assert client.api_version == "1.0.0"


def test_without_either_it_sees_that_the_endpoint_answers_and_may_search(python, endpoint):
    with ReleasedClient(python, endpoint.url + "/") as client:
        assert "services" in client.list_organizations()
        assert client.search_datasets(["surely nothing has this"]) == []
        with pytest.raises(ValueError, match="Not authenticated"):
            client.get_user_info()


def test_a_wrong_password_is_told_as_such(python, endpoint):
    with pytest.raises(ValueError, match="Invalid username or password"):
        ReleasedClient(python, endpoint.url, username="writer", password=secret("wrong"))


def test_a_wrong_token_is_told_as_such(python, endpoint):
    with (
        ReleasedClient(python, endpoint.url, token=secret("unknown")) as client,
        pytest.raises(ValueError, match="Not authenticated: Invalid"),
    ):
        client.get_user_info()


def test_user_info_tells_the_role_at_this_endpoint(client_of):
    for name, role in (("admin", "admin"), ("writer", "writer"), ("viewer", "viewer")):
        told = client_of(name).get_user_info()
        assert told["effective_role"] == role
        assert told["sub"] == f"sub-of-{name}"
        assert len(told["ndp_user_id"]) == 16


# A session as notebooks have it


def test_a_complete_session(client, servers, fresh):
    lab, name = fresh("lab"), fresh("gauges")

    made = client.register_organization({"name": lab, "title": "Lab", "description": "Rain."})
    assert made == {"id": made["id"], "message": "Organization created successfully"}
    assert lab in client.list_organizations()
    assert client.list_organizations(name=lab.upper(), server="local") == [lab]

    dataset = client.register_general_dataset(
        {
            "name": name,
            "title": "Gauges",
            "owner_org": lab,
            "notes": "Forty gauges.",
            "tags": ["rain", "hourly"],
            "extras": {"stations": 40},
            "resources": [{"url": "https://data.example.org/1.csv", "name": "first"}],
        }
    )
    assert dataset == {"id": dataset["id"], "name": name, "title": "Gauges", "warning": None}

    hit = found(client, name)
    assert hit["id"] == dataset["id"]
    assert (hit["owner_org"], hit["notes"]) == (lab, "Forty gauges.")
    assert extras_of(hit) == {"stations": 40}
    (resource,) = hit["resources"]
    assert resource.keys() >= {"id", "url", "name", "description", "format"}
    assert client.advanced_search({"search_term": f"{name},FORTY", "server": "local"}) == [hit]

    updated = client.update_general_dataset(dataset["id"], {"title": "Gauges, corrected"})
    assert updated == {"message": "Dataset updated successfully"}
    second = {"url": "https://data.example.org/2.csv", "name": "second", "format": "CSV"}
    assert client.patch_general_dataset(name, {"resources": [second]}) == updated
    hit = found(client, name, server="local")
    assert hit["title"] == "Gauges, corrected"
    assert [each["name"] for each in hit["resources"]] == ["first", "second"]

    assert client.get_system_status()["api_version"] == "1.0.0"
    spawned = client.setup_rexec_environment(REQUIREMENTS)
    assert spawned["Username"] == "writer"
    assert client.call("remote_func")["broker_addr"] == "127.0.0.1"

    assert client.delete_resource_by_name(name)["message"] == f"{name} deleted successfully"
    assert client.search_datasets([name]) == []
    assert "message" in client.delete_organization(lab)
    assert lab not in client.list_organizations()


# Organizations


def test_an_organization_has_one_owner_of_its_name(client, lab):
    with pytest.raises(ValueError, match="Organization name already exists"):
        client.register_organization({"name": lab, "title": "Another"})


def test_deleting_an_organization_that_is_not_there_says_so(client, fresh):
    with pytest.raises(ValueError, match=r"^Error deleting organization: Not found$"):
        client.delete_organization(fresh("nobody"))


def test_datasets_go_with_their_organization(client, lab, fresh):
    name = fresh("gone")
    client.register_general_dataset({"name": name, "title": "T", "owner_org": lab})
    client.delete_organization(lab)
    assert client.search_datasets([name]) == []


# Typed registrations


def kafka(lab, name, **more):
    return {
        "dataset_name": name,
        "dataset_title": "Live gauges",
        "owner_org": lab,
        "kafka_topic": "gauges",
        "kafka_host": "kafka.example.org",
        "kafka_port": 9092,
        "extras": {"project": "catchment"},
        "mapping": {"time": "ts"},
        "processing": {"data_key": "gauge"},
        **more,
    }


def url(lab, name, **more):
    return {
        "resource_name": name,
        "resource_title": "Levels",
        "owner_org": lab,
        "resource_url": "https://data.example.org/levels.csv",
        "file_type": "CSV",
        "notes": "Levels.",
        "extras": {"project": "catchment"},
        "mapping": {"time": "date"},
        "processing": {"delimiter": ",", "header_line": 1, "start_line": 2},
        **more,
    }


def s3(lab, name, **more):
    return {
        "resource_name": name,
        "resource_title": "Radar",
        "owner_org": lab,
        "resource_s3": "s3://weather/radar.nc",
        "notes": "Radar.",
        "extras": {"project": "catchment"},
        **more,
    }


def service(lab, name, **more):
    return {
        "service_name": name,
        "service_title": "Rain API",
        "owner_org": lab,
        "service_url": "https://rain.example.org/api",
        "service_type": "API",
        "health_check_url": "https://rain.example.org/health",
        "documentation_url": "https://rain.example.org/docs",
        "extras": {"project": "catchment"},
        **more,
    }


def general(lab, name, **more):
    return {"name": name, "title": "T", "owner_org": lab, **more}


def test_a_kafka_topic_is_registered_found_and_updated(client, lab, fresh):
    name = fresh("stream")
    made = client.register_kafka_topic(kafka(lab, name))
    hit = found(client, name)
    assert made == {"id": hit["id"]}
    assert extras_of(hit) == {
        "host": "kafka.example.org",
        "port": 9092,
        "topic": "gauges",
        "project": "catchment",
        "mapping": {"time": "ts"},
        "processing": {"data_key": "gauge"},
    }
    assert [(each["name"], each["format"]) for each in hit["resources"]] == [("gauges", "kafka")]
    told = client.update_kafka_topic(made["id"], {"kafka_port": 9093, "kafka_topic": "other"})
    assert told == {"message": "Kafka dataset updated successfully"}
    hit = found(client, name)
    assert (hit["extras"]["port"], hit["extras"]["host"]) == (9093, "kafka.example.org")
    assert hit["resources"][0]["name"] == "other"


def test_a_url_is_registered_found_and_updated(client, lab, fresh):
    name = fresh("levels")
    made = client.register_url(url(lab, name))
    hit = found(client, name)
    assert made == {"id": hit["id"]}
    assert extras_of(hit) == {
        "file_type": "CSV",
        "project": "catchment",
        "mapping": {"time": "date"},
        "processing": {"delimiter": ",", "header_line": 1, "start_line": 2},
    }
    assert hit["resources"][0]["url"] == "https://data.example.org/levels.csv"
    moved = "https://data.example.org/moved.csv"
    told = client.update_url_resource(made["id"], {"resource_url": moved})
    assert told == {"message": "Resource updated successfully"}
    assert found(client, name)["resources"][0]["url"] == moved


def test_an_s3_object_is_registered_found_updated_and_patched(client, lab, fresh):
    name = fresh("radar")
    made = client.register_s3_link(s3(lab, name))
    hit = found(client, name)
    assert made == {"id": hit["id"]}
    assert (hit["resources"][0]["url"], hit["resources"][0]["format"]) == (
        "s3://weather/radar.nc",
        "s3",
    )
    told = client.update_s3_resource(made["id"], {"resource_s3": "s3://weather/2.nc"})
    assert told == {"message": "S3 resource updated successfully"}
    assert found(client, name)["resources"][0]["url"] == "s3://weather/2.nc"
    assert client.patch_s3_resource(made["id"], {"resource_title": "Radar 2"}) == told
    assert found(client, name)["title"] == "Radar 2"


def test_a_service_is_registered_found_updated_and_patched(client, fresh):
    name = fresh("api")
    made = client.register_service(service("services", name))
    hit = found(client, name)
    assert made == {"id": hit["id"]}
    assert (hit["owner_org"], hit["notes"]) == ("services", "Service: Rain API")
    assert hit["extras"]["health_check_url"] == "https://rain.example.org/health"
    told = client.update_service(made["id"], {"service_url": "https://rain.example.org/v2"})
    assert told == {"message": "Service updated successfully"}
    assert client.patch_service(name, {"service_title": "Rain API 2"}) == told
    hit = found(client, name)
    assert hit["title"] == "Rain API 2"
    assert hit["resources"][0]["url"] == "https://rain.example.org/v2"


REGISTRATIONS = {
    "register_general_dataset": (general, "name"),
    "register_kafka_topic": (kafka, "dataset_name"),
    "register_url": (url, "resource_name"),
    "register_s3_link": (s3, "resource_name"),
    "register_service": (service, "service_name"),
}
LABELLED = [name for name in REGISTRATIONS if name != "register_service"]


@pytest.mark.parametrize("method", LABELLED)
def test_an_organization_that_does_not_exist_is_told(client, fresh, method):
    body, _ = REGISTRATIONS[method]
    with pytest.raises(ValueError, match=r"(Organization|owner_org\)) does not exist"):
        client.call(method, body(fresh("nobody"), fresh("x")))


@pytest.mark.parametrize("method", LABELLED)
def test_a_reserved_key_is_told(client, lab, fresh, method):
    body, _ = REGISTRATIONS[method]
    with pytest.raises(ValueError, match="Reserved key"):
        client.call(method, body(lab, fresh("x"), extras={"title": "mine"}))


@pytest.mark.parametrize("method", LABELLED)
def test_a_name_that_cannot_be_is_told(client, lab, method):
    body, field = REGISTRATIONS[method]
    with pytest.raises(ValueError, match=field):
        client.call(method, body(lab, "No Such Name!"))


@pytest.mark.parametrize("method", REGISTRATIONS)
def test_a_viewer_is_told_that_the_writer_role_is_missing(client_of, lab, fresh, method):
    body, _ = REGISTRATIONS[method]
    owner = "services" if method == "register_service" else lab
    with pytest.raises(ValueError, match="grant you the writer or admin role"):
        client_of("viewer").call(method, body(owner, fresh("x")))


def test_a_second_dataset_of_a_name_gets_another_name_and_a_warning(client, lab, fresh):
    name = fresh("twice")
    client.register_general_dataset(general(lab, name))
    again = client.register_general_dataset(general(lab, name))
    assert again["name"].startswith(f"{name}-2")
    assert name in again["warning"]


@pytest.mark.parametrize("method", ["register_kafka_topic", "register_url", "register_s3_link"])
def test_a_second_registration_of_a_name_is_refused(client, lab, fresh, method):
    body, _ = REGISTRATIONS[method]
    name = fresh("twice")
    client.call(method, body(lab, name))
    with pytest.raises(ValueError, match="Duplicate Dataset"):
        client.call(method, body(lab, name))
    assert len(client.search_datasets([name], keys=["name"])) == 1


def test_a_second_service_of_a_name_is_refused(client, fresh):
    name = fresh("twice")
    client.register_service(service("services", name))
    with pytest.raises(ValueError, match="A service with the given name or URL already exists"):
        client.register_service(service("services", name))


def test_a_service_of_another_organization_is_refused(client, lab, fresh):
    with pytest.raises(ValueError, match="owner_org must be 'services'"):
        client.register_service(service(lab, fresh("api")))


@pytest.mark.parametrize(
    ("method", "data", "told"),
    [
        ("update_general_dataset", {"title": "T"}, "Error updating dataset: Not found"),
        ("patch_general_dataset", {"title": "T"}, "Error updating dataset: Not found"),
        ("update_kafka_topic", {"kafka_port": 1}, "Error updating Kafka dataset: Not found"),
        ("update_url_resource", {"notes": "N"}, "Error updating URL resource: Not found"),
        ("update_s3_resource", {"notes": "N"}, "Error updating S3 resource: Not found"),
        ("patch_s3_resource", {"notes": "N"}, "Error updating S3 resource: Not found"),
        ("update_service", {"notes": "N"}, "Error updating service: Not found"),
        ("patch_service", {"notes": "N"}, "Error updating service: Not found"),
    ],
)
def test_updating_what_is_not_there_says_so(client, fresh, method, data, told):
    with pytest.raises(ValueError, match=f"^{told}$"):
        client.call(method, fresh("nobody"), data)


# Resources


@pytest.fixture
def parts(client, lab, fresh):
    """A dataset with two resources: its name, and theirs with their identifiers."""
    name = fresh("parts")
    resources = [
        {"url": f"https://data.example.org/{name}/{each}.csv", "name": f"{name}-{each}"}
        | {"format": "CSV", "description": f"Part {each}"}
        for each in ("a", "b")
    ]
    client.register_general_dataset(general(lab, name, resources=resources))
    hit = found(client, name)
    return name, {each["name"][-1]: each["id"] for each in hit["resources"]}


def test_a_resource_is_read_and_patched_in_both_ways(client, parts):
    name, ids = parts
    before = client.get_resource(ids["a"])
    assert before["url"] == f"https://data.example.org/{name}/a.csv"
    after = client.patch_resource(ids["a"], description="Another", format="JSON")
    assert after["id"] == ids["a"]
    assert (after["description"], after["format"], after["url"]) == (
        "Another",
        "JSON",
        before["url"],
    )
    after = client.patch_dataset_resource(name, ids["a"], {"name": "renamed"})
    assert (after["name"], after["description"]) == ("renamed", "Another")


def test_resources_are_found_with_their_dataset(client, parts):
    name, ids = parts
    told = client.search_resources(q=name.upper(), format="csv")
    assert told["count"] == 2
    assert {each["id"] for each in told["results"]} == set(ids.values())
    assert {each["dataset_name"] for each in told["results"]} == {name}
    page = client.search_resources(name=name, limit=1, offset=1)
    assert (page["count"], len(page["results"])) == (2, 1)
    one = client.search_resources(url=f"/{name}/b.csv", description="part B")
    assert [each["id"] for each in one["results"]] == [ids["b"]]


def test_deleting_one_resource_leaves_the_dataset_and_the_others(client, parts):
    name, ids = parts
    client.delete_resource(ids["a"])
    assert [each["id"] for each in found(client, name)["resources"]] == [ids["b"]]
    client.delete_dataset_resource(name, ids["b"])
    assert found(client, name)["resources"] == []


def test_the_older_ways_delete_a_dataset_by_its_identifier_or_name(client, lab, fresh):
    first, second = fresh("first"), fresh("second")
    made = client.register_general_dataset(general(lab, first))
    client.register_general_dataset(general(lab, second))
    assert client.delete_resource_by_id(made["id"])["message"].startswith(made["id"])
    assert client.delete_resource_by_name(second)["message"].startswith(second)
    assert client.search_datasets([first]) == client.search_datasets([second]) == []


@pytest.mark.parametrize(
    ("method", "arguments", "told"),
    [
        ("get_resource", [], "not found$"),
        ("patch_resource", ["new-name"], "not found$"),
        ("delete_resource", [], "not found$"),
        ("delete_resource_by_id", [], "^Error deleting resource: Not found$"),
        ("delete_resource_by_name", [], "^Error deleting resource: Not found$"),
    ],
)
def test_a_resource_that_is_not_there_is_told(client, fresh, method, arguments, told):
    with pytest.raises(ValueError, match=told):
        client.call(method, fresh("nobody"), *arguments)


def test_a_resource_that_a_dataset_does_not_have_is_told(client, parts, fresh):
    name, _ = parts
    with pytest.raises(ValueError, match=r"^Error updating resource: Not found$"):
        client.patch_dataset_resource(name, fresh("nobody"), {"name": "x"})
    with pytest.raises(ValueError, match=r"^Error deleting resource: Not found$"):
        client.delete_dataset_resource(name, fresh("nobody"))


def test_defect_30_a_refused_value_is_a_value_error_with_a_sentence(client, parts):
    _, ids = parts
    with pytest.raises(ValueError, match=r"^Error updating resource: name: "):
        client.patch_resource(ids["a"], name="")


# Searching


def test_terms_are_found_anywhere_in_any_case_and_all_together(client, lab, fresh):
    name = fresh("somewhere")
    extras = {"instrument": f"Disdrometer {name}"}
    client.register_general_dataset(general(lab, name, notes="Über den Wolken", extras=extras))
    for terms in ([f"DISDROMETER {name}"], [name, "ÜBER DEN"], [name[3:], lab]):
        assert [each["name"] for each in client.search_datasets(terms)] == [name], terms
    assert client.search_datasets([name, "something else"]) == []


def test_keyed_terms_look_into_their_field_only(client, lab, fresh):
    name = fresh("keyed")
    resources = [{"url": "https://data.example.org/x", "name": "x", "format": "NetCDF"}]
    body = general(lab, name, title="A title", tags=["rain"], resources=resources)
    client.register_general_dataset(body | {"extras": {"project": "catchment"}})
    for key, text in [
        ("title", "a title"),
        ("tags", "rain"),
        ("owner_org", lab),
        ("organization", lab),
        ("res_format", "netcdf"),
        ("extras_project", "catch"),
        (None, "catchment"),
    ]:
        hits = client.search_datasets([name, text], keys=["name", key])
        assert [each["name"] for each in hits] == [name], key
    assert client.search_datasets([name, "catchment"], keys=["name", "title"]) == []


def test_terms_and_keys_must_be_as_many(client):
    with pytest.raises(ValueError, match="keys"):
        client.search_datasets(["one", "two"], keys=["name"])


def test_an_advanced_search_finds_datasets_by_their_resources(client, parts, lab):
    name, ids = parts
    (hit,) = client.advanced_search({"resource_name": f"{name}-b", "resource_format": "csv"})
    assert [each["id"] for each in hit["resources"]] == [ids["b"]]
    asked = {"dataset_name": name, "owner_org": lab, "server": "local"}
    assert [each["name"] for each in client.advanced_search(asked)] == [name]
    filters = {"filter_list": [f"name:{name}", f"organization:{lab}"]}
    assert [each["name"] for each in client.advanced_search(filters)] == [name]


# What the endpoint tells of itself


def test_the_status_and_the_details_are_complete(client):
    status = client.get_system_status()
    assert status["organization"] == "Hydrology Lab"
    assert status["ep_name"] == "rain"
    assert status["backend_connected"] is True
    assert status["local_catalog_backend"] in ("sqlite", "postgresql")
    metrics = client.get_system_metrics()
    assert metrics.keys() >= {"public_ip", "cpu", "memory", "disk", "services"}
    assert client.get_kafka_details() == {
        "kafka_host": "kafka.example.org",
        "kafka_port": 9092,
        "kafka_connection": True,
        "kafka_prefix": "data_stream_",
        "max_streams": 10,
    }
    assert client.get_jupyter_details() == {"jupyter_url": "https://jupyter.example.org/lab"}


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("list_buckets", []), ("list_objects", ["bucket"]), ("list_federations", [])],
)
def test_parts_that_are_off_say_so(client, method, arguments):
    with pytest.raises(ValueError, match=r"(?s).*(503|not configured)"):
        client.call(method, *arguments)


# The way to remote execution


@pytest.fixture
def file(tmp_path):
    """Write a requirements file; return its path."""

    def write(*lines):
        path = tmp_path / "requirements.txt"
        path.write_text("\n".join(lines))
        return str(path)

    return write


def test_a_remote_environment_is_set_up_through_the_deploy_api(
    client, deployment, servers, identity
):
    told = client.setup_rexec_environment(REQUIREMENTS)
    assert told == {
        "Status": "R-Exec server instance with user-provided requirements created.",
        "Username": "writer",
        "NDP_Endpoint_membership": None,
    }
    assert client.setup_rexec_environment(REQUIREMENTS)["Status"].endswith("exists.")
    assert servers.find("default")["requirements"] == ["iniconfig>=2"]
    assert client.call("remote_func") == {
        "broker_addr": "127.0.0.1",
        "broker_port": deployment.broker.ready["client"].rpartition(":")[2],
        "rexec_api_url": f"{deployment.url}/rexec",
        "exec_token": identity.token("writer"),
    }


def test_what_a_released_client_started_becomes_ready_and_runs_code(
    client, endpoint, servers, identity, file
):
    assert client.setup_rexec_environment(file(PYTHON, "iniconfig"))["Username"] == "writer"
    with rexec.connect(endpoint.url, token=identity.token("writer"), start=False) as connected:
        assert connected.run(lambda: __import__("iniconfig").__name__) == "iniconfig"


def test_changed_requirements_are_a_conflict_unless_the_server_is_to_be_replaced(
    client, deployment, servers, file
):
    client.setup_rexec_environment([PYTHON])
    (before,) = servers.every()
    client.call("set_api_url", f"{deployment.url}/rexec/spawn")
    refused = client.call("set_environment", file(PYTHON, "iniconfig"))
    assert refused["status"] == 409
    assert "it has other requirements" in refused["Status"]
    assert servers.every()[0]["generation"] == before["generation"]
    forced = client.call("set_environment", file(PYTHON, "iniconfig"), force_reinstall=True)
    assert (forced["status"], forced["Username"]) == (200, "writer")
    (server,) = servers.every()
    assert server["requirements"] == ["iniconfig"]
    assert server["generation"] > before["generation"]


@pytest.mark.parametrize("version", ["0.9.0"], indirect=True)  # the older one has no such method
def test_a_remote_environment_is_taken_down(client, servers):
    client.setup_rexec_environment(REQUIREMENTS)
    told = client.terminate_rexec_environment()
    assert told == {"Status": "R-Exec server instance terminated.", "Username": "writer"}
    until(lambda: not servers.every(), "its end")
    assert "is not there" in client.terminate_rexec_environment()["Status"]


def test_a_viewer_gets_no_remote_environment(client_of, deployment, identity):
    with pytest.raises(ValueError, match="Failed to retrieve Rexec deployment endpoint"):
        client_of("viewer").setup_rexec_environment(REQUIREMENTS)
    assert identity.token("viewer") not in {each.token for each in deployment.asked}
