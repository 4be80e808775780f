"""The client and the service together: a whole session of each kind."""

import asyncio

import pytest

from rexec_jupyter.endpoint import AsyncEndpointClient, EndpointClient
from rexec_jupyter.endpoint import errors as e


@pytest.fixture(scope="module")
def writer(endpoint, identity):
    with EndpointClient(endpoint.url, identity.token("writer")) as client:
        yield client


@pytest.fixture
def organization(writer, fresh):
    name = fresh("org")
    writer.register_organization({"name": name, "title": "A"})
    yield name
    writer.delete_organization(name)


def test_somebody_logs_in_and_is_known(endpoint, identity):
    person = identity.people["writer"]
    with EndpointClient(endpoint.url, username="writer", password=person.password) as client:
        info = client.get_user_info()
        assert (info["username"], info["effective_role"]) == ("writer", "writer")
        assert client.get_system_status()["api_version"] == client.api_version


def test_a_password_that_is_wrong_and_a_token_that_is_none_are_told(endpoint):
    with pytest.raises(e.NotAuthenticatedError, match="Invalid username or password"):
        EndpointClient(endpoint.url, username="writer", password="wrong")
    with EndpointClient(endpoint.url, "nonsense") as client:
        with pytest.raises(e.NotAuthenticatedError, match="Not authenticated: "):
            client.get_user_info()
        with pytest.raises(e.NotAuthenticatedError, match="Error creating organization"):
            client.register_organization({"name": "x", "title": "X"})


def test_a_viewer_may_not_write(endpoint, identity, fresh):
    with (
        EndpointClient(endpoint.url, identity.token("viewer")) as client,
        pytest.raises(e.ForbiddenError, match="grant you the writer or admin role"),
    ):
        client.register_organization({"name": fresh(), "title": "X"})


def test_an_organization_is_made_found_and_deleted(writer, fresh):
    name = fresh("org")
    assert writer.register_organization({"name": name, "title": "A"})["id"]
    with pytest.raises(e.EndpointError, match="Organization name already exists"):
        writer.register_organization({"name": name, "title": "A"})
    assert writer.list_organizations(name, server="local") == [name]
    assert name in writer.list_organizations()
    assert "deleted" in writer.delete_organization(name)["message"]
    with pytest.raises(e.NotFoundError, match="Error deleting organization: Not found"):
        writer.delete_organization(name)


def test_a_dataset_is_made_found_changed_and_deleted(writer, organization, fresh):
    name = fresh("rain")
    resource = {"url": "https://example.org/a.csv", "name": "a", "format": "CSV"}
    made = writer.register_general_dataset(
        {
            "name": name,
            "title": "Rain",
            "owner_org": organization,
            "notes": "mm per hour",
            "extras": {"station": "Tromsø"},
            "resources": [resource],
        }
    )
    [found] = writer.search_datasets([name])
    assert (found["id"], found["owner_org"]) == (made["id"], organization)
    assert [each["id"] for each in writer.search_datasets(["TROMSØ", name], [None, "name"])] == [
        made["id"]
    ]
    assert [each["id"] for each in writer.advanced_search({"dataset_name": name})] == [made["id"]]
    assert writer.get_dataset(name)["title"] == "Rain"
    writer.update_general_dataset(made["id"], {"title": "Heavy rain"})
    writer.patch_general_dataset(name, {"resources": [resource | {"name": "b", "url": "s3://b/k"}]})
    changed = writer.get_dataset(made["id"])
    assert (changed["title"], len(changed["resources"])) == ("Heavy rain", 2)
    writer.delete_resource_by_name(name)
    with pytest.raises(e.NotFoundError, match="not found"):
        writer.get_dataset(name)
    with pytest.raises(e.NotFoundError, match="Error updating dataset: Not found"):
        writer.update_general_dataset(name, {"title": "x"})
    with pytest.raises(e.NotFoundError, match="Error deleting resource: Not found"):
        writer.delete_resource_by_id(made["id"])


