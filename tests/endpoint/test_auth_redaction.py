"""No token, password or credential passes into a log."""

import io
import json
import logging

import jwt
import pytest

from rexec_jupyter.auth.redaction import REMOVED, RedactingFilter, keep_out, redacted

# None of these is one that a test gives to a service, so they have no mark.
HIDDEN = "hUnter2-really"
SIGNED = jwt.encode({"sub": "x"}, "k" * 32)


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {HIDDEN}",
        f"authorization: bearer {HIDDEN}, and more",
        f"Proxy-Authorization: Basic {HIDDEN}",
        f"headers={{'Authorization': 'Bearer {HIDDEN}'}}",
        f'{{"token": "{HIDDEN}"}}',
        f"{{'password': '{HIDDEN}', 'username': 'ann'}}",
        f'{{"access_token":"{HIDDEN}","x":1}}',
        f'{{"Client-Secret" : "{HIDDEN}"}}',
        f'{{"job_secret": "{HIDDEN}"}}',
        f'"{{\\"password\\": \\"{HIDDEN}\\"}}"',
        f"POST /token username=ann&password={HIDDEN}&x=1",
        f"requirments=numpy&token={HIDDEN}",
        f"GET /s3?X-Amz-Credential=a&X-Amz-Signature={HIDDEN} failed",
        f"https://store/b/k?X-Amz-Security-Token={HIDDEN}",
        f"S3_SECRET_KEY={HIDDEN}",
        f"S3_ACCESS_KEY={HIDDEN} in the environment",
        f"PRE_CKAN_API_KEY={HIDDEN}",
        f"TEST_TOKEN={HIDDEN}",
        f"postgresql://rexec:{HIDDEN}@db.example.org/catalog is down",
        f"postgresql+psycopg://rexec:{HIDDEN}@/catalog?host=/run",
        f"the token {SIGNED} is wrong",
        f"token={SIGNED}",
        f"eyJhbGciOiJSUzI1NiJ9.{HIDDEN}",
    ],
)
def test_what_is_named_like_a_secret_or_looks_like_one_is_removed(text):
    found = redacted(text)
    assert HIDDEN not in found
    assert SIGNED not in found
    assert REMOVED in found


@pytest.mark.parametrize(
    "text",
    [
        "GET /dataset/rain-gauges 200",
        "the token has expired",
        "https://idp.example.org/temp/information?x=1",
        "http://127.0.0.1:8000/a@b",
        'a dataset {"name": "tokens", "notes": "passwords are not here"}',
        "Invalid username or password",
        "Bearer",
        "",
    ],
)
def test_everything_else_stays_as_it_is(text):
    assert redacted(text) == text


def test_what_came_with_the_request_is_removed_wherever_it_stands():
    keep_out(HIDDEN)
    keep_out("")
    assert redacted(f"no such thing: {HIDDEN}!") == f"no such thing: {REMOVED}!"


@pytest.fixture
def log():
    """Return a logger that redacts, and a function that returns what it wrote."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s %(fields)s"))
    handler.addFilter(RedactingFilter())
    logger = logging.getLogger("tests.redaction")
    logger.propagate = False
    logger.addHandler(handler)
    yield logger, stream.getvalue
    logger.removeHandler(handler)


def test_arguments_of_a_log_record_are_cleared(log):
    logger, written = log
    logger.warning("%s said %r", "ann", {"token": HIDDEN}, extra={"fields": {}})
    assert "ann said" in written()
    assert HIDDEN not in written()


def test_extra_fields_are_cleared(log):
    logger, written = log
    fields = {"url": f"/x?token={HIDDEN}", "list": [f"Bearer {HIDDEN}", 7], "number": 7}
    logger.warning("x", extra={"fields": fields})
    assert HIDDEN not in written()
    assert "'number': 7" in written()


def test_tracebacks_are_cleared(log):
    logger, written = log

    def connect():
        raise ConnectionError(f"cannot connect to postgresql://me:{HIDDEN}@db/x")

    try:
        connect()
    except ConnectionError:
        logger.exception("failed", extra={"fields": {}})
    assert "Traceback" in written()
    assert "cannot connect to postgresql://me:" in written()
    assert HIDDEN not in written()


def test_a_long_text_is_cleared_in_reasonable_time():
    text = json.dumps({"a" * 1000: "eyJ" * 20_000, "b": "https://" * 20_000, "c": '\\"' * 20_000})
    assert redacted(text)
