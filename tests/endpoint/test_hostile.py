"""Input that means harm, or is merely broken: a clear refusal, and nothing half-written."""

import http.client
import json
import socket
from urllib.parse import quote, urlsplit

import httpx
import psutil
import pytest

from tests.endpoint.canary import secret, watch
from tests.endpoint.service import PATIENCE, Endpoint, until

MIB = 1024 * 1024

INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE datasets; --",
    '" OR ""="',
    "%",
    "p_ain-",
    "%' ESCAPE '",
    "*",
    '"',
    "\\",
    "a\\",
    "(",
    ")",
    "[",
    "a*",
    "NEAR(a b)",
    "a AND",
    "NOT a",
    "a OR b",
    "{search_text}: a",
    "^a",
    "-zz",
    "+a",
    "a & b",
    "a | b",
    "!a",
    "a <-> b",
    "a:*",
    ":*",
    "'a'",
    "$where",
    "$where: sleep(1000)",
    "{$gt: ''}",
    "*:*",
    "name:*",
    "[* TO *]",
    "(a+)+$",
    "(" * 500,
    "%s%n%x",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "a\r\nX-Injected: yes",
    "\ufeff",
    "\u202e",
    "\U0001f300" * 100,
    "a" * 900,
    "NULL!",
    "1e999",
]


def refused(response, *statuses):
    """Make sure that an answer refuses in the one form that clients understand."""
    assert response.status_code in (statuses or range(400, 500)), response.text
    told = response.json()
    assert isinstance(told["detail"], str)
    assert told["detail"]
    assert told["correlation_id"]
    return told["detail"]


@pytest.fixture(autouse=True)
def no_failure_in_the_log(endpoint):
    """Whatever is sent: it was expected, so the log tells of no failure."""
    before = endpoint.log.stat().st_size - 1  # where the last line ends
    yield

    def whole():
        """Return what was written since, unless a line is just being written."""
        with endpoint.log.open("rb") as log:
            log.seek(before)
            written = log.read()
        return written if written.endswith(b"\n") else None

    written = until(whole, "the end of a line of the log")
    lines = [json.loads(line) for line in written.split(b"\n")[1:-1]]
    assert [line for line in lines if line["level"] in ("error", "critical")] == []


@pytest.fixture
def lab(as_writer, fresh):
    name = fresh("lab")
    as_writer.post("/organization", json={"name": name, "title": "L"}).raise_for_status()
    return name


@pytest.fixture
def dataset(as_writer, lab, fresh):
    name = fresh("plain")
    as_writer.post("/dataset", json=general(lab, name)).raise_for_status()
    return name


def general(lab, name, **more):
    return {"name": name, "title": "T", "owner_org": lab, **more}


def names(client, **params):
    response = client.get("/search", params=params)
    assert response.status_code == 200, response.text
    return [hit["name"] for hit in response.json()]


# Search


@pytest.mark.parametrize("text", INJECTIONS)
def test_search_takes_every_text_as_a_text(anonymous, dataset, text):
    assert dataset not in names(anonymous, terms=text)
    assert dataset not in names(anonymous, terms=[dataset, text])
    assert dataset not in names(anonymous, terms=[dataset, text], keys=["name", "title"])
    assert dataset not in names(anonymous, terms="T", keys=text)
    for body in (
        {"search_term": f"{dataset},{text.replace(',', '')}"},
        {"dataset_name": dataset, "dataset_title": text},
        {"dataset_name": dataset, "resource_format": text},
        {"dataset_name": dataset, "resource_url": text},
    ):
        found = anonymous.post("/search", json=body)
        assert found.status_code == 200, found.text
        assert found.json() == [], body
    for body in ({"filter_list": [text]}, {"filter_list": [f"{text}:x"]}, {"timestamp": text}):
        assert anonymous.post("/search", json=body).status_code in (200, 400), body
    for field in ("q", "name", "url", "description", "format"):
        found = anonymous.get("/resources/search", params={field: text})
        assert found.status_code == 200, found.text
    listed = anonymous.get("/organization", params={"name": text, "server": "local"})
    assert listed.status_code == 200
    assert all(text.casefold() in name.casefold() for name in listed.json())


