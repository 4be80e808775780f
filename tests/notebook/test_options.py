"""The grammar of the options line, and what it says to those who miss it."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest
from IPython.core.error import UsageError

import rexec_jupyter as rexec
from rexec_jupyter.core.defaults import Defaults
from rexec_jupyter.magics import options as module
from rexec_jupyter.magics.options import CellOptions, parse, usage

GOLDEN = Path(__file__).parent / "golden" / "rexec_help.txt"
SECRET = "hunter2-s3cr3t"

UNDERSTOOD = [
    ("", {}),
    ("--", {}),
    ("-s lab", {"session": "lab"}),
    ("--session=lab", {"session": "lab"}),
    ("-s 'my lab'", {"session": "my lab"}),
    ("-s my\\ lab", {"session": "my lab"}),
    ("-p gpu-small", {"profile": "gpu-small"}),
    ("--fresh", {"fresh": True}),
    ('-n "a b"', {"name": "a b"}),
    ("-n '$x {y}'", {"name": "$x {y}"}),
    ("-i a,b -i c", {"in_": {"a": "a", "b": "b", "c": "c"}}),
    ("--in 'a, b'", {"in_": {"a": "a", "b": "b"}}),
    ("-i remote=local", {"in_": {"remote": "local"}}),
    ("-o last=_,item=_5", {"out": {"last": "_", "item": "_5"}}),
    ("-o x -o local=remote,y", {"out": {"x": "x", "local": "remote", "y": "y"}}),
    ("-x a,b --exclude c", {"exclude": frozenset("abc")}),
    ("--capture strict", {"capture": "strict"}),
    ("--return ref", {"return_": "ref"}),
    ("-q", {"quiet": True}),
    ("-t 30", {"timeout": 30.0}),
    ("-t none", {"timeout": None}),
    ("--timeout 1.5h", {"timeout": 5400.0}),
    ("--wait-start 10m", {"wait_start": 600.0}),
    ("--if-busy fail", {"if_busy": "fail"}),
    ("--on-interrupt detach", {"on_interrupt": "detach"}),
    ("--noblock", {"block": False}),
    ("--bg", {"block": False}),
    ("-a", {"block": False}),
    ("-a -b", {"block": True}),
    ("-qa", {"quiet": True, "block": False}),
    ("-j later", {"job": "later"}),
    ("--no-stream", {"stream": False}),
    ("--no-stream --stream", {"stream": True}),
    ("--no-progress --progress-after 5s", {"progress": False, "progress_after": 5.0}),
    ("--progress-after 0", {"progress_after": 0.0}),
    ("--max-send 1GB --max-recv '2 MiB'", {"max_send": 10**9, "max_recv": 2 * 1024**2}),
    ("--env A=1 --env 'B=x y' --env C=", {"env": {"A": "1", "B": "x y", "C": ""}}),
    ("--env A=b=c", {"env": {"A": "b=c"}}),
    ("--explain --local", {"explain": True, "local": True}),
    ("-h", {"help": True}),
]

REFUSED = [
    ("--sesion x", "unknown option --sesion; did you mean --session?"),
    ("--noblok", "unknown option --noblok; did you mean --noblock?"),
    ("--time 3", "unknown option --time; did you mean --timeout?"),
    ("--max_send 3", "unknown option --max_send; did you mean --max-send?"),
    ("-S lab", "unknown option -S"),
    ("-z", "unknown option -z"),
    ("--cpu 4", "session settings are fixed at start: use `%rexec start NAME --cpu 4`"),
    ("--mem 8G", "session settings are fixed at start: use `%rexec start NAME --mem 8G`"),
    ("--gpu=1", "session settings are fixed at start"),
    ("--image a/b:c", "session settings are fixed at start"),
    ("--requirements numpy", "session settings are fixed at start"),
    ("--idle-timeout 2h", "session settings are fixed at start"),
    ("x = 1", "code begins on the next line"),
    ("-i a b", "unexpected 'b'"),
    ("-- x", "nothing may follow the options"),
    ("-- -q", "nothing may follow the options"),
    ("-i 1x", "-i: '1x' is no name of a variable"),
    ("-o a,", "-o: '' is no name of a variable"),
    ("-o a.b", "'a.b' is no name"),
    ("-o class", "'class' is no name of a variable"),
    ("-o In", "'In' belongs to IPython"),
    ("-o _i3", "'_i3' belongs to IPython"),
    ("-i __name__=x", "'__name__' belongs to IPython"),
    ("-j Out", "'Out' belongs to IPython"),
    ("-x a=b", "-x: there is nothing to rename in 'a=b'"),
    ("-j 1", "'1' is no name of a variable"),
    ("-t soon", "'soon' is no duration; write 30, 30s, 5m or 2h"),
    ("-t 0", "'0' is no duration"),
    ("-t", "expected one argument"),
    ("-s ''", "1 to 64 characters"),
    ("-s 'a", "quotation mark"),
    ("--capture all", "'all' is none of auto, none, strict"),
    ("--return pickle", "'pickle' is none of auto, value, ref, none"),
    ("--if-busy wait", "'wait' is none of queue, fail, interrupt"),
    ("--max-send much", "'much' is no size; write 100MB"),
    ("--env 1A=2", "--env is written --env NAME=VALUE"),
    ("--env SURELY_NOT_SET_HERE", "the variable SURELY_NOT_SET_HERE is not set here"),
]


@pytest.mark.parametrize(("line", "said"), UNDERSTOOD)
def test_an_options_line_is_understood(line, said):
    assert parse(line) == CellOptions(**said)


@pytest.mark.parametrize(("line", "complaint"), REFUSED)
def test_a_mistake_is_told_in_one_line(line, complaint):
    with pytest.raises(UsageError) as caught:
        parse(line)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("%%rexec: ")


@pytest.mark.parametrize(
    "line",
    [
        f"--token {SECRET}",
        f"--token={SECRET}",
        f"--password '{SECRET}'",
        f"-q --api-key {SECRET}",
        f"--api_key={SECRET}",
        f"--secret {SECRET} -s lab",
        f"--aws-secret-access-key {SECRET}",
        f"--github-token {SECRET} --sesion x",
        f"--env MY+TOKEN={SECRET}",
        f"--env TOKEN={SECRET} --sesion x",
        f"--env TOKEN={SECRET} -t soon",
    ],
)
def test_a_secret_is_refused_and_never_repeated(line):
    with pytest.raises(UsageError) as caught:
        parse(line)
    assert SECRET not in str(caught.value)


def test_a_refused_secret_is_told_what_to_do():
    with pytest.raises(UsageError, match=r"no option takes a secret.*use --env NAME"):
        parse(f"--token {SECRET}")


def test_options_that_only_sound_like_secrets_are_just_unknown():
    with pytest.raises(UsageError, match="unknown option --passage"):
        parse("--passage 1")


def test_a_variable_is_copied_from_here_and_never_shown(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", SECRET)
    options = parse("--env MY_TOKEN --env PLAIN=1")
    assert options.env == {"MY_TOKEN": SECRET, "PLAIN": "1"}
    assert options.secrets == [SECRET]
    assert SECRET not in repr(options)


def test_one_line_does_not_leak_into_the_next():
    assert parse("-i a -o b --env A=1").in_ == {"a": "a"}
    assert parse("-i c").in_ == {"c": "c"}
    assert parse("") == CellOptions()


def test_the_settings_hold_where_the_line_says_nothing():
    settings = Defaults(timeout=60.0, capture="strict", quiet=True, session="lab", stream=False)
    chosen = parse("-t 5 --stream", settings)
    assert (chosen.timeout, chosen.capture, chosen.quiet) == (5.0, "strict", True)
    assert (chosen.session, chosen.stream) == ("lab", True)
    assert parse("-t none", settings).timeout is None


def test_what_is_built_in_is_the_same_in_both_tables():
    assert parse("", Defaults()) == CellOptions()


def test_the_help_and_its_letters_stay_as_they_are():
    assert usage() == GOLDEN.read_text(encoding="utf-8")


def test_the_help_does_not_depend_on_the_window(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert module._build().format_help() == usage()


def test_every_option_is_in_the_help_and_has_a_field():
    told = set(re.findall(r"--[a-z-]+", usage()))
    fields = {field.name.rstrip("_") for field in dataclasses.fields(CellOptions)}
    for field in fields:
        assert f"--{field.replace('_', '-')}" in told


def test_every_option_is_a_keyword_of_the_same_name_in_python():
    keywords = inspect.signature(rexec.run).parameters
    options = {field.name for field in dataclasses.fields(CellOptions)}
    # Python takes names by value, gives a job as its result, and shows no status line.
    face = {"capture", "job", "quiet", "progress", "progress_after", "explain", "help"}
    assert options - face <= set(keywords)
