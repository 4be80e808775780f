"""Remote ipywidgets in a local notebook, as its frontend sees them."""

import pytest

from tests.notebook.kernel import SECONDS, running_kernel
from tests.waiting import wait_for_file

VIEW = "application/vnd.jupyter.widget-view+json"
SLIDER = """\
%%rexec -q
import ipywidgets
slider = ipywidgets.IntSlider(value=3)
double = ipywidgets.IntText(value=6)
def follow(change):
    double.value = 2 * change['new']
slider.observe(follow, 'value')
display(slider, double)
"""


@pytest.fixture
def comms(kernel):
    kernel.comms.clear()
    return kernel.comms


@pytest.fixture
def slider(kernel, comms):
    """Ids of the slider's and the number's comms."""
    cell = kernel.run(SLIDER)
    return [display[VIEW]["model_id"] for display in cell.displays]


def state_of(comms, comm_id):
    """Return the state of a widget as a frontend would have put it together."""
    state = {}
    for kind, content in comms:
        if content["comm_id"] == comm_id and kind != "comm_close":
            state |= content["data"].get("state", {})
    return state


def say(kernel, comm_id, state):
    """Change a widget as a frontend does."""
    data = {"method": "update", "state": state, "buffer_paths": []}
    message = kernel.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
    kernel.client.shell_channel.send(message)
    return message["header"]["msg_id"]


def wait_for(kernel, comms, comm_id, **state):
    cell = kernel.start("0")
    kernel.read_until(lambda: state.items() <= state_of(comms, comm_id).items(), SECONDS, cell)


def test_a_remote_widget_opens_here_under_its_own_id(slider, comms):
    opened = {c["comm_id"]: c for kind, c in comms if kind == "comm_open"}
    assert set(slider) <= set(opened)
    assert opened[slider[0]]["target_name"] == "jupyter.widget"
    assert state_of(comms, slider[0])["_model_name"] == "IntSliderModel"
    assert state_of(comms, slider[0])["value"] == 3


def test_what_is_moved_here_moves_there_and_what_follows_comes_back(kernel, slider, comms):
    say(kernel, slider[0], {"value": 40})
    wait_for(kernel, comms, slider[1], value=80)
    assert kernel.run("%rx slider.value").text == "40"


def test_many_moves_end_where_the_last_one_ended(kernel, slider, comms):
    before = kernel.run("%%rexec -q\nseen = []\nslider.observe(seen.append, 'value')")
    assert before.error == ""
    for value in range(4, 100):
        say(kernel, slider[0], {"value": value})
    wait_for(kernel, comms, slider[1], value=198)
    assert int(kernel.value("%rx len(seen)")) < 60


def test_what_a_callback_prints_is_shown_below_the_widgets_cell(kernel, comms):
    cell = kernel.run(
        "%%rexec -q\nimport ipywidgets\nbutton = ipywidgets.Button()\n"
        "button.on_click(lambda _: print('pressed'))\ndisplay(button)"
    )
    comm_id = cell.displays[0][VIEW]["model_id"]
    kernel.run("'another cell'")
    data = {"method": "custom", "content": {"event": "click"}}
    message = kernel.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
    kernel.client.shell_channel.send(message)
    cell.wait_for("pressed\n")
    assert cell.stdout == "pressed\n"


def test_remote_widgets_leave_no_trace_in_the_session(kernel, slider, comms):
    before = kernel.value("%rx get_ipython().execution_count")
    say(kernel, slider[0], {"value": 7})
    wait_for(kernel, comms, slider[1], value=14)
    assert int(kernel.value("%rx get_ipython().execution_count")) <= int(before) + 1
    assert kernel.value("%rx 'message' in globals()") == "False"


def test_an_output_widget_holds_what_is_shown_within_it(kernel, comms):
    cell = kernel.run(
        "%%rexec -q\nimport ipywidgets\nout = ipywidgets.Output()\ndisplay(out)\n"
        "with out:\n    print('within')\nprint('outside')"
    )
    comm_id = cell.displays[0][VIEW]["model_id"]
    targets = [
        content["data"]["state"]["msg_id"]
        for kind, content in comms
        if content["comm_id"] == comm_id and "msg_id" in content["data"].get("state", {})
    ]
    (here,) = (msg_id for msg_id, one in kernel.cells.items() if one is cell)
    assert [target for target in targets if target][-1:] == [here]
    assert targets[-1] == ""