@pytest.mark.parametrize("text", INJECTIONS)
def test_every_text_is_found_again_and_nothing_else_is(as_writer, lab, fresh, text):
    name = fresh("holds")
    body = general(lab, name, notes=f"before {text} after", extras={f"key {text[:90]}": text})
    as_writer.post("/dataset", json=body).raise_for_status()
    assert name in names(as_writer, terms=text)
    assert names(as_writer, terms=[name, text], keys=["name", "notes"]) == [name]
    hit = as_writer.get(f"/dataset/{name}").json()
    assert hit["notes"] == f"before {text} after"
    assert hit["extras"][f"key {text[:90]}"] == text


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("path", ["/dataset/{}", "/resource/{}", "/services/redirect/{}"])
def test_a_name_in_a_path_is_only_a_name(anonymous, path, text):
    response = anonymous.get(path.format(quote(text, safe="")))
    refused(response, 400, 404, 405)


def test_searches_have_limits(anonymous):
    refused(anonymous.get("/search", params={"terms": ["x"] * 101}), 422)
    refused(anonymous.get("/search", params={"terms": "x" * 1001}), 422)
    refused(anonymous.get("/search"), 422)
    refused(anonymous.get("/search", params={"terms": "x", "limit": 10**9}), 422)
    refused(anonymous.get("/search", params={"terms": "x", "offset": -1}), 422)
    refused(anonymous.get("/search", params={"terms": "x", "offset": 2**70}), 422)
    refused(anonymous.post("/search", json={"filter_list": ["x"] * 101}), 422)
    refused(anonymous.get("/search", params={"terms": ["a", "b"], "keys": "name"}), 400)


# Addresses and headers, byte by byte


def speak(endpoint, sent, *, finished=False):
    """Send bytes, and that no more will come if so; return what is answered until the end."""
    where = urlsplit(endpoint.url)
    address = where.hostname, where.port
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        connection.sendall(sent)
        if finished:
            connection.shutdown(socket.SHUT_WR)
        answered = b""
        while data := connection.recv(65536):
            answered += data
        return answered


def asked(endpoint, target, *headers, method=b"GET", body=b""):
    """Ask for something as it stands; return the status."""
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: x", b"Connection: close", *headers]
    answered = speak(endpoint, b"\r\n".join([*lines, b"", body]))
    assert answered.startswith(b"HTTP/1.1 "), answered[:200]
    return int(answered[9:12])


@pytest.mark.parametrize(
    "target",
    [
        b"/dataset/..%2f..%2fetc%2fpasswd",
        b"/dataset/../../etc/passwd",
        b"/../../etc/passwd",
        b"/static/..%2f..%2f..%2fapp.py",
        b"//evil.example.org/dataset",
        b"http://evil.example.org/dataset/x",
        b"/dataset/%00",
        b"/dataset/%ff%fe",
        b"/dataset/%zz",
        b"/dataset/%",
        b"/dataset/\xc3\x28",
        b"/dataset/\xf0\x9f\x8c\x80",
        b"/dataset/" + b"a" * 20_000,
        b"/" + b"a/" * 5000,
        b"/search?terms=%00",
        b"/search?" + b"&".join([b"terms=a"] * 5000),
        b"/organization?name=" + b"a" * 5000,
        b"/search?terms=x&limit=1%30%30%30%30%30",
        b"/services/redirect/x/..%2f..%2fadmin",
        b"/DATASET/x",
        b"/dataset/x;jsessionid=1",
        b"/dataset//x",
        b"*",
    ],
)
def test_odd_addresses_are_refused(endpoint, anonymous, target):
    assert 400 <= asked(endpoint, target) < 500
    assert anonymous.get("/health").status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        b"Authorization: Bearer",
        b"Authorization: Bearer  ",
        b"Authorization: Bearer a b c",
        b"Authorization: Basic YTpi",
        b"Authorization: \xff\xfe",
        b"Authorization: Bearer \xc3\xa4",
        b"Authorization: Bearer " + b"a" * 30_000,
        b"Authorization: Bearer ' OR 1=1 --",
        b"Authorization: Bearer ../../admin",
        b"Authorization: bearer null",
        b"authorization: Bearer a\r\nauthorization: Bearer b",
    ],
)
def test_odd_tokens_are_refused(endpoint, header):
    assert asked(endpoint, b"/status/", header) in (400, 401, 431)


