"""Tab completes options, subcommands and remote names from what is known, asking nobody."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from rexec_jupyter.core.happenings import NameInfo, NamesChanged
from rexec_jupyter.core.settings import current
from rexec_jupyter.magics.cell import CellRunner
from rexec_jupyter.magics.completion import Completer
from rexec_jupyter.magics.cursor import Code, Options, Subcommand, locate
from rexec_jupyter.magics.remote_names import NamesCache
from tests.notebook.asking import complete

FRAME = NameInfo("pandas.DataFrame", "3 x 2", 48, ["columns", "head", "price"], ["price", "size"])


def place(text):
    before, _, after = text.partition("|")
    line = before.count("\n")
    return locate(before + after, line, len(before.rpartition("\n")[2]), ("rx",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%%rexec -s |\nx = 1", Options("-s ", "x = 1")),
        ("%%rx -|", Options("-", "")),
        ("\n\n%%rexec -o | -q\nx", Options("-o ", "x")),
        ("%%time\n%%rexec |\nx", Options("", "x")),
        ("%%rexec -s lab\ny = df.co|\nz", Code("y = df.co", "-s lab")),
        ("%%rexec\n|", Code("")),
        ("%rx df.|", Code("df.")),
        ("a = 1\nb, c = %rx df.|", Code("df.")),
        ("%rexec |", Subcommand("")),
        ("%rexec logs ab|", Subcommand("logs ab")),
        ("x = %rexec pu|", Subcommand("pu")),
    ],
)
def test_it_is_told_where_the_cursor_is(text, expected):
    assert place(text) == expected


@pytest.mark.parametrize(
    "text",
    ["df.co|", "%%re|", "%%rexec|\nx", "%rexe|", "%%time\nx|", "x = 1\n%%rexec -|", "5 %rexec |"],
)
def test_elsewhere_rexec_completes_nothing(text):
    assert place(text) is None


# ------------------------------------------------------------------------- the cache


def changed(version, *, whole=False, gone=(), **names):
    return NamesChanged(version, whole, names, list(gone))


def test_a_listing_is_kept_up_to_date_by_changes():
    cache = NamesCache()
    assert cache.version("s") == ""
    cache.update("s", changed("1", whole=True, a=NameInfo("int"), b=NameInfo("str")))
    cache.update("s", changed("2", gone=["a"], c=NameInfo("list")))
    assert list(cache.names("s")) == ["b", "c"]
    assert (cache.version("s"), cache.version("other")) == ("2", "")
    assert cache.sessions() == ["s"]


def test_a_change_of_a_listing_that_is_not_known_is_left_out():
    cache = NamesCache()
    cache.update("s", changed("7", a=NameInfo("int")))
    assert not cache.names("s")
    cache.update("s", changed("8", whole=True, a=NameInfo("int")))
    cache.clear("s")
    cache.update("s", changed("9", b=NameInfo("int")))
    assert (cache.version("s"), dict(cache.names("s"))) == ("", {})


def test_attributes_that_were_told_for_a_type_hold_for_the_next_of_it():
    cache = NamesCache()
    told = ["bit_length", "real"]
    cache.update("s", changed("1", whole=True, a=NameInfo("int", attributes=told)))
    cache.update("s", changed("2", b=NameInfo("int"), c=NameInfo("str")))
    assert cache.attributes("s", "b") == told
    assert cache.attributes("s", "c") == cache.attributes("s", "nobody") == []
    cache.update("s", changed("3", d=NameInfo("int", attributes=["real"])))
    assert cache.attributes("s", "a") == told
    assert cache.attributes("s", "d") == ["real"]


# ------------------------------------------------------------------------- the matcher


@pytest.fixture
def notebook():
    shell = InteractiveShell(user_ns={"local_frame": 1, "price_here": 2})
    runner = CellRunner(shell)
    completer = Completer(shell, runner)
    runner.names.update("default", changed("1", whole=True, df=FRAME, depth=NameInfo("int")))
    runner.names.update("lab", changed("1", whole=True, sample=NameInfo("int")))

    def offered(text):
        before, _, after = text.partition("|")
        with pytest.warns(match="provisional"):
            found = list(shell.Completer.completions(before + after, len(before)))
        return {before[: c.start] + c.text for c in found}

    offered.completer = completer
    offered.shell = shell
    offered.runner = runner
    yield offered
    completer.close()
    runner.close()
    shell.cleanup()


def test_options_are_offered_and_nothing_else(notebook):
    offered = notebook("%%rexec --cap|\nx")
    assert offered == {"%%rexec --capture"}
    assert {"%%rexec -q --timeout", "%%rexec -q --if-busy"} <= notebook("%%rexec -q |\nx")
    assert "%%rexec local_frame" not in notebook("%%rexec |\nx")


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--capture", {"auto", "none", "strict"}),
        ("--if-busy", {"queue", "fail", "interrupt"}),
        ("--return", {"auto", "value", "ref", "none"}),
        ("--on-interrupt", {"cancel", "detach"}),
    ],
)
def test_the_words_that_an_option_takes_are_offered(notebook, option, values):
    assert notebook(f"%%rexec {option} |\nx") == {f"%%rexec {option} {word}" for word in values}
    assert notebook(f"%%rexec {option}=|\nx") == {f"%%rexec {option}={word}" for word in values}


def test_known_sessions_are_offered(notebook):
    assert notebook("%%rexec -s |\nx") == {"%%rexec -s default", "%%rexec -s lab"}
    assert notebook("%rexec use l|") == {"%rexec use lab"}
    notebook.completer.learn([{"session": "told by a table"}])
    assert "%%rexec -s 'told by a table'" in notebook("%%rexec -s |\nx")


def test_names_are_offered_for_sending_and_fetching(notebook):
    assert notebook("%%rexec -i lo|\nx") == {"%%rexec -i local_frame"}
    assert notebook("%%rexec -i a,new=pr|\nx") == {"%%rexec -i a,new=price_here"}
    assert notebook("%%rexec -x a,lo|\nx") == {"%%rexec -x a,local_frame"}
    assert notebook("%%rexec -o d|\ndrawn = 1") == {
        "%%rexec -o df",
        "%%rexec -o depth",
        "%%rexec -o drawn",
    }
    assert notebook("%%rexec -s lab -o |\nx = 1") == {
        "%%rexec -s lab -o sample",
        "%%rexec -s lab -o x",
    }


def test_remote_names_are_offered_in_code_and_local_ones_stay(notebook):
    offered = notebook("%%rexec\ny = d|")
    assert {"%%rexec\ny = df", "%%rexec\ny = depth", "%%rexec\ny = dict"} <= offered
    assert "%%rexec\nprice_here" in notebook("%%rexec\npri|")
    assert "%%rexec -s lab\nsample" in notebook("%%rexec -s lab\nsa|")
    assert "%%rexec\nsample" not in notebook("%%rexec\nsa|")


def test_names_are_offered_once_each_and_with_those_of_the_cell_and_the_language(notebook):
    assert "%%rexec\ntotal = 1\ntotal" in notebook("%%rexec\ntotal = 1\ntot|")
    assert notebook("%%rexec\nisinst|") == {"%%rexec\nisinstance"}
    assert notebook("%%rexec\nwhil|") == {"%%rexec\nwhile"}


@pytest.mark.parametrize("code", ["%%rexec\n%tim|", "%%rexec\nopen('dat|", "%%rexec\nmath.sq|"])
def test_what_rexec_does_not_know_is_left_to_ipython(notebook, code):
    notebook.shell.run_cell("import math")
    offered = notebook(code)
    assert "%%rexec\ndf" not in offered
    assert ("%%rexec\nmath.sqrt" in offered) == ("math" in code)


def test_attributes_and_columns_of_remote_names_are_offered(notebook):
    assert notebook("%%rexec\ndf.co|") == {"%%rexec\ndf.columns"}
    assert notebook("%rx df.|") == {"%rx df.columns", "%rx df.head", "%rx df.price"}
    assert notebook("y = %rx df['s|") == {"y = %rx df['size"}
    assert not {"%%rexec\nf(1).df", "%%rexec\na.df.columns"} & notebook("%%rexec\nf(1).d|")


def test_subcommands_and_what_they_take_are_offered(notebook):
    assert {"%rexec pull", "%rexec push"} <= notebook("%rexec pu|")
    assert notebook("%rexec pull d|") == {"%rexec pull df", "%rexec pull depth"}
    assert notebook("%rexec push a,lo|") == {"%rexec push a,local_frame"}
    assert notebook("%rexec config max_s|") >= {"%rexec config max_send"}
    assert "%rexec jobs --all" in notebook("%rexec jobs --a|")


def test_jobs_that_were_listed_or_sent_are_offered(notebook):
    notebook.completer.learn([{"id": "ab" * 16, "session": "s"}, {"id": "cd" * 16}])
    notebook.runner.last_job = "ef" * 16
    offered = notebook("%rexec logs |")
    assert offered == {f"%rexec logs {job * 4}" for job in ("ab", "cd", "ef")}


def test_only_the_aliases_that_are_set_are_completed(notebook):
    current().set("aliases", "far")
    try:
        assert notebook("%far df.c|") == {"%far df.columns"}
        assert "%rx df.columns" not in notebook("%rx df.c|")
    finally:
        current().set("aliases", "rx")


def test_a_thousand_names_are_cut_off(notebook):
    many = {f"n{number:04}": NameInfo("int") for number in range(2000)}
    notebook.runner.names.update("default", NamesChanged("2", whole=True, names=many))
    offered = {text for text in notebook("%%rexec\nn|") if text[8:].startswith("n")}
    assert 500 <= len(offered) < 600
    assert "%%rexec\nn1999" in notebook("%%rexec\nn1999|")


def test_nothing_stays_behind_when_it_is_closed(notebook):
    notebook.completer.close()
    assert not notebook.shell.Completer.custom_matchers
    assert "%%rexec\ndf" not in notebook("%%rexec\nd|")


# ------------------------------------------------------------------------- in a kernel


def test_a_notebook_completes_what_a_cell_left_in_its_session(kernel):
    kernel.run("%%rexec -s tab\nimport pandas as pd\nframe_there = pd.DataFrame({'price': [1]})")
    assert "frame_there" in complete(kernel, "%%rexec -s tab\nframe_t")
    assert "columns" in complete(kernel, "%%rexec -s tab\nframe_there.co")
    assert complete(kernel, "%%rexec -s tab\nframe_there.pri") == ["price"]
    assert complete(kernel, "%%rexec -s tab\nframe_there['pr") == ["price"]
    assert "tab" in complete(kernel, "%%rexec -s |\nx")
    kernel.run("%%rexec -s tab\ndel frame_there")
    assert "frame_there" not in complete(kernel, "%%rexec -s tab\nframe_t")


def test_jobs_that_a_table_showed_are_completed_in_a_notebook(kernel):
    cell = kernel.run("%%rexec -s tab\n1")
    assert not cell.error
    kernel.run("%rexec jobs")
    job = kernel.value("get_ipython().run_line_magic('rexec', 'jobs')[0]['id'][:8]").strip("'")
    assert job in complete(kernel, "%rexec logs ")
