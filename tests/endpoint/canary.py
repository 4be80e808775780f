"""The canary: a mark in every token and password of the tests, which must show up nowhere.

Whatever the tests give to a service as a secret comes from `secret` and holds `MARK`. Wherever
the services and libraries write something down, this looks for it: the output and log records of
every test, the log and database files of every process, the answers that tell of errors, and
metrics. One finding fails the run.
"""

import base64
import secrets
from pathlib import Path

import pytest

_RAW = b"canary-52"
# It is base64 itself, so that it can stand readably in the encoded part of a JSON Web Token too.
MARK = base64.urlsafe_b64encode(_RAW).decode()

# What a service writes down. Databases are among them: they must not hold a token either.
_WRITTEN = ("*.log", "*.log.*", "*.out", "*.err", "*.sqlite3", "*.sqlite3-wal")

_watched = set()
_findings = []


def secret(name="secret"):
    """Return a new token or password that holds the mark."""
    return f"{name}-{MARK}-{secrets.token_urlsafe(9)}"


def marked_claim():
    """Return the first claim of a JSON Web Token that makes its encoded form hold the mark."""
    return {"j": _RAW.decode()}


def watch(path):
    """Have a file, or everything below a directory, looked through when the tests have ended."""
    _watched.add(Path(path))


def inspect(text, where):
    """Look for the mark in what a service wrote or said; a finding fails the run."""
    found = MARK.encode() in text if isinstance(text, bytes) else MARK in text
    if found:
        _findings.append(f"{where}: {_surroundings(text)}")
    return found


def inspect_response(response):
    """Look for the mark in an answer that tells of an error; a hook for httpx clients."""
    # It is on the way, of course, in the request.
    if response.status_code >= 400:
        where = f"{response.request.method} {response.request.url.path} -> {response.status_code}"
        inspect(response.read(), f"the body of {where}")
        inspect(str(response.headers), f"the headers of {where}")


def inspect_service(client):
    """Look for the mark in the metrics of a service; `client` asks it."""
    inspect(client.get("/metrics").content, "metrics")


def findings_in_files(*places):
    """Return what is found in all files that were watched, and below the places."""
    found = []
    for path in sorted(_files(places)):
        data = path.read_bytes()
        if MARK.encode() in data:
            found.append(f"{path}: {_surroundings(data)}")
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Fail a test in whose output or log records a secret stands."""
    report = yield
    texts = [(name, text) for name, text in report.sections if MARK in text]
    if texts and report.passed:
        report.outcome = "failed"
        report.longrepr = "\n".join(
            f"A secret reached the {name}: {_surroundings(text)}" for name, text in texts
        )
    elif texts:
        _findings.extend(f"{item.nodeid}, {name}" for name, _ in texts)
    return report


@pytest.fixture(scope="session", autouse=True)
def no_secret_gets_out(tmp_path_factory):
    """Fail the run if the mark stands anywhere; it ends after all that start services."""
    yield
    found = [*_findings, *findings_in_files(tmp_path_factory.getbasetemp())]
    _findings.clear()
    if found:
        listed = "\n".join(f"- {finding}" for finding in found)
        pytest.fail(f"Secrets reached what others can read:\n{listed}", pytrace=False)


def _files(places):
    for place in (*_watched, *map(Path, places)):
        if place.is_dir():
            for pattern in _WRITTEN:
                yield from (path for path in place.rglob(pattern) if path.is_file())
        elif place.is_file():
            yield place


def _surroundings(text):
    """Return where in a text the mark stands."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    at = text.index(MARK)
    return repr(text[max(0, at - 60) : at + len(MARK) + 20])
