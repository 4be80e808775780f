"""The grammar of the options line, and what it says to those who miss it."""

import re

import pytest
from IPython.core.error import UsageError

from rexec_jupyter.magics.options import CellOptions, duration, parse, usage

UNDERSTOOD = [
    ("", CellOptions()),
    ("--", CellOptions()),
    ("-s lab", CellOptions(session="lab")),
    ("--session=lab", CellOptions(session="lab")),
    ("-s 'my lab'", CellOptions(session="my lab")),
    ('-n "a b"', CellOptions(label="a b")),
    ("-i a,b -i c", CellOptions(send={"a": "a", "b": "b", "c": "c"})),
    ("--in 'a, b'", CellOptions(send={"a": "a", "b": "b"})),
    ("-i remote=local", CellOptions(send={"remote": "local"})),
    ("-o x -o local=remote,y", CellOptions(fetch={"x": "x", "local": "remote", "y": "y"})),
    ("-q", CellOptions(quiet=True)),
    ("-t 30", CellOptions(timeout=30.0)),
    ("--timeout 1.5h", CellOptions(timeout=5400.0)),
    ("--noblock", CellOptions(block=False)),
    ("--bg", CellOptions(block=False)),
    ("-a", CellOptions(block=False)),
    ("-a -b", CellOptions()),
    ("-qa", CellOptions(quiet=True, block=False)),
    ("-h", CellOptions(help=True)),
]

REFUSED = [
    ("--sesion x", "unknown option --sesion; did you mean --session?"),
    ("--noblok", "unknown option --noblok; did you mean --noblock?"),
    ("--time 3", "unknown option --time; did you mean --timeout?"),
    ("-z", "unknown option -z"),
    ("--mem 8G", "--mem is a setting of the session"),
    ("--gpu=1", "--gpu is a setting of the session"),
    ("x = 1", "code begins on the next line"),
    ("-i a b", "unexpected 'b'"),
    ("-- x", "nothing may follow the options"),
    ("-i 1x", "-i: '1x' is no name of a variable"),
    ("-o a,", "-o: '' is no name of a variable"),
    ("-o a.b", "'a.b' is no name"),
    ("-t soon", "'soon' is no duration; write 30, 30s, 5m or 2h"),
    ("-t 0", "'0' is no duration"),
    ("-t", "expected one argument"),
    ("-s ''", "1 to 64 characters"),
    ("-s 'a", "quotation mark"),
]


@pytest.mark.parametrize(("line", "options"), UNDERSTOOD)
def test_an_options_line_is_understood(line, options):
    assert parse(line) == options


@pytest.mark.parametrize(("line", "complaint"), REFUSED)
def test_a_mistake_is_told_in_one_line(line, complaint):
    with pytest.raises(UsageError) as caught:
        parse(line)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("%%rexec: ")


def test_one_line_does_not_leak_into_the_next():
    assert parse("-i a -o b").send == {"a": "a"}
    assert parse("-i c").send == {"c": "c"}
    assert parse("").fetch == {}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86400), (".5 M", 30)],
)
def test_durations_have_units(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["0", "-1", "5x", "1:30", "inf", "٣"])
def test_other_words_are_no_durations(text):
    with pytest.raises(ValueError, match=re.escape(text)):
        duration(text)


def test_the_help_tells_every_option():
    text = usage()
    for option in ("--session", "--in", "--out", "--name", "--timeout", "--quiet", "--noblock"):
        assert option in text
