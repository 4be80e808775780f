"""`%rexec config` and `panel`."""

import json

import pytest

from tests.notebook.kernel import SECONDS, running_kernel


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("config")


@pytest.fixture(scope="module")
def fresh(environment, home):
    """A kernel with a configuration of its own."""
    with running_kernel(**environment | {"REXEC_CONFIG_DIR": str(home)}) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        yield kernel


def value(kernel, key):
    (row,) = json.loads(kernel.run(f"%rexec config {key} --json").stdout)
    return row["value"], row["source"]


def test_every_setting_is_listed_with_its_source_and_meaning(fresh):
    rows = json.loads(fresh.run("%rexec config --json").stdout)
    assert {"setting", "value", "source", "meaning"} == set(rows[0])
    assert "max_send" in [row["setting"] for row in rows]


def test_a_setting_is_set_for_this_notebook_alone(fresh, home):
    assert value(fresh, "timeout") == ("none", "built in")
    cell = fresh.run("%rexec config timeout 5m")
    assert "5m" in cell.text
    assert value(fresh, "timeout") == ("5m", "%rexec config")
    assert not (home / "config.toml").exists()
    fresh.run("%rexec config timeout default")
    assert value(fresh, "timeout") == ("none", "built in")


def test_a_setting_is_used_by_the_next_cell(fresh):
    fresh.run("%rexec config timeout 0.5")
    try:
        assert "[R08]" in fresh.run("%%rexec\nimport time\ntime.sleep(60)").error
    finally:
        fresh.run("%rexec config timeout default")


def test_a_setting_can_be_kept(fresh, home):
    cell = fresh.run("%rexec config max-send 7MB --save")
    assert str(home / "config.toml") in cell.text
    assert "7MB" in (home / "config.toml").read_text()


def test_what_cannot_be_set_is_told_in_one_line(fresh):
    assert "did you mean timeout?" in fresh.run("%rexec config tiemout 5").stderr
    assert "is no duration" in fresh.run("%rexec config timeout soon").stderr
    assert "one value only" in fresh.run("%rexec config session a b").stderr
    assert "needs KEY" in fresh.run("%rexec config --save").stderr


def test_a_session_can_be_set_with_quotes(fresh):
    fresh.run("%rexec config session 'a b'")
    assert value(fresh, "session")[0] == "a b"
    assert "session a b" in fresh.run("%rexec use default\n%rexec use 'a b'").text
    fresh.run("%rexec use default")


def test_the_panel_is_a_widget_that_reads_as_text_too(fresh):
    fresh.run("%%rexec\npass")
    cell = fresh.run("%rexec panel")
    assert "embedded backend" in cell.text
    assert "application/vnd.jupyter.widget-view+json" in cell.result
    assert "<table" in cell.result["text/html"]


def comm_of(kernel, model):
    """Return the id of the newest widget of a kind."""
    opened = [
        content["comm_id"]
        for kind, content in kernel.comms
        if kind == "comm_open" and content["data"]["state"].get("_model_name") == model
    ]
    return opened[-1]


def test_the_panels_button_ends_a_job_while_its_cell_waits_for_it(fresh):
    session = fresh.client.session
    message = session.msg("create_subshell_request")
    fresh.client.control_channel.send(message)
    subshell = fresh.client.get_control_msg(timeout=SECONDS)["content"]["subshell_id"]
    fresh.run("%rexec panel")
    button, choice = comm_of(fresh, "ButtonModel"), comm_of(fresh, "DropdownModel")
    cell = fresh.start("%%rexec -n held\nimport time\nwhile True: time.sleep(0.02)")

    def labels():
        told = [
            content["data"]["state"].get("_options_labels", ())
            for kind, content in fresh.comms
            if (content["comm_id"], kind) == (choice, "comm_msg")
        ]
        return next(filter(None, reversed(told)), ())

    def send(comm, data):
        message = session.msg("comm_msg", {"comm_id": comm, "data": data})
        message["header"]["subshell_id"] = subshell  # as JupyterLab sends it
        fresh.client.shell_channel.send(message)

    fresh.read_until(lambda: "held" in str(labels()), SECONDS, cell)
    # Jobs of other tests may be open too.
    (index,) = [index for index, label in enumerate(labels()) if label.endswith(" held")]
    send(choice, {"method": "update", "state": {"index": index}, "buffer_paths": []})
    send(button, {"method": "custom", "content": {"event": "click"}})
    assert "stopped" in cell.wait().error or "Cancelled" in cell.error
