"""`%rexec login` and `logout`: the token is asked for, kept private, and never shown."""

import json
import stat

import pytest

from rexec_jupyter.core.errors import AuthenticationError
from rexec_jupyter.core.logins import LoginError, Logins
from tests.endpoint.answering import Answering, Reply
from tests.endpoint.canary import secret
from tests.notebook.kernel import SECONDS, running_kernel

URL = "https://rexec.example.org"
TOKEN = secret("token")


@pytest.fixture(scope="module")
def server():
    with Answering() as server:
        yield server


@pytest.fixture
def endpoint(server):
    """An endpoint that knows the token."""
    ann = {"sub": "1", "username": "ann", "effective_role": "writer"}
    server.answer("GET", "/user/info", ann)
    server.asked.clear()
    return server


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("config")


@pytest.fixture(scope="module")
def fresh(environment, home):
    """A kernel with a configuration of its own."""
    with running_kernel(**environment | {"REXEC_CONFIG_DIR": str(home)}) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        yield kernel


@pytest.fixture(autouse=True)
def logins(home):
    """The file of logins, without any."""
    logins = Logins({"REXEC_CONFIG_DIR": str(home)})
    logins.path.unlink(missing_ok=True)
    return logins


def answered(kernel, code, answer):
    """Run a cell that asks, as a frontend with a field for passwords does."""
    shown, asked = [], []

    def ask(message):
        asked.append(message["content"])
        kernel.client.input(answer)

    kernel.client.execute_interactive(
        code,
        allow_stdin=True,
        stdin_hook=ask,
        output_hook=lambda message: shown.append(message["content"]),
        timeout=SECONDS,
    )
    return shown, asked


def test_a_token_is_asked_for_tried_and_kept_for_its_owner_alone(fresh, home, logins, endpoint):
    url = endpoint.url
    shown, asked = answered(fresh, f"%rexec login --url {url}/", TOKEN)
    assert [(question["password"], url in question["prompt"]) for question in asked] == [
        (True, True)
    ]
    assert TOKEN not in repr(shown)
    assert f"{url} as ann" in repr(shown)
    assert [asked.token for asked in endpoint.asked] == [TOKEN]
    assert stat.S_IMODE((home / "logins.json").stat().st_mode) == 0o600
    assert logins.find(url).token == TOKEN
    assert TOKEN not in fresh.run("%rexec whoami --json").stdout


def test_a_token_comes_from_a_file_where_nobody_can_be_asked(fresh, tmp_path, logins, endpoint):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    alone = fresh.cells[fresh.client.execute(f"%rexec login --url {URL}", allow_stdin=False)]
    assert "--from-file" in alone.wait().stderr
    cell = fresh.run(f"%rexec login --url {endpoint.url} --from-file {file}")
    assert TOKEN not in repr(cell.messages)
    assert logins.find().token == TOKEN
    assert "cannot be read" in fresh.run(f"%rexec login --url {URL} --from-file /no/such").stderr


@pytest.mark.parametrize(
    ("reply", "code", "text"),
    [
        (Reply(401, {"detail": "Expired."}), "R02", "does not accept the token: Expired."),
        (Reply(403, {"detail": "Members only."}), "R02", "no right to use it: Members only."),
        (Reply(503, {"detail": "Out."}, {"Retry-After": "99"}), "R07", "Try again in 99 s."),
        (Reply(404, b"<html>"), "R01", "Check the address"),
        (Reply(200, b"<html>"), "R01", "Check the address"),
    ],
)
def test_a_token_that_is_not_accepted_is_not_kept(
    fresh, home, endpoint, tmp_path, reply, code, text
):
    file = tmp_path / "token"
    file.write_text(TOKEN)
    endpoint.answer("GET", "/user/info", reply)
    cell = fresh.run(f"%rexec login --url {endpoint.url} --from-file {file}")
    told = " ".join(repr(cell.messages).split())
    assert f"[{code}]" in told
    assert text in told
    assert TOKEN not in told
    assert not (home / "logins.json").exists()


def test_whoever_may_not_run_code_is_told_so(fresh, endpoint, tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN)
    endpoint.answer("GET", "/user/info", {"sub": "1", "effective_role": "viewer"})
    cell = fresh.run(f"%rexec login --url {endpoint.url} --from-file {file}")
    assert "yours is viewer" in repr(cell.messages)


def test_logging_out_forgets_the_token(fresh, home, logins):
    logins.add(URL, TOKEN)
    logins.add("https://other.example.org", "another")
    told = json.loads(fresh.run(f"%rexec logout --url {URL} --json").stdout)
    assert told["removed"] == [URL]
    assert logins.find(URL) is None
    fresh.run("%rexec logout")
    assert not (home / "logins.json").exists()
    assert "There was no login" in fresh.run("%rexec logout").text


@pytest.mark.parametrize(
    "line",
    [
        f"login {TOKEN}",
        f"login --url {URL} {TOKEN}",
        f"login --url https://me:{TOKEN}@rexec.example.org",
        f"login --url {URL}?token={TOKEN}",
        f"login --url {URL} --token={TOKEN}",
    ],
    ids=["alone", "last", "in the address", "in the query", "as an option"],
)
def test_a_token_on_the_line_is_refused_and_not_repeated(fresh, home, line):
    cell = fresh.run(f"%rexec {line}")
    assert "UsageError" in cell.stderr
    assert TOKEN not in repr(cell.messages)
    assert not (home / "logins.json").exists()


def test_a_token_never_goes_out_in_plain_text(logins):
    with pytest.raises(LoginError, match="plain text"):
        logins.add("http://rexec.example.org", TOKEN)
    assert logins.add("http://localhost:8000", TOKEN).url == "http://localhost:8000"


@pytest.mark.parametrize("token", ["", " ", "two words", "línea", "a\nb", "x" * 20_000])
def test_what_can_be_no_token_is_not_kept(logins, token):
    with pytest.raises(LoginError) as caught:
        logins.add(URL, token)
    assert token.strip() == "" or token not in str(caught.value)


def test_a_file_that_others_may_read_is_not_used(logins):
    logins.add(URL, TOKEN)
    logins.path.chmod(0o644)
    with pytest.raises(AuthenticationError, match="R02"):
        logins.find(URL)


def test_a_file_that_is_no_such_file_is_told(logins):
    logins.add(URL, TOKEN)
    logins.path.write_bytes(b"{")
    with pytest.raises(AuthenticationError, match="cannot be understood"):
        logins.all()


def test_the_latest_login_comes_first_and_a_repr_never_has_the_token(logins):
    logins.add(URL, "old")
    logins.add("https://other.example.org", TOKEN)
    logins.add(URL, TOKEN)
    assert [login.url for login in logins.all()] == [URL, "https://other.example.org"]
    assert TOKEN not in repr(logins.all())