@pytest.mark.parametrize(
    "header",
    [
        b"X-Correlation-ID: " + b"a" * 10_000,
        b"X-Correlation-ID: \xff<script>",
        b"X-Forwarded-For: ' OR 1=1",
        b"X-Forwarded-Proto: javascript",
        b"Accept: " + b"text/html;q=0.1," * 200,
        b"Accept-Language: \xff",
        b"Range: bytes=0-0,1-1,2-2",
        b"Content-Length: 5",
        b"Expect: 100-continue",
        b"Cookie: " + b"a=b;" * 1000,
        b"Upgrade: websocket\r\nConnection: Upgrade",
    ],
)
def test_odd_headers_do_not_make_it_fail(endpoint, header):
    answered = speak(
        endpoint, b"GET / HTTP/1.1\r\nHost: x\r\n" + header + b"\r\nConnection: close\r\n\r\nabcde"
    )
    assert answered.startswith(b"HTTP/1.1 "), answered[:200]
    assert int(answered[9:12]) < 500
    assert b"<script>" not in answered.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
        b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /url HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
        b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 1000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_others_are_served(endpoint, anonymous, sent):
    answered = speak(endpoint, sent, finished=True)
    assert b" 200 " not in answered[:20]
    assert b" 500 " not in answered[:20]
    assert anonymous.get("/health").status_code == 200


@pytest.mark.parametrize("method", ["BREW", "TRACE", "CONNECT", "PROPFIND", "get"])
def test_methods_that_nothing_has_are_refused(endpoint, method):
    where = urlsplit(endpoint.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=PATIENCE)
    try:
        connection.putrequest(method, "/organization", skip_accept_encoding=True)
        connection.endheaders()
        assert connection.getresponse().status in (400, 405, 501)
    finally:
        connection.close()


# Bodies


def memory(endpoint):
    return psutil.Process(endpoint.process.pid).memory_info().rss


def test_a_body_of_100_mb_is_refused_whether_it_says_so_or_not(endpoint, as_writer, lab, fresh):
    name = fresh("large")
    start = json.dumps(general(lab, name, notes="")).encode()[:-2]

    def body(count=0):
        yield start
        for _ in range(100):
            count += 1
            yield b"x" * MIB
        yield b'"}'

    before = memory(endpoint)
    headers = {"Content-Type": "application/json"}
    length = len(start) + 100 * MIB + 2
    said = headers | {"Content-Length": str(length)}
    for sent in (said, headers):
        try:
            response = as_writer.post("/dataset", content=body(), headers=sent)
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            continue  # it hung up while the rest was still being sent
        assert "larger" in refused(response, 413)
    assert memory(endpoint) - before < 60 * MIB
    assert names(as_writer, terms=name) == []
    assert as_writer.get("/health").status_code == 200


BODIES = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"x"',
    "half of it": b'{"name": "x"',
    "two": b"{}{}",
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "lists in lists": b"[" * 200_000,
    "lists in lists, closed": b'{"extras": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
    "objects in objects": b'{"a":' * 100_000,
    "a long number": b'{"size": ' + b"9" * 100_000 + b"}",
    "a form": b"name=x&title=y",
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "zeros": b"\x00" * 10_000,
}
PATHS = ["/dataset", "/organization", "/url", "/s3", "/kafka", "/services", "/search"]


@pytest.mark.parametrize("path", [*PATHS, "/user/login"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_none_is_refused(as_writer, path, body):
    headers = {"Content-Type": "application/json"}
    refused(as_writer.post(path, content=body, headers=headers), 400, 422)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("title", '"\\ud800"'),
        ("title", '"a\\u0000b"'),
        ("notes", '"\\udfff\\ud800"'),
        ("tags", '["\\u0000"]'),
        ("extras", '{"a": NaN}'),
        ("extras", '{"a": Infinity}'),
        ("extras", '{"a": -Infinity}'),
        ("extras", '{"a": 1e999}'),
        ("extras", '{"a": 99999999999999999999999999}'),
        ("extras", '{"\\u0000": 1}'),
        ("extras", '{"a": {"b": ["\\ud800"]}}'),
        ("extras", '{"__proto__": 1, "title": 2}'),
        ("extras", '"text"'),
        ("resources", '{"url": "x"}'),
        ("resources", '[{"url": "javascript:alert(1)", "name": "x"}]'),
        ("resources", '[{"url": "file:///etc/passwd", "name": "x"}]'),
        ("resources", '[{"url": "https://x/\\r\\nA: b", "name": "x"}]'),
        ("resources", '[{"url": "https://x/", "name": "x", "size": -1}]'),
        ("resources", '[{"url": "https://x/", "name": "x", "size": 1e30}]'),
        ("resources", '[{"url": "https://x:99999999/", "name": "x"}]'),
        ("resources", '[{"url": "https://[::1/", "name": "x"}]'),
        ("private", '"perhaps"'),
        ("name", '"../x"'),
        ("name", '"x y"'),
        ("name", '"x\\n"'),
        ("name", '"' + "x" * 10_000 + '"'),
        ("name", '"\\u0131"'),
        ("owner_org", '""'),
        ("owner_org", '"\\u0000"'),
        ("owner_org", '"no-such-organization"'),
    ],
)
def test_values_that_cannot_be_kept_are_refused_and_nothing_is(as_writer, lab, fresh, field, text):
    name = fresh("refused")
    body = json.dumps(general(lab, name) | {field: "?"}).replace('"?"', text)
    headers = {"Content-Type": "application/json"}
    refused(as_writer.post("/dataset", content=body.encode(), headers=headers), 400, 422)
    assert names(as_writer, terms=name) == []


