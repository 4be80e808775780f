"""Remote tracebacks speak of the cells and functions of this notebook."""

import linecache

import pytest
from IPython.core.interactiveshell import InteractiveShell

from rexec_jupyter.magics.frames import ANSI, localised

PLAIN = ["Cell In[3], line 2", "----> 2 f()", ""]
COLOURED = "\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[3]\x1b[39m\x1b[32m, line 2\x1b[39m"
EARLIER = ["Cell In[1], line 1", "----> 1 g()"]
SENT = [
    "\x1b[36mFile \x1b[39m\x1b[32m<dynamic-code>:3\x1b[39m, in \x1b[36mdivide\x1b[39m(a, b)",
    "      1 'Could not get source, probably due dynamically evaluated source code.'",
    "",
]


@pytest.fixture
def shell():
    shell = InteractiveShell(user_ns={"__name__": "__main__"})
    yield shell
    shell.cleanup()


def test_the_failing_cell_gets_the_number_it_has_here(shell):
    assert localised(PLAIN, shell, "lab", [], 17)[0] == "Cell In[17] (rexec:lab), line 2"
    (line,) = localised([COLOURED], shell, "lab", [], 17)
    assert "In[17] (rexec:lab)\x1b[39m" in line


def test_earlier_cells_are_known_if_the_session_counts_as_the_notebook_does(shell):
    traceback = PLAIN + EARLIER
    assert "Cell In[5] (rexec:s), line 1" in localised(traceback, shell, "s", [5, 8, 9], 9)
    assert "Cell In[5] (rexec:s), line 1" in localised(traceback, shell, "s", [5, 8, 9, 12], 9)


def test_earlier_cells_of_others_are_not_mistaken_for_ours(shell):
    lines = localised(PLAIN + EARLIER, shell, "s", [9], 9)
    assert "Cell In[9] (rexec:s), line 2" in lines
    assert "Cell In[?] (rexec:s), line 1" in lines


def test_a_traceback_without_cells_stays_as_it_is(shell):
    assert localised(["File a.py, line 1"], shell, "s", [1], 1) == ["File a.py, line 1"]
    assert localised([], shell, "s", [1], 1) == []


def test_a_function_that_was_sent_is_shown_with_its_source(shell):
    shell.run_cell("class Calculator:\n    def divide(self, a, b):\n        return a / b\n", True)
    shown = [ANSI.sub("", line) for line in localised(SENT, shell, "s", [], 9)]
    assert shown == [
        "Cell In[1], line 3, in divide(a, b)",
        "      1 class Calculator:",
        "      2     def divide(self, a, b):",
        "----> 3         return a / b",
        "",
    ]


def test_a_function_that_is_not_known_here_stays_without(shell):
    linecache.clearcache()
    assert localised(SENT, shell, "s", [], 9) == SENT
