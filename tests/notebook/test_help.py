"""A question mark shows help: of the session for its objects, of rexec for its magics."""

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from rexec_jupyter.magics.help import RemoteHelp
from tests.notebook.asking import inspect, page
from tests.notebook.kernel import _plain

DOCUMENTED = """\
%%rexec -q
def documented(a, b=2):
    "Adds two numbers on the other side."
    return a + b
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%rx df?", "get_ipython().run_line_magic('rx', 'df?')\n"),
        ("%rx df.mean??", "get_ipython().run_line_magic('rx', 'df.mean??')\n"),
        ("if x:\n    %rx df?", "if x:\n    get_ipython().run_line_magic('rx', 'df?')\n"),
        ("%rexec jobs?", "get_ipython().run_line_magic('rexec', 'jobs --help')\n"),
        ("%rx?", "get_ipython().run_line_magic('pinfo', '%rx')\n"),
        ("%%rexec?", "get_ipython().run_line_magic('pinfo', '%%rexec')\n"),
        ("df?", "get_ipython().run_line_magic('pinfo', 'df')\n"),
        ("%time df?", "get_ipython().run_line_magic('pinfo', 'df')\n"),
        ("text = '''\n%rx df?\n'''", "text = '''\n%rx df?\n'''\n"),
        ('%rx f("?")', "get_ipython().run_line_magic('rx', 'f(\"?\")')\n"),
    ],
)
def test_a_question_goes_where_it_belongs(line, expected):
    manager = TransformerManager()
    manager.token_transformers.append(RemoteHelp)
    assert manager.transform_cell(line) == expected
    assert manager.check_complete(line)[0] != "invalid"


def text_of(shown):
    return _plain(shown.get("text/plain", ""))


def test_help_for_a_remote_object_comes_in_the_pager(kernel):
    kernel.run(DOCUMENTED)
    shown = text_of(page(kernel, "%rx documented?"))
    assert "documented(a, b=2)" in shown
    assert "Adds two numbers on the other side." in shown
    assert "return a + b" in text_of(page(kernel, "%rx documented??"))
    assert "Adds two numbers" in text_of(page(kernel, "%%rexec -q\nx = 1\ndocumented?"))


def test_the_remote_object_is_asked_even_if_there_is_one_here(kernel):
    kernel.run("%%rexec -q\nboth = {}")
    kernel.run("both = 'mine'")
    assert "Type:        dict" in text_of(page(kernel, "%rx both?"))
    assert "Type:        str" in text_of(page(kernel, "both?"))


def test_a_local_object_goes_along_to_be_asked_about(kernel):
    kernel.run("only_here = [1, 2, 3]")
    assert "Type:        list" in text_of(page(kernel, "%rx only_here?"))


def test_what_is_nowhere_is_said_not_to_be_found(kernel):
    assert "`nowhere_at_all` not found" in kernel.run("%rx nowhere_at_all?").stdout


@pytest.mark.parametrize("question", ["%%rexec?", "%%rx?"])
def test_the_options_are_shown_in_the_pager(kernel, question):
    shown = page(kernel, question)
    for option in ("-s, --session NAME", "--capture HOW", "-t, --timeout TIME"):
        assert option in text_of(shown)
    assert "%%%%" not in text_of(shown)


def test_the_subcommands_are_shown_in_the_pager(kernel):
    shown = text_of(page(kernel, "%rexec?"))
    for word in ("sessions", "jobs", "pull", "config"):
        assert f"\n  {word} " in shown
    assert "no options" in text_of(page(kernel, "%rx?"))
    assert "--follow" in kernel.run("%rexec logs?").text


def test_shift_tab_on_the_first_line_shows_the_options(kernel):
    for cursor in (4, 8):
        shown = text_of(inspect(kernel, "%%rexec -s lab\nx = 1", cursor))
        assert "--session NAME" in shown
        assert "  pull " in shown
    assert "--session NAME" in text_of(inspect(kernel, "%%rx\nx", 4))


@pytest.mark.parametrize("code", ["%%rexec --help", "%%rx -h\n\n", "%%rexec -h\n1"])
def test_help_is_shown_with_or_without_a_body(kernel, code):
    cell = kernel.run(code)
    assert "--if-busy" in cell.stdout
    assert cell.stderr == ""