def test_a_widget_that_is_closed_there_is_closed_here(kernel, slider, comms):
    kernel.run("%%rexec -q\nslider.close()")
    assert ("comm_close", slider[0]) in [(kind, content["comm_id"]) for kind, content in comms]


def test_progress_bars_of_the_notebook_advance(kernel, comms, gate):
    def values():
        bars = [
            content["comm_id"]
            for kind, content in comms
            if kind == "comm_open"
            and content["data"]["state"].get("_model_name") == "FloatProgressModel"
        ]
        return [
            content["data"]["state"]["value"]
            for _, content in comms
            if content["comm_id"] in bars and "value" in content["data"].get("state", {})
        ]

    cell = kernel.start(
        "%%rexec -q\nfrom tqdm.notebook import tqdm\nimport os, time\n"
        "for number in tqdm(range(30)):\n    time.sleep(0.02)\n"
        f"    while number == 20 and not os.path.exists({str(gate)!r}):\n        time.sleep(0.01)"
    )
    kernel.read_until(lambda: any(0 < value < 30 for value in values()), SECONDS, cell)
    gate.touch()
    cell.wait()
    assert any(VIEW in display for display in cell.displays)
    assert values()[-1] == 30


# ---------------------------------------------------------------- the live status line


def test_the_live_view_gives_way_to_html_where_no_frontend_takes_it_up(environment, tmp_path, gate):
    with running_kernel(**environment | {"JPY_SESSION_NAME": str(tmp_path / "a.ipynb")}) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        cell = kernel.start(f"%%rexec --progress-after 0\n{wait_for_file(gate)}")
        shown = ("display_data", "update_display_data")
        kernel.read_until(
            lambda: (
                [VIEW in c["data"] for k, c in cell.messages if k in shown][-2:] == [True, False]
            ),
            SECONDS,
            cell,
        )
        gate.touch()
        cell.wait()
        bundles = [content["data"] for kind, content in cell.messages if kind in shown]
        assert all("text/html" in data and "text/plain" in data for data in bundles)
        assert bundles[-1]["text/plain"].startswith("✓ default")
        opened = {c["comm_id"] for kind, c in kernel.comms if kind == "comm_open"}
        closed = {c["comm_id"] for kind, c in kernel.comms if kind == "comm_close"}
        assert opened == closed != set()


def said_of(kernel, comms, comm_id):
    """Return the first that comes of a widget."""

    def found():
        return [(kind, content) for kind, content in comms if content["comm_id"] == comm_id]

    kernel.read_until(found, SECONDS, kernel.start("0"))
    return found()[0]


def ask(kernel, comms, comm_id):
    """Return what a widget answers when asked for its state, as by a page that was reloaded."""
    data = {"method": "request_state"}
    message = kernel.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
    comms.clear()
    kernel.client.shell_channel.send(message)
    return said_of(kernel, comms, comm_id)[1]["data"]


def test_a_widget_tells_its_state_even_when_its_session_has_ended(kernel, comms):
    cell = kernel.run(
        "%%rexec -s short -q\nimport ipywidgets\nimage = ipywidgets.Image(value=b'a')\n"
        "image.width = '7'\nimage.value = b'bc'\ndisplay(image)"
    )
    (comm_id,) = (display[VIEW]["model_id"] for display in cell.displays)
    kernel.run("%rexec stop short -f")
    told = ask(kernel, comms, comm_id)
    assert told["method"] == "update"
    assert told["state"]["_model_name"] == "ImageModel"
    assert told["state"]["width"] == "7"
    assert told["buffer_paths"] == [["value"]]
    assert "value" not in told["state"]


def test_what_was_moved_here_is_told_to_a_page_that_was_reloaded(kernel, slider, comms):
    say(kernel, slider[0], {"value": 40})
    wait_for(kernel, comms, slider[1], value=80)
    assert ask(kernel, comms, slider[0])["state"]["value"] == 40
    assert ask(kernel, comms, slider[1])["state"]["value"] == 80


@pytest.mark.parametrize("before", ["0", "import ipywidgets"])
def test_a_page_is_sent_to_each_widget_for_its_state(kernel, slider, comms, before):
    kernel.run(before)
    opened = {"comm_id": f"control-{before}", "target_name": "jupyter.widget.control", "data": {}}
    comms.clear()
    kernel.client.shell_channel.send(kernel.client.session.msg("comm_open", opened))
    kind, _ = said_of(kernel, comms, opened["comm_id"])
    assert kind == "comm_close"
