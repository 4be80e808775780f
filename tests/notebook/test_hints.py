"""One line of help where IPython's own words lead nowhere."""

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from rexec_jupyter.magics.hints import Misplaced

HINT = "`only_there` exists in rexec session 'default' — `%rexec pull only_there`"


@pytest.fixture
def there(kernel):
    kernel.run("%%rexec -q\nonly_there = 1")
    return kernel


def test_a_name_that_lives_in_the_session_is_pointed_out_once(there):
    cell = there.run("print('before')\nonly_there + 1")
    assert cell.error.startswith("NameError")
    assert cell.kinds == ["stdout", "error", "stderr"]
    assert cell.stderr == f"{HINT}\n"


def test_it_is_pointed_out_in_a_function_of_the_notebook_too(there):
    there.run("def f():\n    return only_there")
    assert there.run("f()").stderr == f"{HINT}\n"


@pytest.mark.parametrize(
    "code",
    [
        "nowhere",
        "%%rexec -q\nnowhere",
        "'only_there'.upper",
        "1 / 0",
        "try:\n    only_there\nexcept NameError:\n    pass",
        "del only_there_but_misspelt",
        # A module that lacks a name has nothing to do with the notebook.
        "exec('only_there', {})",
    ],
)
def test_nothing_is_said_otherwise(there, code):
    assert "exists in rexec session" not in there.run(code).stderr


def test_a_name_of_another_session_is_not_pointed_out(kernel):
    kernel.run("%%rexec -q -s aside\nonly_aside = 1")
    assert kernel.run("only_aside").stderr == ""


def test_nothing_is_said_once_the_name_was_deleted_there(kernel):
    kernel.run("%%rexec -q\nshort_lived = 1")
    assert "short_lived" in kernel.run("short_lived").stderr
    kernel.run("%%rexec -q\ndel short_lived")
    assert kernel.run("short_lived").stderr == ""


# ------------------------------------------------------------- %%rexec below the first line


@pytest.mark.parametrize("magic", ["%%rexec", "%%rx"])
@pytest.mark.parametrize("above", ["# a comment\n", "import os\n", "%matplotlib inline\n"])
def test_a_magic_below_the_first_line_is_explained_and_nothing_runs(kernel, above, magic):
    kernel.run("ran = False")
    cell = kernel.run(f"{above}ran = True\n{magic} -q\nran = True")
    assert cell.stderr == (
        f"UsageError: {magic} has to be the first line of its cell: move what stands above it "
        "below it, or into another cell. Nothing was run.\n"
    )
    assert kernel.value("ran") == "False"


@pytest.mark.parametrize(
    "source",
    [
        "%%rexec -o a\nx = 1\n",
        "\n\n%%rexec\nx = 1\n",
        "%%time\n%%rexec\nx = 1\n",
        "text = '''\n%%rexec\n'''\n",
        "# %%rexec\nx = 5 %rexec\n",
        "a\n%%other\nb\n",
        "%%rexec?\n",
    ],
)
def test_everything_else_stays_as_it_is(source):
    plain, ours = TransformerManager(), TransformerManager()
    ours.token_transformers.append(Misplaced)
    assert ours.transform_cell(source) == plain.transform_cell(source)


def test_a_console_takes_a_misplaced_magic_for_complete_code():
    manager = TransformerManager()
    manager.token_transformers.append(Misplaced)
    assert manager.check_complete("x = 1\n%%rexec -q\ny = 2\n")[0] == "complete"


def test_the_hints_go_with_the_extension(kernel):
    kernel.run("%%rexec -q\nleft_there = 1")
    kernel.run("%unload_ext rexec_jupyter")
    try:
        assert kernel.run("left_there").stderr == ""
        assert "not found" in kernel.run("# c\n%%rexec\nx = 1").stderr
    finally:
        kernel.run("%load_ext rexec_jupyter")
