"""What each method asks for, what it returns, and the words of its errors."""

import asyncio
import io

import pytest

from rexec_jupyter.endpoint import AsyncEndpointClient, EndpointClient
from rexec_jupyter.endpoint import errors as e
from tests.endpoint.answering import Answering, Reply
from tests.endpoint.canary import secret


@pytest.fixture(scope="module")
def server():
    with Answering() as server:
        yield server


@pytest.fixture(scope="module")
def connected(server):
    server.answer("GET", "/status/", {"api_version": "1.0.0"})
    with EndpointClient(server.url, secret("token"), retries=0) as client:
        yield client


@pytest.fixture
def client(server, connected):
    """A client, and a server that nobody asked anything yet."""
    server.asked.clear()
    return connected


DATA = {"name": "a"}

# Method, arguments, then what is asked: method, path, query, JSON.
OPERATIONS = [
    ("list_organizations", (), {}, "GET", "/organization", {"server": "global"}, None),
    ("list_organizations", ("x", "pre-ckan"), {}, "GET", "/organization",
     {"server": "pre_ckan", "name": "x"}, None),
    ("register_organization", (DATA,), {}, "POST", "/organization", {"server": "local"}, DATA),
    ("delete_organization", ("a b",), {}, "DELETE", "/organization/a b", {"server": "local"}, None),
    ("register_general_dataset", (DATA,), {}, "POST", "/dataset", {"server": "local"}, DATA),
    ("update_general_dataset", ("d", DATA), {}, "PUT", "/dataset/d", {"server": "local"}, DATA),
    ("patch_general_dataset", ("d", DATA), {"server": "pre_ckan"}, "PATCH", "/dataset/d",
     {"server": "pre_ckan"}, DATA),
    ("get_dataset", ("d",), {}, "GET", "/dataset/d", {"server": "local"}, None),
    ("publish_dataset", ("d",), {}, "POST", "/dataset/d/publish", {}, None),
    ("search_datasets", (["x", "y"], ["name", None], "local"), {}, "GET", "/search",
     {"server": "local", "terms": ["x", "y"], "keys": ["name", "null"]}, None),
    ("search_datasets", ("rain fall",), {}, "GET", "/search",
     {"server": "global", "terms": "rain fall"}, None),
    ("advanced_search", ({"search_term": "x"},), {}, "POST", "/search", {}, {"search_term": "x"}),
    ("search_resources", (), {"format": "CSV", "limit": 5}, "GET", "/resources/search",
     {"server": "local", "limit": "5", "offset": "0", "format": "CSV"}, None),
    ("get_resource", ("r",), {}, "GET", "/resource/r", {"server": "local"}, None),
    ("patch_resource", ("r", "n"), {"format": "CSV"}, "PATCH", "/resource/r",
     {"server": "local"}, {"name": "n", "format": "CSV"}),
    ("delete_resource", ("r",), {}, "DELETE", "/resource/r", {"server": "local"}, None),
    ("delete_resource_by_id", ("r",), {}, "DELETE", "/resource",
     {"server": "local", "resource_id": "r"}, None),
    ("delete_resource_by_name", ("n",), {}, "DELETE", "/resource/n", {"server": "local"}, None),
    ("patch_dataset_resource", ("d", "r", DATA), {}, "PATCH", "/dataset/d/resource/r",
     {"server": "local"}, DATA),
    ("delete_dataset_resource", ("d", "r"), {}, "DELETE", "/dataset/d/resource/r",
     {"server": "local"}, None),
    ("register_kafka_topic", (DATA,), {}, "POST", "/kafka", {"server": "local"}, DATA),
    ("update_kafka_topic", ("d", DATA), {}, "PUT", "/kafka/d", {"server": "local"}, DATA),
    ("register_url", (DATA,), {}, "POST", "/url", {"server": "local"}, DATA),
    ("update_url_resource", ("d", DATA), {}, "PUT", "/url/d", {"server": "local"}, DATA),
    ("register_s3_link", (DATA,), {}, "POST", "/s3", {"server": "local"}, DATA),
    ("update_s3_resource", ("d", DATA), {}, "PUT", "/s3/d", {"server": "local"}, DATA),
    ("patch_s3_resource", ("d", DATA), {}, "PATCH", "/s3/d", {"server": "local"}, DATA),
    ("register_service", (DATA,), {}, "POST", "/services", {"server": "local"}, DATA),
    ("update_service", ("d", DATA), {}, "PUT", "/services/d", {"server": "local"}, DATA),
    ("patch_service", ("d", DATA), {}, "PATCH", "/services/d", {"server": "local"}, DATA),
    ("get_system_status", (), {}, "GET", "/status/", {}, None),
    ("get_system_metrics", (), {}, "GET", "/status/metrics", {}, None),
    ("get_kafka_details", (), {}, "GET", "/status/kafka-details", {}, None),
    ("get_jupyter_details", (), {}, "GET", "/status/jupyter", {}, None),
    ("get_user_info", (), {}, "GET", "/user/info", {}, None),
    ("list_buckets", (), {}, "GET", "/s3/buckets/", {}, None),
    ("create_bucket", ("b",), {"region": "r"}, "POST", "/s3/buckets/", {},
     {"name": "b", "region": "r"}),
    ("get_bucket_info", ("b",), {}, "GET", "/s3/buckets/b", {}, None),
    ("delete_bucket", ("b",), {}, "DELETE", "/s3/buckets/b", {}, None),
    ("list_objects", ("b", "p/"), {}, "GET", "/s3/objects/b", {"prefix": "p/"}, None),
    ("delete_object", ("b", "p/k"), {}, "DELETE", "/s3/objects/b/p/k", {}, None),
    ("get_object_metadata", ("b", "k"), {}, "GET", "/s3/objects/b/k/metadata", {}, None),
    ("generate_presigned_upload_url", ("b", "k"), {}, "POST",
     "/s3/objects/b/k/presigned-upload", {}, {}),
    ("list_federations", (), {}, "GET", "/pelican/federations", {}, None),
    ("browse_pelican", ("/x",), {"detail": True}, "GET", "/pelican/browse",
     {"path": "/x", "federation": "osdf", "detail": "true"}, None),
    ("get_pelican_info", ("/x",), {}, "GET", "/pelican/info",
     {"path": "/x", "federation": "osdf"}, None),
    ("import_pelican_metadata", ("pelican://f/x", "d", "n"), {}, "POST",
     "/pelican/import-metadata", {},
     {"pelican_url": "pelican://f/x", "package_id": "d", "resource_name": "n"}),
]  # fmt: skip
LISTS = ("list_organizations", "search_datasets", "advanced_search")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation[0])
def test_a_method_asks_for_what_the_endpoint_understands(server, client, operation):
    name, args, kwargs, method, path, query, json = operation
    told = ["x"] if name in LISTS else {"id": "x"}
    server.answer(method, path.replace(" ", "%20"), told)
    assert getattr(client, name)(*args, **kwargs) == told
    [asked] = server.asked
    flat = {key: value if len(value) > 1 else value[0] for key, value in asked.query.items()}
    assert flat == query
    assert (asked.json if asked.body else None) == json
    assert asked.token == client.token


