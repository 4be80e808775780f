"""What a job shows, and the text that is kept of it."""

import msgspec
import pytest

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.happenings import (
    ClearOutput,
    Comm,
    Display,
    Log,
    NameInfo,
    NamesChanged,
    OutputReader,
    Payload,
    StateChange,
    TextOutput,
)


def event(stream):
    return p.Output(job="a" * 32, seq=1, stream=stream, frames=1)


def test_text_is_decoded_even_where_a_character_is_cut_in_two():
    reader = OutputReader()
    content = "größer 🙂\n".encode()
    text = "".join(
        reader.read(event("stdout"), content[at : at + 1]).text for at in range(len(content))
    )
    assert text == "größer 🙂\n"


def test_streams_are_decoded_apart():
    reader = OutputReader()
    first, second = "ö".encode()
    assert reader.read(event("stdout"), bytes([first])).text == ""
    assert reader.read(event("stderr"), b"x") == TextOutput("stderr", "x")
    assert reader.read(event("stdout"), bytes([second])).text == "ö"


@pytest.mark.parametrize("kind", ["display", "update", "result"])
def test_rich_output_is_read(kind):
    body = {"data": {"text/plain": "x"}, "metadata": {"a": 1}, "transient": {"display_id": "d"}}
    assert OutputReader().read(event(kind), msgspec.msgpack.encode(body)) == Display(kind, **body)


def test_clearing_is_read():
    frame = msgspec.msgpack.encode({"wait": True})
    assert OutputReader().read(event("clear"), frame) == ClearOutput(wait=True)


def test_messages_of_widgets_are_read():
    body = {
        "kind": "comm_msg",
        "content": {"comm_id": "c", "data": {"x": [1]}},
        "metadata": {"version": "2.1.0"},
        "buffers": [b"ab", b""],
    }
    assert OutputReader().read(event("comm"), msgspec.msgpack.encode(body)) == Comm(**body)


def test_payloads_are_read():
    body = {"source": "page", "data": {"text/plain": "help"}, "start": 0}
    assert OutputReader().read(event("payload"), msgspec.msgpack.encode(body)) == Payload(body)


def test_names_are_read():
    change = NamesChanged("1.1", whole=True, names={"x": NameInfo("int", "3")}, gone=["y"])
    frame = msgspec.msgpack.encode(change)
    assert OutputReader().read(event("names"), frame) == change


@pytest.mark.parametrize("kind", ["display", "clear", "comm", "payload", "names"])
@pytest.mark.parametrize("frame", [b"", b"\xc1", msgspec.msgpack.encode([1])])
def test_what_cannot_be_read_becomes_a_note(kind, frame):
    happening = OutputReader().read(event(kind), frame)
    assert happening.stream == "note"
    assert kind in happening.text


def test_a_log_keeps_everything_as_long_as_there_is_room():
    log = Log(head=10, tail=20)
    for text in ("0123", "456789ab", "cdef", ""):
        log.add(TextOutput("stdout", text))
    assert str(log) == "0123456789abcdef"


@pytest.mark.parametrize("size", [1, 3, 7, 25, 1000])
def test_a_long_log_keeps_its_beginning_and_its_end(size):
    log = Log(head=10, tail=20)
    text = "".join(chr(ord("a") + number % 26) for number in range(1000))
    for at in range(0, 1000, size):
        log.add(TextOutput("stdout", text[at : at + size]))
    assert str(log).startswith(text[:10] + "\n…")
    assert str(log).endswith("…\n" + text[-20:])
    assert "970 characters" in str(log)


def test_a_log_has_the_plain_text_of_rich_output_and_no_states():
    log = Log()
    log.add(Display("display", {"text/plain": "Figure", "text/html": "<b>"}))
    log.add(Display("display", {"text/html": "<b>"}))
    log.add(StateChange("running"))
    log.add(ClearOutput())
    assert str(log) == "Figure\n"
