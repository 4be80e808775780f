"""Buckets and objects, in a real store that speaks S3: Moto's server."""

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
from moto.server import ThreadedMotoServer

from tests.endpoint.canary import inspect_service, secret, watch
from tests.endpoint.service import Endpoint, until
from tests.ports import closed_port

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def store():
    """The address of an empty store."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


def starting(directory, identity, store, **more):
    watch(directory)
    settings = {
        "AUTH_API_URL": identity.url,
        "REXEC_EP_DATABASE_URL": f"sqlite:///{directory}/catalog.sqlite3",
        "S3_ENABLED": "true",
        "S3_ENDPOINT": store,
        "S3_ACCESS_KEY": "the-access-key",
        "S3_SECRET_KEY": secret("s3"),
        "REXEC_EP_PATIENCE": "60",
    }
    return Endpoint(directory, settings | more)


@pytest.fixture(scope="module")
def storing(store, identity, tmp_path_factory):
    """An endpoint with a store behind it."""
    directory = tmp_path_factory.mktemp("storing")
    with starting(directory, identity, store) as running:
        yield running
        with running.client() as client:
            inspect_service(client)


@pytest.fixture
def client(storing, identity):
    with storing.client(identity.token("writer")) as client:
        yield client


@pytest.fixture
def bucket(client, fresh):
    name = fresh("bucket")
    assert client.post("/s3/buckets/", json={"name": name}).status_code == 201
    return name


def at(bucket, key, more=""):
    return f"/s3/objects/{bucket}/{quote(key, safe='/')}{more}"


def upload(client, bucket, key, content, kind="text/csv", name="file.csv"):
    files = {"file": (name, content, kind)}
    return client.post(f"/s3/objects/{bucket}", data={"object_key": key}, files=files)


def stored(client, bucket, key, content=b"hour,mm\n0,1.5\n"):
    answer = upload(client, bucket, key, content)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer, status, text=""):
    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["detail"], str)
    assert text in answer.json()["detail"]
    return answer


# ------------------------------------------------------------------------------- buckets


def test_a_bucket_is_made_listed_told_about_and_deleted(client, fresh):
    name = fresh("bucket")
    answer = client.post("/s3/buckets/", json={"name": name, "region": "eu-west-1"})
    assert (answer.status_code, answer.json()["success"]) == (201, True)
    listed = client.get("/s3/buckets/").json()["buckets"]
    assert name in [one["name"] for one in listed]
    told = client.get(f"/s3/buckets/{name}").json()
    assert told in listed
    assert told["creation_date"]
    assert client.delete(f"/s3/buckets/{name}").json()["success"] is True
    refused(client.get(f"/s3/buckets/{name}"), 404, "not found")
    refused(client.delete(f"/s3/buckets/{name}"), 404, "not found")


def test_buckets_are_found_without_the_final_slash_too(client, bucket):
    assert client.get("/s3/buckets").json() == client.get("/s3/buckets/").json()


def test_a_bucket_that_is_there_is_not_made_again(client, bucket):
    refused(client.post("/s3/buckets/", json={"name": bucket}), 409, "already exists")


def test_a_bucket_that_is_not_empty_stays(client, bucket):
    stored(client, bucket, "a.csv")
    refused(client.delete(f"/s3/buckets/{bucket}"), 409, "not empty")


@pytest.mark.parametrize("name", ["", "ab", "Capital", "a/b", "..", "x" * 64, "a b", None, 7])
def test_what_is_no_name_of_a_bucket_is_refused(client, name):
    refused(client.post("/s3/buckets/", json={"name": name}), 422)


@pytest.mark.parametrize("name", ["arn:aws:s3:us-east-1:1:accesspoint:x", "%2e%2e", "a%20b"])
def test_nothing_but_a_name_is_taken_for_a_bucket(client, name):
    refused(client.get(f"/s3/buckets/{name}"), 422)


# ------------------------------------------------------------------------------- objects


def test_an_object_comes_back_as_it_went(client, bucket):
    content = bytes(range(256)) * 5
    answer = stored(client, bucket, "gauges/june.csv", content)
    assert answer["bucket"] == bucket
    assert (answer["key"], answer["size"]) == ("gauges/june.csv", len(content))
    back = client.get(at(bucket, "gauges/june.csv"))
    assert back.content == content
    assert back.headers["Content-Type"] == "text/csv"
    assert back.headers["Content-Length"] == str(len(content))
    assert back.headers["ETag"] == f'"{answer["etag"]}"'
    assert back.headers["Content-Disposition"] == "attachment; filename*=UTF-8''june.csv"
    assert back.headers["X-Content-Type-Options"] == "nosniff"


def test_metadata_tells_what_there_is_to_know(client, bucket):
    made = stored(client, bucket, "june.csv")
    told = client.get(at(bucket, "june.csv", "/metadata")).json()
    assert set(told) == {"key", "size", "content_type", "last_modified", "etag", "metadata"}
    assert (told["key"], told["size"], told["etag"]) == ("june.csv", made["size"], made["etag"])
    assert told["content_type"] == "text/csv"


def test_the_name_of_the_file_is_the_key_if_none_is_given(client, bucket):
    answer = client.post(f"/s3/objects/{bucket}", files={"file": ("übung 1.csv", b"x")})
    assert answer.json()["key"] == "übung 1.csv"


def test_an_object_may_be_empty(client, bucket):
    assert stored(client, bucket, "nothing", b"")["size"] == 0
    assert client.get(at(bucket, "nothing")).content == b""


def test_a_part_of_an_object_is_downloaded(client, bucket):
    stored(client, bucket, "digits", b"0123456789")
    answer = client.get(at(bucket, "digits"), headers={"Range": "bytes=2-4"})
    assert (answer.status_code, answer.content) == (206, b"234")
    assert answer.headers["Content-Range"] == "bytes 2-4/10"
    refused(client.get(at(bucket, "digits"), headers={"Range": "bytes=20-"}), 416)
    assert client.get(at(bucket, "digits"), headers={"Range": "nonsense"}).status_code == 200


def test_a_deleted_object_is_gone(client, bucket):
    stored(client, bucket, "june.csv")
    assert client.delete(at(bucket, "june.csv")).json()["success"] is True
    for answer in (
        client.delete(at(bucket, "june.csv")),
        client.get(at(bucket, "june.csv")),
        client.get(at(bucket, "june.csv", "/metadata")),
    ):
        refused(answer, 404, "not found")


def test_a_missing_bucket_is_told_apart_from_a_missing_object(client, fresh):
    nowhere = fresh("nowhere")
    for answer in (
        client.get(f"/s3/objects/{nowhere}"),
        client.get(at(nowhere, "x")),
        upload(client, nowhere, "x", b"x"),
        upload(client, nowhere, "x", b"x" * 9 * MIB),
    ):
        refused(answer, 404, f"Bucket '{nowhere}' not found")


def test_objects_are_listed_by_prefix_and_page_by_page(client, bucket):
    keys = [f"gauges/{number:02}.csv" for number in range(5)]
    for key in [*keys, "other.csv"]:
        stored(client, bucket, key)
    listed = client.get(f"/s3/objects/{bucket}").json()
    assert [one["key"] for one in listed["objects"]] == [*keys, "other.csv"]
    assert listed["prefix"] is listed["next_after"] is None
    assert set(listed["objects"][0]) == {"key", "size", "etag", "last_modified", "content_type"}
    found, after = [], ""
    while after is not None:
        query = {"prefix": "gauges/", "limit": 2, "after": after}
        page = client.get(f"/s3/objects/{bucket}", params=query).json()
        assert page["prefix"] == "gauges/"
        found += [one["key"] for one in page["objects"]]
        after = page["next_after"]
    assert found == keys


HOSTILE = [
    "with blanks and +%&?#;=.csv",
    "日本語/ファイル.nc",
    "/leading",
    "two//slashes",
    "trailing/",
    "back\\slash",
    "'; DROP TABLE objects; --",
    "%2e%2e/quoted",
    "...",
    "k" * 1024,
    "presigned-upload",
    "a/presigned-download",
    '"quotes"\'<tags>',
]


@pytest.mark.parametrize("key", HOSTILE)
def test_any_key_works(client, bucket, key):
    assert stored(client, bucket, key, key.encode())["key"] == key
    assert client.get(f"/s3/objects/{bucket}").json()["objects"][0]["key"] == key
    assert client.get(at(bucket, key)).content == key.encode()
    assert client.get(at(bucket, key, "/metadata")).json()["key"] == key
    address = client.post(at(bucket, key, "/presigned-download"), json={}).json()["url"]
    # Others may ask for it in another way; this one changes what it is given least.
    assert httpx.get(address).content == key.encode()
    assert client.delete(at(bucket, key)).status_code == 200
    assert client.get(f"/s3/objects/{bucket}").json()["objects"] == []


@pytest.mark.parametrize(
    "key", ["..", "a/../b", "./a", "a/.", "k" * 1025, "ü" * 513, "line\nbreak", "nul\0"]
)
def test_keys_that_nobody_could_ask_for_are_refused(client, bucket, key):
    # Not quoted by a library, which would mend some of them.
    form = b"--x\r\nContent-Disposition: form-data; name=object_key\r\n\r\n" + key.encode()
    form += (
        b"\r\n--x\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\nx\r\n--x--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post(f"/s3/objects/{bucket}", content=form, headers=headers)
    refused(answer, 400, "cannot be the key")
    quoted = quote(key, safe="").replace(".", "%2E")
    assert client.get(f"/s3/objects/{bucket}/{quoted}").status_code in {400, 404}
    assert client.get(f"/s3/objects/{bucket}").json()["objects"] == []


def test_defect_26_objects_whose_keys_end_in_metadata_can_be_downloaded(client, bucket):
    stored(client, bucket, "run/metadata", b"the object")
    assert client.get(at(bucket, "run/metadata")).content == b"the object"
    told = client.get(at(bucket, "run/metadata", "/metadata")).json()
    assert (told["key"], told["size"]) == ("run/metadata", 10)
    # With an object whose metadata could be meant as well, the address says which.
    stored(client, bucket, "run", b"another")
    assert client.get(at(bucket, "run/metadata")).json()["key"] == "run"
    assert client.get(at(bucket, "run/metadata"), params={"literal": True}).content == b"the object"


# ------------------------------------------------------------------------------- size


def peak(endpoint):
    """Return how much memory a process had at most, in bytes."""
    status = Path(f"/proc/{endpoint.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if "VmHWM" in line)) * 1024


@pytest.mark.parametrize("file_first", [False, True])
def test_defect_26_large_objects_stream_through_without_filling_memory(
    client, storing, bucket, file_first
):
    block = bytes(range(256)) * 4096
    blocks = 96
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    key = b'--x\r\nContent-Disposition: form-data; name="object_key"\r\n\r\nlarge\r\n'

    def form():
        if not file_first:
            yield key
        yield head
        for _ in range(blocks):
            yield block
        yield b"\r\n"
        if file_first:
            yield key
        yield b"--x--\r\n"

    stored(client, bucket, "small")
    before = peak(storing)
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post(f"/s3/objects/{bucket}", content=form(), headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["size"] == blocks * len(block)
    with client.stream("GET", at(bucket, "large")) as back:
        count = 0
        for piece in back.iter_bytes(len(block)):
            assert piece == block
            count += 1
    assert count == blocks
    assert peak(storing) - before < 64 * MIB


@pytest.mark.parametrize("size", [8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 16 * MIB])
def test_objects_of_about_the_size_of_a_part_are_complete(client, bucket, size):
    content = b"\x01" * size
    assert stored(client, bucket, "object", content)["size"] == size
    assert client.get(at(bucket, "object")).content == content


@pytest.mark.parametrize("size", [10, 9 * MIB])
def test_a_form_that_ends_too_early_leaves_nothing_behind(client, bucket, store, size):
    form = b"--x\r\nContent-Disposition: form-data; name=object_key\r\n\r\nhalf\r\n"
    form += b"--x\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\n" + b"y" * size
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    refused(client.post(f"/s3/objects/{bucket}", content=form, headers=headers), 422, "ends before")
    assert client.get(f"/s3/objects/{bucket}").json()["objects"] == []
    assert "<Upload>" not in httpx.get(f"http://{store}/{bucket}?uploads").text


def test_an_upload_that_breaks_off_leaves_nothing_behind(client, storing, identity, bucket, store):
    token = identity.token("writer")
    address = urlsplit(storing.url)
    head = f"POST /s3/objects/{bucket} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    head += "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 99999999\r\n\r\n"
    head += "--x\r\nContent-Disposition: form-data; name=object_key\r\n\r\nhalf\r\n"
    head += "--x\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\n"
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode() + b"y" * 9 * MIB)
    # The next request of the same process comes after it.
    stored(client, bucket, "whole")
    assert [o["key"] for o in client.get(f"/s3/objects/{bucket}").json()["objects"]] == ["whole"]


@pytest.mark.parametrize(
    ("kind", "form", "text"),
    [
        ("application/json", b"{}", "multipart/form-data"),
        ("multipart/form-data", b"", "multipart/form-data"),
        ("multipart/form-data; boundary=x", b"nonsense", "cannot be read"),
        ("multipart/form-data; boundary=x", b"", "ends before"),
        ("multipart/form-data; boundary=" + "x" * 400, b"", "cannot be read"),
        ("multipart/form-data; boundary=x", b"--x--\r\n", "no part"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=object_key\r\n\r\n\xff\r\n--x--\r\n",
            "UTF-8",
        ),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n" + b"a" * 70_000,
            "too long",
        ),
        (
            "multipart/form-data; boundary=x",
            b"".join(
                b"--x\r\nContent-Disposition: form-data; name=a%d\r\n\r\n\r\n" % number
                for number in range(30)
            ),
            "too many",
        ),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\n1\r\n" * 2
            + b"--x--\r\n",
            "more than one",
        ),
    ],
)
def test_what_is_no_form_with_one_file_is_refused(client, bucket, kind, form, text):
    headers = {"Content-Type": kind}
    answer = client.post(f"/s3/objects/{bucket}", content=form, headers=headers)
    refused(answer, 422, text)
    assert client.get(f"/s3/objects/{bucket}").json()["objects"] == []


# ---------------------------------------------------------------------- addresses of objects


def test_presigned_addresses_work_without_a_token(client, bucket):
    answer = client.post(at(bucket, "a b.csv", "/presigned-upload"), json={"expires_in": 60})
    assert answer.json()["expires_in"] == 60
    assert httpx.put(answer.json()["url"], content=b"put there").status_code == 200
    answer = client.post(at(bucket, "a b.csv", "/presigned-download"))
    assert answer.json()["expires_in"] == 3600
    assert httpx.get(answer.json()["url"]).content == b"put there"


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"expires_in": 1}, 1),
        ({"expiration": 90}, 90),
        ({"expires_in": 604800, "expiration": 1}, 604800),
        ({"expiration": None}, 3600),
        ({}, 3600),
        (None, 3600),
    ],
)
def test_defect_31_both_names_for_how_long_count(client, bucket, body, seconds):
    for what in ("upload", "download"):
        answer = client.post(at(bucket, "key", f"/presigned-{what}"), json=body)
        assert answer.json()["expires_in"] == seconds
        assert f"X-Amz-Expires={seconds}&" in answer.json()["url"]


@pytest.mark.parametrize("body", [{"expires_in": 0}, {"expiration": 604801}, {"expires_in": "x"}])
def test_times_that_a_store_does_not_take_are_refused(client, bucket, body):
    refused(client.post(at(bucket, "key", "/presigned-upload"), json=body), 422)


def test_presigned_addresses_may_hold_another_host(store, identity, tmp_path):
    public = {"REXEC_EP_S3_PUBLIC_URL": "https://s3.example.org"}
    with (
        starting(tmp_path, identity, store, **public) as endpoint,
        endpoint.client(identity.token("writer")) as client,
    ):
        answer = client.post(at("rain", "key", "/presigned-download"))
        assert answer.json()["url"].startswith("https://s3.example.org/rain/key?")


# ------------------------------------------------------------------------------- who may


ROUTES = [
    ("GET", "/s3/buckets/"),
    ("POST", "/s3/buckets/"),
    ("GET", "/s3/buckets/rain"),
    ("DELETE", "/s3/buckets/rain"),
    ("GET", "/s3/objects/rain"),
    ("POST", "/s3/objects/rain"),
    ("GET", "/s3/objects/rain/key"),
    ("DELETE", "/s3/objects/rain/key"),
    ("GET", "/s3/objects/rain/key/metadata"),
    ("POST", "/s3/objects/rain/key/presigned-upload"),
    ("POST", "/s3/objects/rain/key/presigned-download"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_the_store_is_for_writers(storing, identity, method, path):
    with storing.client() as nobody, storing.client(identity.token("viewer")) as viewer:
        refused(nobody.request(method, path), 401)
        refused(viewer.request(method, path), 403)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_store_it_says_so(as_writer, method, path):
    body = {"name": "rain"} if path == "/s3/buckets/" and method == "POST" else None
    refused(as_writer.request(method, path, json=body), 503, "S3 storage is not configured")


def test_nothing_is_read_of_the_upload_of_somebody_who_may_not(storing):
    address = urlsplit(storing.url)
    head = "POST /s3/objects/rain HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


# ------------------------------------------------------------------------------- faults


@pytest.fixture(scope="module")
def silent():
    """The address of something that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_defect_23_a_store_that_is_silent_holds_up_nobody_else(silent, identity, tmp_path):
    with (
        starting(tmp_path, identity, silent, REXEC_EP_PATIENCE="1") as endpoint,
        endpoint.client(identity.token("writer")) as client,
        ThreadPoolExecutor(20) as threads,
    ):

        def served_meanwhile():
            """Tell whether somebody is served while others wait, which is not for long."""
            waiting = [threads.submit(client.get, "/s3/buckets/") for _ in range(20)]
            for _ in range(5):
                assert client.get("/health").status_code == 200
            soon_enough = not any(answer.done() for answer in waiting)
            for answer in waiting:
                refused(answer.result(), 504, "took too long")
            return soon_enough

        until(served_meanwhile, "answers while others wait")
        told = client.get("/status/").json()
        assert (told["s3_enabled"], told["s3_connected"]) == (True, False)


def test_a_store_that_is_not_there_is_told_at_once(identity, tmp_path):
    with (
        closed_port() as port,
        starting(tmp_path, identity, nowhere := f"127.0.0.1:{port}") as endpoint,
        endpoint.client(identity.token("writer")) as client,
    ):
        for answer in (client.get("/s3/buckets/"), upload(client, "rain", "key", b"x")):
            refused(answer, 503, "cannot be reached")
            assert answer.headers["Retry-After"]
        assert nowhere not in answer.text
        assert client.get("/ready").json()["checks"]["minio"]["status"] == "down"


def test_without_keys_there_is_no_store(store, identity, tmp_path):
    with (
        starting(tmp_path, identity, store, S3_SECRET_KEY="") as endpoint,
        endpoint.client(identity.token("writer")) as client,
    ):
        refused(client.get("/s3/buckets/"), 503, "S3_SECRET_KEY")


def test_an_address_that_is_none_is_refused_at_the_start(identity, tmp_path):
    endpoint = starting(tmp_path, identity, "http://user:password@host")
    done = endpoint.run("serve", "--port", "0")
    assert done.returncode != 0
    assert "S3_ENDPOINT" in done.stderr
    assert "password" not in done.stderr
