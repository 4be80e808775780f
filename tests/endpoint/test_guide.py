"""Every example of the guide for endpoints does what it says, in a real notebook kernel."""

import os
import re
from pathlib import Path

import pytest

from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.endpoint import AsyncEndpointClient, EndpointClient
from tests.endpoint.canary import MARK, watch
from tests.endpoint.deploying import deploying, servers_of
from tests.endpoint.service import Endpoint
from tests.notebook.kernel import running_kernel

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "endpoint.md").read_text("utf-8")
EXAMPLES = re.findall(r"```(python|ipython)\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture(scope="module")
def service(identity, tmp_path_factory):
    """An endpoint that leads to remote execution, in front of a real backend."""
    directory = tmp_path_factory.mktemp("guide")
    watch(directory)
    with deploying(identity) as deploy, servers_of(deploy, identity.people["writer"]):
        settings = {
            "AUTH_API_URL": identity.url,
            "REXEC_CONNECTION": "true",
            "REXEC_DEPLOYMENT_API_URL": deploy.url,
        }
        with Endpoint(directory, settings) as running:
            yield running


@pytest.fixture(scope="module")
def rain(service, identity):
    """A dataset that the examples find."""
    with EndpointClient(service.url, identity.token("writer")) as client:
        client.register_organization({"name": "weather", "title": "Weather"})
        resource = {"name": "daily", "url": "https://example.org/rain.csv", "format": "CSV"}
        client.register_general_dataset(
            {
                "name": "rain",
                "title": "Rainfall in 2024",
                "owner_org": "weather",
                "resources": [resource],
            }
        )


@pytest.fixture
def kernel(tmp_path):
    with running_kernel(**os.environ | {"REXEC_CONFIG_DIR": str(tmp_path)}) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        yield kernel


def test_every_example_of_the_guide_runs_in_a_notebook(service, identity, rain, kernel, tmp_path):
    file = tmp_path / "token"
    file.write_text(identity.token("writer"))
    kernel.run(f"TOKEN = open({str(file)!r}).read()")
    told = {
        "https://ep.example.org": service.url,
        '"…"': "TOKEN",
        "%rexec login": f"%rexec login --from-file {file}",  # nobody can be asked
    }
    shown = ""
    for _, code in EXAMPLES:
        for one in code.splitlines() if "%rexec" in code else [code]:
            line = re.sub("|".join(map(re.escape, told)), lambda word: told[word[0]], one)
            cell = kernel.run(line, timeout=60)
            assert (cell.error, cell.stderr) == ("", ""), f"{line}\n{cell.error}\n{cell.stderr}"
            shown += repr(cell.messages)
    assert MARK not in shown
    assert "['https://example.org/rain.csv']" in shown
    assert kernel.value("[dataset['name'] for dataset in found]") == "['rain']"
    assert kernel.value("APIClient.__name__") == "'EndpointClient'"


def test_after_a_login_cells_run_at_the_endpoint_until_the_logout(
    service, identity, kernel, tmp_path
):
    kernel.run(f"%rexec config url {service.url}")
    assert "[R02]" in kernel.run("%%rexec\n6 * 7").error
    file = tmp_path / "token"
    file.write_text(identity.token("writer"))
    cell = kernel.run(f"%rexec login --from-file {file}")
    assert service.url in cell.text
    assert kernel.run("%%rexec\n6 * 7", timeout=60).text == "42"
    for line in ("%rexec whoami", "%rexec status"):
        cell = kernel.run(line)
        assert service.url in cell.text
        assert MARK not in repr(cell.messages)
    assert service.url in kernel.run("%rexec logout").text
    assert "none" in kernel.run("%rexec whoami").text


def test_no_traceback_of_connect_shows_the_token(identity, kernel, tmp_path):
    file = tmp_path / "token"
    file.write_text(identity.token("writer"))
    kernel.run(f"%xmode Verbose\nimport rexec_jupyter; file = open({str(file)!r})")
    cell = kernel.run("rexec_jupyter.connect('http://127.0.0.1:9', token=file.read())")
    assert "_connect.py" in cell.traceback
    assert "[R07]" in cell.error
    assert MARK not in repr(cell.messages)


def test_every_method_and_attribute_that_the_guide_names_exists():
    words = re.findall(r"`([a-z_]+_[a-z_]+)(?:\(.*?\))?`", GUIDE)
    names = {word for word in words if not word.startswith(("ndp_", "http"))}
    assert names >= {"setup_rexec_environment", "subscribe_pelican"}
    for client in (EndpointClient, AsyncEndpointClient):
        assert all(hasattr(client, name) for name in names), names


def test_every_code_and_link_that_the_guide_names_exists():
    known = {kind.code for kind in _family(RexecError)}
    assert set(re.findall(r"\bR\d\d\b", GUIDE)) <= known
    for target in re.findall(r"\]\(([^)#]+)", GUIDE):
        assert (DOCS / target).exists(), target


def _family(kind):
    return {kind}.union(*map(_family, kind.__subclasses__()))
