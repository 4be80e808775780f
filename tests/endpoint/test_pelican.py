"""Pelican: a small real federation, and the routes that read from it."""

import socket
from pathlib import Path

import pytest

from tests.endpoint.canary import inspect_service, watch
from tests.endpoint.federation import Federation
from tests.endpoint.service import Endpoint, not_late

MIB = 1024 * 1024
RAIN = "/ospool/public/rain 2026/juni ü.csv"
FILES = {
    RAIN: b"hour,mm\n0,1.5\n",
    "/ospool/public/rain 2026/july.csv": b"0123456789",
    "/ospool/public/<odd> & 'quoted'?#%.txt": b"odd",
    "/ospool/public/large.bin": bytes(range(256)) * 4096 * 64,
}
READING = ["browse", "info", "download"]


@pytest.fixture(scope="module")
def running():
    with Federation() as federation:
        federation.files |= FILES
        yield federation


@pytest.fixture
def federation(running):
    running.reset()
    return running


def starting(directory, identity, **settings):
    watch(directory)
    environment = {
        "AUTH_API_URL": identity.url,
        "REXEC_EP_DATABASE_URL": f"sqlite:///{directory}/catalog.sqlite3",
        "PELICAN_ENABLED": "true",
        "REXEC_EP_PATIENCE": "60",
    }
    return Endpoint(directory, environment | settings)


@pytest.fixture(scope="module")
def reading(running, identity, tmp_path_factory):
    """An endpoint that knows one federation, under the name of a public one."""
    directory = tmp_path_factory.mktemp("reading")
    known = {
        "REXEC_EP_PELICAN_FEDERATIONS": f"osdf={running.url}",
        "PELICAN_FEDERATION_URL": "pelican://data.example.org",
    }
    with starting(directory, identity, **known) as endpoint:
        yield endpoint
        with endpoint.client() as client:
            inspect_service(client)


@pytest.fixture
def client(reading, federation, identity):
    with reading.client(identity.token("writer")) as client:
        yield client


@pytest.fixture
def nobody(reading, federation):
    with reading.client() as client:
        yield client


def ask(client, what, path=RAIN, **query):
    headers = query.pop("headers", None)
    return client.get(f"/pelican/{what}", params={"path": path, **query}, headers=headers)


def refused(answer, status, text=""):
    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["detail"], str)
    assert text in answer.json()["detail"]


# --------------------------------------------------------------------------- reading


def test_the_federations_are_those_that_are_configured(nobody, federation):
    told = nobody.get("/pelican/federations").json()
    assert told["success"] is True
    assert told["count"] == len(told["federations"]) == 3
    assert told["federations"]["osdf"]["url"] == federation.url
    assert told["federations"]["path-cc"]["url"] == "pelican://path-cc.io"
    assert told["federations"]["custom"]["url"] == "pelican://data.example.org"


def test_a_namespace_is_listed(nobody):
    told = ask(nobody, "browse", "/ospool/public").json()
    assert told["success"] is True
    assert told["path"] == "/ospool/public"
    assert told["count"] == 3
    assert told["files"] == sorted(
        [
            "/ospool/public/<odd> & 'quoted'?#%.txt",
            "/ospool/public/large.bin",
            "/ospool/public/rain 2026/",
        ]
    )


def test_a_listing_tells_more_if_asked(nobody):
    found = ask(nobody, "browse", "/ospool/public/rain 2026/", detail=True).json()["files"]
    assert [one["name"].rsplit("/")[-1] for one in found] == ["july.csv", "juni ü.csv"]
    assert found[0]["size"] == 10
    assert found[0]["type"] == "file"
    assert found[0]["modified"].startswith("2026-05-28T")
    directory = ask(nobody, "browse", "/ospool/public", detail=True).json()["files"][-1]
    assert directory["type"] == "directory"


def test_a_file_is_told_about(nobody):
    told = ask(nobody, "info").json()
    assert told["success"] is True
    assert told["file"]["name"] == RAIN
    assert (told["file"]["size"], told["file"]["type"]) == (len(FILES[RAIN]), "file")


def test_a_file_is_told_about_where_nothing_can_be_listed(nobody, federation):
    federation.lists = False
    federation.listing = b""
    assert ask(nobody, "info").status_code == 503
    federation.listing = None
    assert ask(nobody, "info").json()["file"]["size"] == len(FILES[RAIN])


