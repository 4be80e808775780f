"""Widgets of cells: what they send, and what reaches them from the notebook."""

import pytest

from rexec_server import handoff as h
from tests.backend.executing import Agent, eventually

DELIVER = "__import__('rexec_server.exec.comms', fromlist=['deliver']).deliver(message)"


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    agent = Agent(tmp_path_factory.mktemp("handoff"), "--directory", "/", workers=0)
    yield agent
    agent.close()


def shown(agent, source, **options):
    job = agent.cell(source, **options)
    answer = agent.answer(job)
    assert isinstance(answer, h.Returned), answer
    return agent.shown(job)


def stdout(agent, source, **options):
    return "".join(text for stream, text in shown(agent, source, **options) if stream == "stdout")


def comms(pieces):
    return [content for stream, content in pieces if stream == "comm"]


def deliver(agent, kind, content, buffers=()):
    """Start the hidden cell that hands a message of the notebook over."""
    message = {"kind": kind, "content": content, "metadata": {}, "buffers": list(buffers)}
    return agent.cell(DELIVER, {"message": message}, hidden=True)


def update(comm_id, **state):
    data = {"method": "update", "state": state, "buffer_paths": []}
    return {"comm_id": comm_id, "data": data}


def test_a_widget_opens_its_comms_and_is_displayed(agent):
    pieces = shown(agent, "import ipywidgets as w\nslider = w.IntSlider(value=3, max=9)\nslider")
    opened = [m for m in comms(pieces) if m["kind"] == "comm_open"]
    assert {m["content"]["target_name"] for m in opened} == {"jupyter.widget"}
    models = {m["content"]["data"]["state"]["_model_name"]: m for m in opened}
    assert models.keys() == {"IntSliderModel", "LayoutModel", "SliderStyleModel"}
    slider = models["IntSliderModel"]
    assert slider["content"]["data"]["state"]["value"] == 3
    assert slider["metadata"]["version"].startswith("2.")
    stream, result = pieces[-1]
    assert stream == "result"
    view = result["data"]["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == slider["content"]["comm_id"]


def test_changes_of_a_cell_are_sent_in_their_place(agent):
    comm = stdout(agent, "slider = w.IntSlider(); print(slider.model_id)").strip()
    pieces = shown(agent, "print('before'); slider.value = 5; print('after'); slider.close()")
    assert [stream for stream, _ in pieces] == ["stdout", "comm", "stdout", "comm"]
    assert pieces[1][1]["kind"] == "comm_msg"
    assert pieces[1][1]["content"]["comm_id"] == comm
    assert pieces[1][1]["content"]["data"]["state"] == {"value": 5}
    assert pieces[3][1]["kind"] == "comm_close"


def test_a_change_in_the_notebook_reaches_the_widget_and_its_observers(agent):
    source = """
    slider, label = w.IntSlider(), w.Label()
    seen = []
    def observe(change):
        seen.append(change.new)
        print("moved to", change.new)
        label.value = str(change.new)
    slider.observe(observe, "value")
    print(slider.model_id)
    """
    comm = stdout(agent, source).strip()
    job = deliver(agent, "comm_msg", update(comm, value=42))
    assert isinstance(agent.answer(job), h.Returned)
    pieces = agent.shown(job)
    assert ("stdout", "moved to 42\n") in pieces
    states = [m["content"]["data"].get("state") for m in comms(pieces)]
    assert {"value": "42"} in states
    assert stdout(agent, "print(slider.value, seen)") == "42 [42]\n"


def test_a_click_runs_the_callback_and_shows_its_figures(agent):
    source = """
    button = w.Button()
    def clicked(button):
        import matplotlib.pyplot as plt
        plt.plot([1, 2])
        clicks.append(1)
    clicks = []
    button.on_click(clicked)
    print(button.model_id)
    """
    comm = stdout(agent, source).strip()
    data = {"method": "custom", "content": {"event": "click"}}
    job = deliver(agent, "comm_msg", {"comm_id": comm, "data": data})
    assert isinstance(agent.answer(job), h.Returned)
    (image,) = [content for stream, content in agent.shown(job) if stream == "display"]
    assert "image/png" in image["data"]
    assert stdout(agent, "print(clicks)") == "[1]\n"


def test_an_error_of_a_callback_is_told_to_who_delivered(agent):
    source = """
    slider = w.IntSlider()
    slider.observe(lambda change: 1 / 0, "value")
    print(slider.model_id)
    """
    comm = stdout(agent, source).strip()
    job = deliver(agent, "comm_msg", update(comm, value=1))
    answer = agent.answer(job)
    assert answer.error == "ZeroDivisionError"
    assert any("ZeroDivisionError" in line for line in answer.traceback)
    assert isinstance(agent.answer(agent.cell("pass")), h.Returned)


def test_binary_values_travel_as_buffers(agent):
    source = "image = w.Image(value=b'bytes' * 3)\nprint(image.model_id)"
    pieces = shown(agent, source)
    (message,) = [m for m in comms(pieces) if m["buffers"]]
    assert message["buffers"] == [b"bytes" * 3]
    assert message["content"]["data"]["buffer_paths"] == [["value"]]
    comm = next(text for stream, text in pieces if stream == "stdout").strip()
    data = {"method": "update", "state": {}, "buffer_paths": [["value"]]}
    job = deliver(agent, "comm_msg", {"comm_id": comm, "data": data}, [b"other"])
    assert isinstance(agent.answer(job), h.Returned)
    assert stdout(agent, "print(bytes(image.value))") == "b'other'\n"


def test_an_output_widget_names_the_cell_whose_output_it_shows(agent):
    source = """
    out = w.Output()
    with out:
        print("inside")
        1 / 0
    print("outside")
    """
    job = agent.cell(source)
    assert isinstance(agent.answer(job), h.Returned)
    pieces = agent.shown(job)
    at = {
        content["content"]["data"]["state"]["msg_id"]: index
        for index, (stream, content) in enumerate(pieces)
        if stream == "comm" and "msg_id" in content["content"]["data"].get("state", {})
        if content["kind"] == "comm_msg"
    }
    assert at.keys() == {job, ""}
    inside = pieces[at[job] + 1 : at[""]]
    assert inside[0] == ("stdout", "inside\n")
    assert inside[1][0] == "stderr"
    assert "ZeroDivisionError" in inside[1][1]
    assert pieces[-1] == ("stdout", "outside\n")


def test_a_function_that_an_output_widget_captures_works(agent):
    source = """
    @out.capture(clear_output=True)
    def noisy(change):
        print("captured", change.new)
    slider = w.IntSlider()
    slider.observe(noisy, "value")
    print(slider.model_id)
    """
    comm = stdout(agent, source).strip()
    job = deliver(agent, "comm_msg", update(comm, value=7))
    assert isinstance(agent.answer(job), h.Returned)
    assert ("stdout", "captured 7\n") in agent.shown(job)
    assert "clear" in dict(agent.shown(job))


def test_a_comm_can_be_opened_and_closed_by_the_notebook(agent):
    source = """
    messages = []
    def target(comm, message):
        messages.append(message["content"]["data"])
        comm.on_msg(lambda message: comm.send({"got": message["content"]["data"]}))
        comm.on_close(lambda message: messages.append("closed"))
    get_ipython().kernel.comm_manager.register_target("test.target", target)
    """
    shown(agent, source)
    content = {"comm_id": "c1", "target_name": "test.target", "data": {"hello": 1}}
    agent.answer(deliver(agent, "comm_open", content))
    job = deliver(agent, "comm_msg", {"comm_id": "c1", "data": 5})
    agent.answer(job)
    (reply,) = comms(agent.shown(job))
    assert reply["content"] == {"comm_id": "c1", "data": {"got": 5}}
    agent.answer(deliver(agent, "comm_close", {"comm_id": "c1", "data": {}}))
    assert stdout(agent, "print(messages)") == "[{'hello': 1}, 'closed']\n"


def test_a_message_to_a_widget_that_is_closed_is_dropped(agent):
    for kind in ("comm_msg", "comm_close"):
        job = deliver(agent, kind, {"comm_id": "unknown", "data": {}})
        assert isinstance(agent.answer(job), h.Returned)
        assert agent.shown(job) == []


def test_what_changes_between_cells_is_sent_with_the_next(agent, tmp_path):
    go, done = tmp_path / "go", tmp_path / "done"
    source = """
    import threading, time
    progress = w.IntProgress()
    def later():
        while not go.exists(): time.sleep(0.005)
        progress.value = 50
        done.touch()
    thread = threading.Thread(target=later)
    thread.start()
    """
    shown(agent, source, names={"go": go, "done": done})
    go.touch()
    eventually(done.exists)
    (message,) = comms(shown(agent, "pass"))
    assert message["content"]["data"]["state"] == {"value": 50}


def test_messages_leave_no_trace_in_the_session(agent):
    before = stdout(agent, "print(len(In))")
    comm = stdout(agent, "print(slider.model_id)").strip()
    agent.answer(deliver(agent, "comm_msg", update(comm, value=8)))
    assert int(stdout(agent, "print(len(In))")) == int(before) + 2
    assert stdout(agent, "print('message' in globals())") == "False\n"


def test_interact_works(agent):
    source = """
    @w.interact(x=(0, 10))
    def square(x=4):
        print("square", x * x)
    print("id", square.widget.children[0].model_id)
    """
    pieces = shown(agent, source)
    text = "".join(content for stream, content in pieces if stream == "stdout")
    assert "square 16" in text
    comm = text.split("id ")[1].strip()
    job = deliver(agent, "comm_msg", update(comm, value=5))
    assert isinstance(agent.answer(job), h.Returned)
    assert ("stdout", "square 25\n") in agent.shown(job)