FAILURES = [
    ("register_organization", (DATA,), "Group name already exists in database: a",
     "Error creating organization: Organization name already exists"),
    ("register_kafka_topic", (DATA,), "Organization does not exist",
     "Error creating Kafka dataset: Organization (owner_org) does not exist"),
    ("register_s3_link", (DATA,), "Organization does not exist",
     "Error creating S3 resource: Organization (owner_org) does not exist"),
    ("register_s3_link", (DATA,), "Reserved key error: name",
     "Error creating S3 resource: Reserved key conflict."),
    ("register_s3_link", (DATA,), "Invalid input: x",
     "Error creating S3 resource: Invalid input: x"),
    ("register_url", (DATA,), "Organization does not exist",
     "Error creating URL resource: Organization (owner_org) does not exist."),
    ("register_url", (DATA,), "Group name already exists in database",
     "Error creating URL resource: Name already exists."),
    ("register_service", (DATA,), "owner_org must be 'services'",
     "Error creating service: owner_org must be 'services' for service registration"),
    ("register_service", (DATA,), "Duplicate Service: x",
     "Error creating service: A service with the given name or URL already exists"),
    ("register_service", (DATA,), "Server is not configured",
     "Error creating service: Server is not configured or unreachable"),
    ("register_general_dataset", (DATA,), "Duplicate Dataset",
     "Error creating dataset: A dataset with the given name already exists"),
    ("register_general_dataset", (DATA,), "Server is not configured or unreachable.",
     "Error creating dataset: Server is not configured or unreachable"),
    ("update_kafka_topic", ("d", DATA), "Kafka dataset not found",
     "Error updating Kafka dataset: Not found"),
    ("update_s3_resource", ("d", DATA), "S3 resource not found",
     "Error updating S3 resource: Not found"),
    ("patch_s3_resource", ("d", DATA), "No such thing: Not Found.",
     "Error updating S3 resource: Not found"),
    ("update_url_resource", ("d", DATA), "Resource not found",
     "Error updating URL resource: Not found"),
    ("update_general_dataset", ("d", DATA), "Dataset not found",
     "Error updating dataset: Not found"),
    ("patch_general_dataset", ("d", DATA), "Dataset not found",
     "Error updating dataset: Not found"),
    ("delete_organization", ("o",), "Organization not found",
     "Error deleting organization: Not found"),
    ("delete_resource_by_id", ("r",), "Resource not found", "Error deleting resource: Not found"),
    ("delete_resource_by_name", ("r",), "Resource not found", "Error deleting resource: Not found"),
    ("update_service", ("s", DATA), "Service not found", "Error updating service: Not found"),
    ("patch_service", ("s", DATA), "service NOT FOUND", "Error updating service: Not found"),
    ("patch_dataset_resource", ("d", "r", DATA), "not found", "Error updating resource: Not found"),
    ("delete_dataset_resource", ("d", "r"), "not found", "Error deleting resource: Not found"),
    ("get_resource", ("r",), "Resource not found", "Resource 'r' not found"),
    ("patch_resource", ("r",), "Resource not found", "Resource 'r' not found"),
    ("delete_resource", ("r",), "Resource not found", "Resource 'r' not found"),
    ("get_bucket_info", ("b",), "NoSuchBucket", "S3 bucket 'b' not found"),
    ("delete_bucket", ("b",), "NoSuchBucket", "S3 bucket 'b' not found"),
    ("download_object", ("b", "k"), "NoSuchKey", "S3 object 'k' not found in bucket 'b'"),
    ("delete_object", ("b", "k"), "NoSuchKey", "S3 object 'k' not found in bucket 'b'"),
    ("get_object_metadata", ("b", "k"), "NoSuchKey", "S3 object 'k' not found in bucket 'b'"),
    ("browse_pelican", ("/x",), "gone", "Path not found: /x"),
    ("get_pelican_info", ("/x",), "gone", "File not found: /x"),
    ("download_pelican", ("/x",), "gone", "Error downloading from Pelican: gone"),
    ("search_datasets", (["x"],), "Bad", "Error searching for datasets: Bad"),
    ("advanced_search", ({},), "Bad", "Error in advanced search: Bad"),
    ("search_resources", (), "Bad", "Error searching resources: Bad"),
    ("list_organizations", (), "Bad", "Error listing organizations: Bad"),
    ("list_buckets", (), "off", "Error listing S3 buckets: off"),
    ("upload_object", ("b", "k", b""), "off", "Error uploading S3 object: off"),
    ("generate_presigned_download_url", ("b", "k"), "off",
     "Error generating presigned download URL: off"),
    ("get_system_status", (), "off", "Failed to fetch system status: off"),
    ("get_kafka_details", (), "off", "Failed to fetch Kafka details: off"),
    ("get_jupyter_details", (), "off", "Failed to fetch Jupyter details: off"),
    ("terminate_rexec_environment", (), "off", "Failed to retrieve Rexec deployment endpoint: off"),
]  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure[0])
def test_errors_have_the_words_that_programs_look_for(server, client, failure):
    name, args, detail, text = failure
    refuse = Reply(404, {"detail": detail})
    server.reply, before = (lambda _: refuse), server.reply
    try:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - its text is compared below
            getattr(client, name)(*args)
    finally:
        server.reply = before
    assert isinstance(caught.value, e.NotFoundError)
    assert str(caught.value).startswith(text)
    assert detail in str(caught.value)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, "Not authenticated: why"),
        (403, "Forbidden: why"),
        (502, "Authentication service unavailable: why"),
        (503, "Authentication service unavailable: why"),
        (418, "Failed to fetch user info: 418"),
    ],
)
def test_why_one_is_nobody_is_told_by_what_kind_of_refusal_it_is(server, client, status, text):
    server.answer("GET", "/user/info", Reply(status, {"detail": "why"}))
    with pytest.raises(ValueError, match=text):
        client.get_user_info()