@pytest.mark.parametrize("path", list(FILES)[:3])
@pytest.mark.parametrize("stream", [True, False])
def test_a_file_is_downloaded(client, path, stream):
    answer = ask(client, "download", path, stream=stream)
    assert answer.content == FILES[path]
    assert answer.headers["Content-Disposition"].startswith("attachment; ")
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_a_part_of_a_file_is_downloaded(client):
    path = "/ospool/public/rain 2026/july.csv"
    answer = ask(client, "download", path, headers={"Range": "bytes=2-4"})
    assert (answer.status_code, answer.content) == (206, b"234")
    assert answer.headers["Content-Range"] == "bytes 2-4/10"


def test_a_large_file_streams_through_without_filling_memory(client, reading):
    def peak():
        status = Path(f"/proc/{reading.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if "VmHWM" in line)) * 1024

    before = peak()
    size = 0
    query = {"path": "/ospool/public/large.bin", "stream": True}
    with client.stream("GET", "/pelican/download", params=query) as answer:
        for piece in answer.iter_bytes():
            size += len(piece)
    assert size == 64 * MIB
    assert peak() - before < 32 * MIB


def test_a_file_that_breaks_off_is_not_taken_for_a_whole_one(client, federation):
    ask(client, "info")  # the director is known from now on
    federation.cut = True
    with pytest.raises(Exception, match=r"(?i)peer closed|incomplete|disconnected"):
        ask(client, "download")


@pytest.mark.parametrize("what", READING)
def test_what_is_not_there_is_not_found(client, what):
    refused(ask(client, what, "/ospool/public/none.csv"), 404, "not found")
    refused(ask(client, what, "/elsewhere/x"), 404, "not found")
    refused(ask(client, what, federation="unknown"), 404, "No federation")


@pytest.mark.parametrize("what", READING)
def test_what_is_not_open_to_everybody_is_refused(client, what):
    refused(ask(client, what, "/locked/x"), 400, "not open to everybody")


def test_a_file_is_no_namespace(nobody):
    refused(ask(nobody, "browse"), 400, "is a file")


@pytest.mark.parametrize(
    "path", ["", "/", "//", "/a/../b", "..", "/a/./b", "/ospool/\nx", "/ospool/" + "x" * 4090]
)
@pytest.mark.parametrize("what", READING)
def test_paths_that_lead_elsewhere_are_refused(client, federation, what, path):
    answer = ask(client, what, path)
    assert answer.status_code in {400, 422}
    assert isinstance(answer.json()["detail"], str)
    assert federation.seen == []


@pytest.mark.parametrize("path", ["ospool/public", "//ospool/public", "/ospool/public/"])
def test_slashes_around_a_path_do_not_matter(nobody, path):
    assert ask(nobody, "browse", path).json()["count"] == 3


def test_caches_are_passed_by_if_so_configured(federation, identity, tmp_path):
    direct = {"PELICAN_DIRECT_READS": "true", "PELICAN_FEDERATION_URL": federation.url}
    with (
        starting(tmp_path, identity, **direct) as endpoint,
        endpoint.client(identity.token("viewer")) as client,
    ):
        assert ask(client, "download", federation="custom").content == FILES[RAIN]
    assert any(path.endswith("?directread") for _, path, _ in federation.seen)


# --------------------------------------------------------------------------- registering


@pytest.fixture
def dataset(client, fresh):
    organization, name = fresh("lab"), fresh("rain")
    made = client.post("/organization", json={"name": organization, "title": "A lab"})
    assert made.status_code == 201, made.text
    body = {"name": name, "title": "Rain", "owner_org": organization}
    assert client.post("/dataset", json=body).status_code == 201
    return name


def imported(client, **body):
    return client.post("/pelican/import-metadata", json=body)


def test_a_file_becomes_a_resource(client, federation, dataset):
    url = f"pelican://{federation.host}{RAIN}"
    answer = imported(client, pelican_url=url, package_id=dataset, resource_description="Sums.")
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    made = answer.json()["resource"]
    assert made["name"] == "juni ü.csv"
    assert (made["format"], made["url"], made["description"]) == ("pelican", url, "Sums.")
    assert (made["size"], made["mimetype"]) == (len(FILES[RAIN]), "text/csv")
    assert client.get(f"/resource/{made['id']}").json()["url"] == url
    # Once more it takes the place of the first.
    again = imported(client, pelican_url=url, package_id=dataset, resource_name="June")
    assert again.json()["resource"]["name"] == "June"
    assert len(client.get(f"/dataset/{dataset}").json()["resources"]) == 1


def test_the_name_of_a_federation_names_it_too(client, dataset):
    for url in (f"pelican://osdf{RAIN}", f"osdf://{RAIN}"):
        assert imported(client, pelican_url=url, package_id=dataset).status_code == 200


def test_what_is_not_there_becomes_no_resource(client, federation, dataset):
    missing = f"pelican://{federation.host}/ospool/none"
    refused(imported(client, pelican_url=missing, package_id=dataset), 404, "not found")
    here = f"pelican://{federation.host}{RAIN}"
    refused(imported(client, pelican_url=here, package_id="none"), 404, "Dataset not found")
    assert client.get(f"/dataset/{dataset}").json()["resources"] == []


@pytest.mark.parametrize(
    "url", ["http://x/y", "pelican://", "pelican:///x", "pelican://a@osdf/x", "pelican://[/x", "x"]
)
def test_what_is_no_address_of_a_file_is_refused(client, dataset, url):
    refused(imported(client, pelican_url=url, package_id=dataset), 400)


def test_a_federation_that_is_not_configured_is_not_asked(client, dataset):
    answer = imported(client, pelican_url="pelican://169.254.1.1/x/y", package_id=dataset)
    refused(answer, 404, "No federation")


# --------------------------------------------------------------------------- who may


def test_defect_06_neither_downloads_nor_imports_are_for_nobody_in_particular(
    reading, nobody, federation, identity
):
    refused(ask(nobody, "download"), 401)
    body = {"pelican_url": f"pelican://osdf{RAIN}", "package_id": "x"}
    refused(imported(nobody, **body), 401)
    with reading.client(identity.token("viewer")) as viewer:
        assert ask(viewer, "download").status_code == 200
        refused(imported(viewer, **body), 403)


def test_no_token_of_the_caller_goes_to_the_federation(client, federation):
    assert ask(client, "download").status_code == 200
    for _, path, headers in federation.seen:
        assert "Authorization" not in headers
        assert "authz" not in path


def test_without_pelican_it_says_so(as_writer):
    for what in ("federations", "browse", "info", "download"):
        refused(ask(as_writer, what), 503, "PELICAN_ENABLED")
    body = {"pelican_url": f"pelican://osdf{RAIN}", "package_id": "x"}
    refused(imported(as_writer, **body), 503, "PELICAN_ENABLED")


# --------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    "address",
    ["ftp://host", "http://user:password@127.0.0.1:9", "file:///etc", "", "http://["],
)
def test_a_director_that_sends_to_odd_places_is_not_followed(client, federation, address):
    federation.director = address or "javascript:x"
    refused(ask(client, "download"), 503)