def test_a_resource_is_found_changed_and_deleted(writer, organization, fresh):
    name = fresh("wind")
    resource = {"url": f"https://example.org/{name}.nc", "name": name, "format": "NetCDF"}
    made = writer.register_general_dataset(
        {"name": name, "title": "W", "owner_org": organization, "resources": [resource]}
    )
    found = writer.search_resources(name=name)
    assert found["count"] == 1
    [hit] = found["results"]
    assert hit["dataset_id"] == made["id"]
    assert writer.get_resource(hit["id"])["format"] == "NetCDF"
    assert writer.patch_resource(hit["id"], description="m/s")["description"] == "m/s"
    changed = writer.patch_dataset_resource(made["id"], hit["id"], {"name": "speed"})
    assert changed["name"] == "speed"
    writer.delete_resource(hit["id"])
    with pytest.raises(e.NotFoundError, match=f"Resource '{hit['id']}' not found"):
        writer.get_resource(hit["id"])
    assert writer.get_dataset(made["id"])["resources"] == []


def test_every_kind_of_registration_is_made_and_changed(writer, organization, fresh):
    def named(kind):
        return {"resource_name": fresh(kind), "resource_title": kind, "owner_org": organization}

    topic = {
        "dataset_name": fresh("kafka"),
        "dataset_title": "T",
        "owner_org": organization,
        "kafka_topic": "t",
        "kafka_host": "localhost",
        "kafka_port": 9092,
    }
    service = {
        "service_name": fresh("service"),
        "service_title": "S",
        "owner_org": "services",
        "service_url": "https://example.org",
    }
    made = writer.register_kafka_topic(topic)["id"]
    assert writer.update_kafka_topic(made, {"kafka_topic": "u"})["message"]
    made = writer.register_url(named("url") | {"resource_url": "https://example.org"})["id"]
    assert writer.update_url_resource(made, {"resource_title": "V"})["message"]
    made = writer.register_s3_link(named("s3") | {"resource_s3": "s3://b/k"})["id"]
    assert writer.update_s3_resource(made, {"resource_title": "V"})["message"]
    assert writer.patch_s3_resource(made, {"notes": "n"})["message"]
    made = writer.register_service(service)["id"]
    assert writer.update_service(made, {"service_title": "U"})["message"]
    assert writer.patch_service(made, {"notes": "n"})["message"]
    with pytest.raises(e.ConflictError, match="given name or URL already exists"):
        writer.register_service(service)
    with pytest.raises(e.EndpointError, match=r"Organization \(owner_org\) does not exist"):
        writer.register_url(
            named("url") | {"owner_org": "nobody", "resource_url": "https://example.org"}
        )
    for change in (writer.update_kafka_topic, writer.update_service, writer.patch_s3_resource):
        with pytest.raises(e.NotFoundError, match="Not found"):
            change(fresh("none"), {})
    writer.delete_resource_by_name(service["service_name"])


def test_all_that_is_found_comes_page_by_page(writer, organization, fresh):
    mark = fresh("many")
    names = [f"{mark}-{number}" for number in range(7)]
    for name in names:
        resource = {"url": f"https://example.org/{name}", "name": name}
        writer.register_general_dataset(
            {"name": name, "title": "M", "owner_org": organization, "resources": [resource]}
        )
    found = writer.iterate_datasets([f"{mark}-"], server="local", page_size=3)
    assert sorted(each["name"] for each in found) == names
    found = writer.iterate_resources(f"{mark}-", page_size=3)
    assert sorted(each["name"] for each in found) == names


def test_what_is_not_configured_is_told(writer):
    with pytest.raises(e.NotFoundError, match="Failed to fetch Jupyter details"):
        writer.get_jupyter_details()
    with pytest.raises(e.UnavailableError, match="Error listing S3 buckets: S3"):
        writer.list_buckets()


def test_the_asynchronous_client_has_a_session_too(endpoint, identity, organization, fresh):
    async def session():
        async with AsyncEndpointClient(endpoint.url, identity.token("writer")) as client:
            names = [fresh("async") for _ in range(5)]
            await asyncio.gather(
                *(
                    client.register_general_dataset(
                        {"name": name, "title": name, "owner_org": organization}
                    )
                    for name in names
                )
            )
            found = await asyncio.gather(*(client.get_dataset(name) for name in names))
            assert [each["title"] for each in found] == names
            with pytest.raises(e.NotFoundError):
                await client.get_resource("none")

    asyncio.run(session())