def test_terms_and_keys_are_as_many(client, server):
    with pytest.raises(ValueError, match="number of terms must match the number of keys"):
        client.search_datasets(["x"], ["name", "title"])
    assert server.asked == []


@pytest.mark.parametrize("name", ["..", ".", "", "a\0b"])
def test_a_name_that_would_change_the_path_is_not_sent(client, server, name):
    for operation in (client.get_resource, client.delete_organization, client.delete_bucket):
        with pytest.raises(e.EndpointError, match="no name or id"):
            operation(name)
    with pytest.raises(e.EndpointError, match="no key"):
        client.delete_object("b", f"a/../{name}" if name in (".", "..") else f"{name}\0")
    assert server.asked == []


def test_a_name_of_any_kind_stays_one_part_of_the_path(client, server):
    server.answer("GET", "/resource/a%2Fb%3Fc%23d%20%C3%A9", {"id": "x"})
    assert client.get_resource("a/b?c#d é") == {"id": "x"}


# ------------------------------------------------------------------------------- storage


def test_an_object_goes_up_and_comes_down(client, server):
    server.answer("POST", "/s3/objects/b", {"bucket": "b", "key": "p/k", "size": 3, "etag": "e"})
    server.answer("GET", "/s3/objects/b/p/k", Reply(content=b"\x00\xffx"))
    client.upload_object("b", "p/k", b"\x00\xffx", "image/png")
    client.upload_object("b", "p/k", io.BytesIO(b"\x00\xffx"))
    for asked in server.asked:
        assert b"\x00\xffx" in asked.body
        assert b'name="object_key"\r\n\r\np/k' in asked.body
    assert b"image/png" in server.asked[0].body
    assert client.download_object("b", "p/k") == b"\x00\xffx"