def test_a_director_that_sends_in_circles_is_given_up(client, federation):
    federation.director = f"{federation.url}/director"
    refused(ask(client, "download"), 503, "circles")


@pytest.mark.parametrize(
    "listing",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b"not xml",
        b'<!DOCTYPE x [<!ENTITY a "b">]><multistatus xmlns="DAV:">&a;</multistatus>',
    ],
)
def test_a_listing_that_is_none_is_an_outage(client, federation, listing):
    federation.listing = listing
    refused(ask(client, "browse", "/ospool/public"), 503, "cannot be understood")


def test_a_federation_that_does_not_tell_of_itself_is_an_outage(identity, tmp_path):
    with Federation() as federation:
        settings = {"PELICAN_FEDERATION_URL": federation.url}
        with starting(tmp_path, identity, **settings) as endpoint, endpoint.client() as client:
            for told in ("", "[]", "{}", '{"director_endpoint": 7}', "<html>", "[" * 99999):
                federation.told = told
                refused(ask(client, "info", federation="custom"), 503, "where its director is")


def test_a_federation_that_is_silent_or_not_there_is_an_outage(identity, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {
            "PELICAN_FEDERATION_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "REXEC_EP_PATIENCE": "1",
        }
        with starting(tmp_path, identity, **settings) as endpoint, endpoint.client() as client:
            refused(ask(client, "browse", federation="custom"), 504, "took too long")
            silent.close()
            answer = not_late(lambda: ask(client, "browse", federation="custom"))
            refused(answer, 503, "cannot be reached")
