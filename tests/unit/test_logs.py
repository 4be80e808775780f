"""Records of logs, what becomes of them for a reader, and their last lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rexec_jupyter.core import logs
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.happenings import Display, OutputReader, TextOutput
from rexec_jupyter.core.log_reader import last_lines

JOB = "a" * 32
RECORDS = st.lists(st.tuples(st.sampled_from(logs.KINDS), st.binary(max_size=50), st.booleans()))
MIB = 1024 * 1024


# -------------------------------------------------------------------------------- records


@given(RECORDS)
def test_records_are_read_as_they_were_written(records):
    data = b"".join(logs.pack(kind, content, more=more) for kind, content, more in records)
    found = [(each.kind, bytes(each.content), each.more) for each in logs.unpack(data)]
    assert found == records
    assert logs.span(data, len(data)) == len(data)


@given(RECORDS.filter(bool), st.data())
def test_of_a_log_that_was_cut_the_whole_records_count(records, draw):
    packed = [logs.pack(kind, content, more=more) for kind, content, more in records]
    data = b"".join(packed)
    cut = draw.draw(st.integers(0, len(data)))
    whole = logs.span(data[:cut], len(data))
    ends = [sum(map(len, packed[:count])) for count in range(len(packed) + 1)]
    assert whole == max(end for end in ends if end <= cut)
    if cut not in ends:
        with pytest.raises(ValueError, match="record of a log"):
            list(logs.unpack(data[:cut]))


def test_a_page_has_one_record_in_any_case_and_more_within_its_limit():
    data = logs.pack("stdout", bytes(100)) + logs.pack("stdout", bytes(10)) * 3
    assert logs.span(data, 0) == 109
    assert logs.span(data, 127) == 109
    assert logs.span(data, 128) == 128


def test_records_of_kinds_that_are_not_known_here_are_left_out():
    unknown = bytearray(logs.pack("stdout", b"x"))
    unknown[4] = 99
    data = bytes(unknown) + logs.pack("stdout", b"y")
    assert [bytes(each.content) for each in logs.unpack(data)] == [b"y"]


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB])
def test_content_is_cut_into_pieces_that_can_be_sent(size):
    content = bytes(size)
    found = list(logs.pieces(content))
    assert b"".join(piece for piece, _ in found) == content
    assert all(len(piece) <= MIB for piece, _ in found)
    assert [more for _, more in found] == [True] * (len(found) - 1) + [False]


@pytest.mark.parametrize(
    ("event", "end"),
    [
        (p.Cancelled(job=JOB, seq=1, executed=True), logs.End("cancelled")),
        (
            p.Cancelled(job=JOB, seq=1, executed=False),
            logs.End("cancelled", message="It was withdrawn before it started."),
        ),
        (
            p.TimedOut(job=JOB, seq=1, timeout=2.0, traceback=["a"], duration=2.5),
            logs.End("timed out", "", "It ran longer than 2 s.", ["a"], 2.5),
        ),
        (p.Crashed(job=JOB, seq=1, reason="Gone."), logs.End("crashed", message="Gone.")),
        (p.Lost(job=JOB, seq=1, reason="Nobody knows."), logs.End("lost", "", "Nobody knows.")),
    ],
)
def test_the_end_of_a_job_is_told_for_people(event, end):
    assert logs.end_of(event) == end


# ----------------------------------------------------------------------- pieces of output


def test_the_pieces_of_an_output_become_one():
    reader = OutputReader()
    content = b"\x81\xa4data\x81\xaatext/plain\xa3abc"
    for at in range(len(content) - 1):
        assert reader.take("display", content[at : at + 1], more=True) is None
    assert reader.take("display", content[-1:]) == Display("display", {"text/plain": "abc"})
    assert reader.take("stdout", b"after") == TextOutput("stdout", "after")


def test_the_end_of_an_output_whose_beginning_is_gone_is_a_note():
    shown = OutputReader().take("display", b"in/plain\xa3abc")
    assert isinstance(shown, TextOutput)
    assert shown.stream == "note"


def test_no_more_is_gathered_than_is_ever_sent():
    reader = OutputReader()
    piece = bytes(MIB)
    for _ in range(200):
        reader.take("display", piece, more=True)
    assert sum(map(len, reader._pieces)) <= p.OUTPUT


# ------------------------------------------------------------------------------ last lines


def text(content, stream="stdout"):
    return TextOutput(stream, content)


@given(st.lists(st.text("ab\n", max_size=6)), st.integers(1, 6))
def test_the_last_lines_are_those_of_the_whole_text(pieces, lines):
    shown = last_lines([text(piece) for piece in pieces], lines)
    whole = "".join(pieces)
    assert "".join(each.text for each in shown) == "".join(whole.splitlines(keepends=True)[-lines:])


def test_a_display_counts_as_a_line_and_an_update_does_not():
    display, update = Display("display", {}), Display("update", {})
    shown = [text("a\nb\n"), display, update, text("c\n")]
    assert last_lines(shown, 1) == [text("c\n")]
    assert last_lines(shown, 2) == [display, update, text("c\n")]
    assert last_lines(shown, 3) == [text("b\n"), display, update, text("c\n")]
    assert last_lines([text("a\n"), display], 1) == [display]