def test_ten_thousand_tags_are_refused_and_nothing_is_kept(as_writer, lab, fresh):
    name = fresh("tagged")
    tags = [f"tag-{number}" for number in range(10_000)]
    assert "tags" in refused(as_writer.post("/dataset", json=general(lab, name, tags=tags)), 422)
    assert names(as_writer, terms=name) == []
    as_writer.post("/dataset", json=general(lab, name, tags=tags[:1000])).raise_for_status()
    assert "tags" in refused(as_writer.patch(f"/dataset/{name}", json={"tags": tags}), 422)
    assert names(as_writer, terms=[name, "tag-999"], keys=["name", "tags"]) == [name]


def test_one_bad_resource_among_many_keeps_all_of_them_out(as_writer, lab, fresh):
    name = fresh("mixed")
    good = [{"url": f"https://data.example.org/{name}/{each}", "name": "x"} for each in range(50)]
    bad = {"url": "https://data.example.org/x", "name": ""}
    refused(as_writer.post("/dataset", json=general(lab, name, resources=[*good, bad])), 422)
    assert names(as_writer, terms=name) == []
    as_writer.post("/dataset", json=general(lab, name, resources=good[:1])).raise_for_status()
    refused(as_writer.patch(f"/dataset/{name}", json={"title": "N", "resources": [bad]}), 422)
    kept = as_writer.get(f"/dataset/{name}").json()
    assert (kept["title"], len(kept["resources"])) == ("T", 1)
    assert as_writer.get("/resources/search", params={"url": name}).json()["count"] == 1


UNICODE = [
    "Überwachung der Flüsse",
    "河川の水位",
    "مراقبة الأنهار",
    "Ποτάμια ΣΊΓΜΑΣ",
    "İstanbul",
    "ﬁne liﬆs",
    "e\u0301cole",
    "👩🏽‍🔬 data",
    "a\u200bb\u00a0c",
    "\u202eright to left",
    "🇺🇳" * 20,
    "\U0001d518\U0001d52b\U0001d526 Fraktur",
]


@pytest.mark.parametrize("text", UNICODE)
def test_text_in_any_script_is_kept_and_found_in_any_case(as_writer, lab, fresh, text):
    name = fresh("script")
    resource = {"url": f"https://data.example.org/{quote(text)}", "name": text}
    body = general(lab, name, title=text, notes=text, tags=[text], resources=[resource])
    as_writer.post("/dataset", json=body | {"extras": {text: text}}).raise_for_status()
    for asked_for in (text, text.upper(), text.casefold()):
        assert name in names(as_writer, terms=asked_for), asked_for
    kept = as_writer.get(f"/dataset/{name}").json()
    assert (kept["title"], kept["notes"], kept["tags"]) == (text, text, [text])
    assert kept["extras"][text] == text
    assert kept["resources"][0]["name"] == text


@pytest.mark.parametrize("text", UNICODE)
def test_organizations_and_services_have_names_in_any_script(as_writer, fresh, text):
    organization = f"{text} {fresh()}"
    made = as_writer.post("/organization", json={"name": organization, "title": text})
    if made.status_code != 201:  # a name that cannot be is told, and is not half there
        refused(made, 400, 422)
        organization = None
    listed = as_writer.get("/organization", params={"server": "local"}).json()
    assert (organization is None) or organization in listed
    service = f"{text[:60]} {fresh()}"
    body = {"service_name": service, "service_title": text, "owner_org": "services"}
    body |= {"service_url": "https://x.example.org"}
    made = as_writer.post("/services", json=body)
    if made.status_code == 201:
        changed = as_writer.patch(f"/services/{quote(service, safe='')}", json={"notes": "n"})
        assert changed.status_code == 200, changed.text
    else:
        refused(made, 400, 422)
    if organization is not None:
        gone = as_writer.delete(f"/organization/{quote(organization, safe='')}")
        assert gone.status_code == 200, gone.text


