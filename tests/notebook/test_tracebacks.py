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


COMMENTED = [
    "Cell In[3], line 4",
    "      1 # %%time",
    "\x1b[32m      2\x1b[39m \x1b[3m# %%rexec\x1b[39m",
    "      3 #",
    "----> 4 f()",
    "",
]


def test_lines_above_the_code_are_shown_as_they_stand_in_the_cell(shell):
    shell.run_cell("# %%time 1\n# not the same", store_history=True)
    shell.history_manager.input_hist_raw[1] = "%%time -n\n%%rexec -t 5\n\nf()"
    shown = [ANSI.sub("", line) for line in localised(COMMENTED, shell, "s", [], 1)]
    assert shown[1:5] == ["      1 %%time -n", "      2 %%rexec -t 5", "      3 ", "----> 4 f()"]


def test_lines_that_are_no_longer_those_of_the_cell_stay_as_they_were_sent(shell):
    shell.run_cell("1\n2\n3", store_history=True)
    shown = [ANSI.sub("", line) for line in localised(COMMENTED, shell, "s", [], 1)]
    assert shown[1:4] == ["      1 # %%time", "      2 # %%rexec", "      3 #"]
    assert localised(COMMENTED, shell, "s", [], 17)[1] == COMMENTED[1]


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("%%rexec -t 5\n1 / 0", 2),
        ("%%time\n%%rexec -t 5\nx = 1\n1 / 0", 4),
        ("%%rexec -t 5\n%%time\nx = 1\n1 / 0", 4),
        ("\n\n%%rexec  -t 5\n\n1 / 0", 5),
        ("%%rexec -t 5\n    x = 1\n    1 / 0", 3),
    ],
)
def test_an_error_is_shown_in_the_lines_of_the_notebook(kernel, cell, line):
    ran = kernel.run(cell)
    assert f"Cell In[{ran.number}] (rexec:default), line {line}\n" in ran.traceback
    assert f"----> {line} 1 / 0" in ran.traceback
    assert "# %%" not in ran.traceback
    assert "run_cell_magic" not in ran.traceback
    for number, text in list(enumerate(cell.splitlines(), 1))[max(line - 3, 0) : line - 1]:
        assert f"{number} {text.strip()}" in ran.traceback


def test_a_secret_of_the_options_line_is_not_shown(kernel):
    ran = kernel.run("%%rexec --env API_KEY=hunter2\n1 / 0")
    assert "1 %%rexec --env API_KEY=•••" in ran.traceback
    assert "hunter2" not in ran.traceback
