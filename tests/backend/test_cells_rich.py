"""Libraries in a cell find a notebook and show what they show in one."""

import base64

import pytest

from rexec_server import handoff as h
from tests.backend.executing import Agent


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    agent = Agent(tmp_path_factory.mktemp("handoff"), "--directory", "/", workers=0)
    yield agent
    agent.close()


def shown(agent, source):
    job = agent.cell(source)
    answer = agent.answer(job)
    assert isinstance(answer, h.Returned), answer
    return agent.shown(job)


def test_matplotlib_draws_inline_and_closes_its_figures(agent):
    source = """
    import matplotlib.pyplot as plt
    for color in ("red", "blue"):
        figure, axes = plt.subplots(figsize=(1, 1))
        _ = axes.plot([1, 2], color=color)
    """
    pieces = shown(agent, source)
    assert [stream for stream, _ in pieces] == ["display", "display"]
    for _, content in pieces:
        assert base64.b64decode(content["data"]["image/png"]).startswith(b"\x89PNG")
        assert content["data"]["text/plain"].startswith("<Figure")
    assert shown(agent, "print(plt.get_fignums())") == [("stdout", "[]\n")]


def test_matplotlib_obeys_its_magic(agent):
    source = """
    %matplotlib inline
    %config InlineBackend.figure_formats = ['svg']
    plt.figure(figsize=(1, 1)); plt.plot([1, 2]); plt.show()
    """
    ((stream, content),) = [piece for piece in shown(agent, source) if piece[0] == "display"]
    assert stream == "display"
    assert "<svg" in content["data"]["image/svg+xml"]


def test_pandas_shows_tables_as_html(agent):
    source = "import pandas as pd\npd.DataFrame({'alpha': [1, 2]})"
    ((stream, content),) = shown(agent, source)
    assert stream == "result"
    assert "<table" in content["data"]["text/html"]
    assert "alpha" in content["data"]["text/plain"]
    ((stream, content),) = shown(agent, "pd.DataFrame({'a': [1]}).style.highlight_max()")
    assert "<style" in content["data"]["text/html"]


def test_plotly_shows_its_own_kind_of_data(agent):
    source = """
    import plotly.graph_objects as go
    go.Figure(go.Scatter(y=[1, 3, 2])).show()
    """
    displays = [content["data"] for stream, content in shown(agent, source) if stream == "display"]
    figures = [data for data in displays if "application/vnd.plotly.v1+json" in data]
    (figure,) = [data["application/vnd.plotly.v1+json"] for data in figures]
    assert figure["data"][0]["type"] == "scatter"


def test_rich_writes_for_a_notebook(agent):
    source = """
    from rich.console import Console
    from rich.table import Table
    table = Table("name")
    table.add_row("value")
    Console().print(table)
    print(Console().is_jupyter)
    """
    pieces = shown(agent, source)
    assert pieces[0][0] == "display"
    assert "<pre" in pieces[0][1]["data"]["text/html"]
    assert "value" in pieces[0][1]["data"]["text/plain"]
    assert pieces[-1] == ("stdout", "True\n")


def test_rich_updates_its_progress_in_place(agent):
    source = """
    from rich.progress import track
    for _ in track(range(3), description="Working"): pass
    """
    pieces = shown(agent, source)
    kinds = [stream for stream, _ in pieces]
    assert "display" in kinds or "comm" in kinds
    assert "stderr" not in kinds


def test_tqdm_chooses_a_widget_and_updates_it(agent):
    source = """
    from tqdm.auto import tqdm
    for _ in tqdm(range(4), desc="outer", mininterval=0):
        for _ in tqdm(range(2), desc="inner", mininterval=0, leave=False): pass
    """
    pieces = shown(agent, source)
    comms = [content for stream, content in pieces if stream == "comm"]
    opened = [m["content"]["data"]["state"] for m in comms if m["kind"] == "comm_open"]
    assert sum(state["_model_name"] == "FloatProgressModel" for state in opened) == 5
    values = [
        message["content"]["data"]["state"].get("value")
        for message in comms
        if message["kind"] == "comm_msg" and "state" in message["content"]["data"]
    ]
    assert 4.0 in values
    views = [content["data"] for stream, content in pieces if stream == "display"]
    assert all("application/vnd.jupyter.widget-view+json" in data for data in views)
    assert len(views) == 5


def test_plain_tqdm_writes_to_stderr(agent):
    pieces = shown(agent, "from tqdm import tqdm\nfor _ in tqdm(range(3)): pass")
    assert {stream for stream, _ in pieces} == {"stderr"}
    assert "3/3" in pieces[-1][1]


def test_warnings_and_logging_are_shown(agent):
    source = """
    import logging, warnings
    warnings.warn("careful")
    logging.warning("noted")
    """
    text = "".join(content for stream, content in shown(agent, source) if stream == "stderr")
    assert "UserWarning: careful" in text
    assert "WARNING:root:noted" in text