# An identity service that is slow, down or lies


@pytest.fixture(scope="module")
def hasty(database_url, identity, tmp_path_factory):
    """An endpoint that does not wait long for the identity service."""
    directory = tmp_path_factory.mktemp("hasty-endpoint")
    watch(directory)
    settings = {
        "AUTH_API_URL": identity.url,
        "REXEC_EP_DATABASE_URL": database_url,
        "REXEC_EP_AUTH_TIMEOUT": "0.3",
        "REXEC_EP_AUTH_CACHE_SECONDS": "0",
    }
    with Endpoint(directory, settings) as running:
        yield running


LIES = {
    "an error": (500, b"boom"),
    "an odd status": (418, b"{}"),
    "forbidden": (403, b"{}"),
    "unauthorized": (401, b"{}"),
    "nothing": (200, b""),
    "HTML": (200, b"<html>Sign in</html>"),
    "half of it": (200, b'{"sub": "x"'),
    "null": (200, b"null"),
    "a list": (200, b'["sub"]'),
    "a text": (200, b'"sub"'),
    "a number": (200, b"1"),
    "no UTF-8": (200, b'{"sub": "\xff"}'),
    "no sub": (200, b'{"roles": ["ndp_admin"]}'),
    "an empty sub": (200, b'{"sub": "", "roles": ["ndp_admin"]}'),
    "a sub that is no text": (200, b'{"sub": ["x"], "roles": ["ndp_admin"]}'),
    "an error beside a sub": (200, b'{"error": "no", "sub": "x", "roles": ["ndp_admin"]}'),
    "deep JSON": (200, b"[" * 100_000),
    "long JSON": (200, b'{"sub": "x", "a": "' + b"a" * (20 * MIB) + b'"}'),
    "a NUL": (200, b'{"sub": "a\\u0000b", "roles": ["ndp_admin"]}'),
    "half of a pair": (200, b'{"sub": "\\ud800", "roles": ["ndp_admin"]}'),
}


def nothing_is_written(endpoint, client, lab, name):
    """Try to write; return the refusal."""
    response = client.post("/dataset", json=general(lab, name))
    refused(response, 401, 503)
    if response.status_code == 503:
        assert int(response.headers["Retry-After"]) > 0
    with endpoint.client() as anybody:
        assert names(anybody, terms=name) == []
    return response


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_an_identity_service_that_lies_lets_nobody_write(hasty, identity, lab, fresh, lie):
    status, body = lie
    with hasty.client(secret("token")) as client, identity.saying(status, body):
        nothing_is_written(hasty, client, lab, fresh("lied"))


@pytest.mark.parametrize("roles", [7, "ndp_admin", {"ndp_admin": True}, [["ndp_admin"]], None])
def test_roles_that_are_no_list_of_texts_are_no_roles(hasty, identity, lab, fresh, roles):
    name = fresh("lied")
    told = {"sub": "x", "roles": roles, "groups": 3, "email": [1], "username": {}}
    with hasty.client(secret("token")) as client:
        with identity.saying(200, told):
            refused(client.post("/dataset", json=general(lab, name)), 401, 403, 503)
        assert names(client, terms=name) == []


def test_an_identity_service_that_is_slow_down_or_hangs_up_lets_nobody_write(
    hasty, identity, lab, fresh
):
    with hasty.client(identity.token("writer")) as client:
        for trouble in (identity.slow, identity.down, identity.hanging_up, identity.endless):
            with trouble():
                response = nothing_is_written(hasty, client, lab, fresh("late"))
                assert response.status_code == 503, trouble
                assert names(client, terms=lab) == []  # and reading goes on
        then = general(lab, fresh("then"))

        def written():  # as soon as the identity service answers within the short time it has
            answer = client.post("/dataset", json=then)
            assert answer.status_code in (201, 503), answer.text
            return answer.is_success

        until(written, "the identity service to be believed again")