def test_defect_31_the_validity_of_an_address_is_asked_for_by_its_name(client, server):
    server.answer("POST", "/s3/objects/b/k/presigned-download", {"url": "u", "expires_in": 60})
    client.generate_presigned_download_url("b", "k", expiration=60)
    assert server.asked[0].json == {"expires_in": 60}


def test_defect_31_buckets_and_objects_come_in_dictionaries(client, server):
    server.answer("GET", "/s3/buckets/", {"buckets": []})
    server.answer("GET", "/s3/objects/b", {"objects": [], "prefix": None})
    assert client.list_buckets() == {"buckets": []}
    assert client.list_objects("b") == {"objects": [], "prefix": None}


def test_defect_32_a_catalog_may_be_written_with_a_dash(client, server):
    server.answer("DELETE", "/organization/o", {"message": "done"})
    client.delete_organization("o", server="pre-ckan")
    assert server.asked[0].query["server"] == ["pre_ckan"]


# --------------------------------------------------------------------------------- Pelican


def test_a_file_of_a_federation_comes_whole_or_in_pieces(client, server):
    content = bytes(range(256)) * 2000
    server.answer("GET", "/pelican/download", Reply(content=content))
    assert client.download_pelican("/x") == content
    pieces = client.download_pelican("/x", stream=True)
    assert next(pieces)
    assert sum(map(len, pieces)) < len(content)
    client.download_pelican("/x", stream=True).close()

    async def session():
        async with AsyncEndpointClient(server.url, client.token) as other:
            pieces = await other.download_pelican("/x", stream=True)
            return b"".join([piece async for piece in pieces])

    assert asyncio.run(session()) == content


def test_only_files_of_federations_are_imported(client, server):
    with pytest.raises(ValueError, match="URL must start with pelican://"):
        client.import_pelican_metadata("https://x", "d")
    assert server.asked == []


# ---------------------------------------------------------------------------------- pages


class Shelf:
    """Answers a search page by page, or with everything if it knows no pages."""

    def __init__(self, server, items, *, pages=True):
        self.server, self.items, self.pages = server, items, pages

    def __enter__(self):
        self.before, self.server.reply = self.server.reply, self.reply

    def __exit__(self, *_):
        self.server.reply = self.before

    def reply(self, asked):
        self.server.asked.append(asked)
        offset, limit = int(asked.query["offset"][0]), int(asked.query["limit"][0])
        found = self.items[offset : offset + limit] if self.pages else self.items
        told = {"count": len(self.items), "results": found}
        return Reply(content=told if asked.path == "/resources/search" else found)


@pytest.mark.parametrize("many", [0, 1, 4, 5, 6, 12])
@pytest.mark.parametrize("pages", [True, False])
def test_all_datasets_come_once_whether_the_endpoint_knows_pages_or_not(
    client, server, many, pages
):
    items = [{"id": str(number)} for number in range(many)]
    with Shelf(server, items, pages=pages):
        assert list(client.iterate_datasets(["x"], server="local", page_size=4)) == items

        async def session():
            async with AsyncEndpointClient(server.url) as other:
                return [each async for each in other.iterate_datasets(["x"], page_size=4)]

    server.answer("GET", "/", "running")
    shelf = Shelf(server, items, pages=pages)
    plain = shelf.reply
    shelf.reply = lambda asked: plain(asked) if asked.query else Reply(content="running")
    with shelf:
        assert asyncio.run(session()) == items


def test_all_resources_come_once(client, server):
    items = [{"id": str(number)} for number in range(9)]
    with Shelf(server, items):
        assert list(client.iterate_resources("x", page_size=4)) == items
    assert [asked.query["offset"] for asked in server.asked] == [["0"], ["4"], ["8"]]


def test_what_is_added_between_two_pages_makes_nothing_come_twice(client, server):
    first, second = [{"id": "4"}, {"id": "3"}], [{"id": "3"}, {"id": "2"}]
    server.answer("GET", "/search", first, second, [{"id": "1"}])
    found = client.iterate_datasets(["x"], page_size=2)
    assert [dataset["id"] for dataset in found] == ["4", "3", "2", "1"]


def test_a_page_has_an_item(client):
    with pytest.raises(ValueError, match="at least one"):
        list(client.iterate_datasets(["x"], page_size=0))
