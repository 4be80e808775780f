"""What cells show and return, from a client through the embedded backend and back."""

import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core.errors import NestedMagicError, PullError
from rexec_jupyter.core.happenings import Comm, Display, NamesChanged, Payload, TextOutput


@pytest.fixture(scope="module")
def client(embedded):
    assert embedded.status()["ready"]
    with rexec.connect() as client:
        yield client


def run(client, source, **options):
    """Run a cell; return its result and what happened."""
    job = client.session("default").submit_cell(source, stream=True, **options)
    happenings = []
    while (taken := job.take(10.0)) is not None:
        happenings += taken
    return job.result(), happenings


def of(happenings, kind):
    return [happening for happening in happenings if isinstance(happening, kind)]


def test_the_names_of_a_session_are_told_as_they_change(client):
    _, happened = run(client, "import numpy as np\nx = np.zeros((20, 3))")
    (whole,) = of(happened, NamesChanged)
    assert whole.whole
    assert whole.names["x"].summary == "20 x 3 float64"
    _, happened = run(client, "y = 1", known=whole.version)
    (change,) = of(happened, NamesChanged)
    assert (change.whole, list(change.names)) == (False, ["y"])
    _, happened = run(client, "pass", known=change.version)
    assert of(happened, NamesChanged) == []


def test_a_value_that_stays_can_be_used_in_later_cells(client):
    result, _ = run(client, "kept = bytes(5000); kept", value=True, value_limit=1000)
    assert not result.has_value
    ref = client.session("default").reference(result)
    assert run(client, "ref is kept", names={"ref": ref}, value=True)[0].value is True
    assert ref.get() == bytes(5000)


def test_outputs_over_the_limit_stay(client):
    with pytest.raises(PullError, match="max_recv") as told:
        run(client, "big = bytes(100_000)", outputs=["big"], max_recv=50_000)
    assert "bytes" in str(told.value)
    assert len(run(client, "", outputs=["big"])[0].outputs["big"]) == 100_000


def test_a_cell_has_an_environment_and_an_interpreter_of_its_own(client):
    source = "import os; os.environ['REXEC_TEST'], 'kept' in globals()"
    options = {"env": {"REXEC_TEST": "on"}, "value": True}
    assert run(client, source, **options)[0].value == ("on", True)
    result, happened = run(client, source, fresh=True, **options)
    assert result.value == ("on", False)
    assert of(happened, NamesChanged) == []


def test_widgets_pages_and_exits_arrive(client):
    _, happened = run(client, "import ipywidgets as w; slider = w.IntSlider(); slider")
    assert {comm.kind for comm in of(happened, Comm)} == {"comm_open"}
    (display,) = of(happened, Display)
    assert "application/vnd.jupyter.widget-view+json" in display.data
    _, happened = run(client, "len?")
    (payload,) = of(happened, Payload)
    assert "items in a container" in payload.data["data"]["text/plain"]
    _, happened = run(client, "exit(3)")
    assert TextOutput("note", "exit code 3\n") in happened


def connect_again():
    import rexec_jupyter

    return rexec_jupyter.connect()


def test_code_that_runs_there_cannot_connect_again(client):
    with pytest.raises(NestedMagicError, match="already"):
        client.run(connect_again)
    with pytest.raises(NestedMagicError, match="already"):
        run(client, "import rexec_jupyter; rexec_jupyter.connect()")
    with pytest.raises(NestedMagicError, match="already"):
        run(client, "%rexec jobs")


def test_a_very_large_output_arrives_whole(client):
    _, happened = run(client, "display({'text/plain': 'x' * 3_000_000}, raw=True)")
    (display,) = of(happened, Display)
    assert len(display.data["text/plain"]) == 3_000_000
