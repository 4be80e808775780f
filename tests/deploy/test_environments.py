"""Requirements as users write them, and as they are handed on."""

import contextlib
import string
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from rexec_deploy_api.environments import RequirementsError, parse


def lines(*written, **settings):
    return parse(written, **settings).lines


def refusal(*written, **settings):
    with pytest.raises(RequirementsError) as caught:
        parse(written, **settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "handed_on"),
    [
        ("numpy", "numpy"),
        ("  NumPy >= 1.20 , < 3 ", "numpy<3,>=1.20"),
        ("scikit_learn==1.5.*", "scikit-learn==1.5.*"),
        ("pkg[B,a_x]~=1.4", "pkg[a-x,b]~=1.4"),
        ("six # because", "six"),
        ("six\t#because", "six"),
        ("six (>=1.0)", "six>=1.0"),
        ("six===1.0", "six===1.0"),
        ("six\r\n", "six"),
        ("six;python_version<'3.12'", 'six; python_version < "3.12"'),
        (
            'a; sys_platform == "linux" and extra != "x"',
            'a; sys_platform == "linux" and extra != "x"',
        ),
    ],
)
def test_a_requirement_is_written_anew(written, handed_on):
    assert lines(written) == (handed_on,)
    assert lines(handed_on) == (handed_on,)


def test_blank_lines_and_comments_are_left_out():
    found = parse(["", "   ", "# naïve --index-url x", "\t# y", "six"])
    assert found.lines == ("six",)
    assert found.text == "six\n"


def test_nothing_at_all():
    found = parse(["", "# nothing"])
    assert (found.lines, found.python, found.digest, found.text) == ((), "", "", "")


def test_order_spelling_and_repetition_make_no_difference():
    first = parse(["NumPy>=1,<3", "six", "six", "python==3.11"])
    second = parse(["python == 3.11.*", "six # again", "numpy<3,>=1"])
    assert first == second
    assert first.lines == ("numpy<3,>=1", "six")
    assert first.digest != parse(["numpy<3,>=1", "six"]).digest
    assert len(first.digest) == 16
    assert set(first.digest) <= set(string.hexdigits)


@pytest.mark.parametrize(
    "written",
    [
        "six; rm -rf /",
        "six; $(reboot)",
        "six \\",
        "six>=",
        "six==1 six",
        "six && reboot",
        "six | cat",
        "$(reboot)",
        "`reboot`",
        "six > /etc/passwd",
        "six\nnumpy",
        "six\r--index-url=http://evil",
        "six\x00",
        "six\x0bnumpy",
        "six\x1b[2J",
        "six\x85numpy",
        "six\u2028numpy",
        "nümpy",
        "\uff4eumpy",
        "six\u200b",
        "{{ 7*7 }}",
        "${HOME}",
        "six==",
        "==1.0",
        "'six'",
        "six==1.0 'x'",
        "../six",
        "./six",
        "/etc/passwd",
        "~/six",
        ".",
        "-e .",
        "six @",
        "a" * 300,
        "six==" + "1" * 300,
        "six==1.0==2.0",
        "six[",
        "six; nonsense == '3'",
        "six; python_version < '3'; reboot",
    ],
)
def test_anything_else_is_refused(written):
    told = refusal("numpy", written)
    assert told.startswith("Line 2: ")
    assert "\n" not in told
    assert len(told) < 250
    assert told.isprintable()


@pytest.mark.parametrize(
    ("written", "option"),
    [
        ("--index-url http://user:secret@host/", "--index-url"),
        ("--index-url=http://user:secret@host/", "--index-url"),
        ("-ihttp://user:secret@host/", "-ihttp"),
        ("--extra-index-url https://host", "--extra-index-url"),
        ("-r /etc/passwd", "-r"),
        ("six==1 --no-deps", "--no-deps"),
        ("-e git+https://x", "-e"),
        ("six --hash=sha256:00", "--hash"),
        ("jupyter-client --install-option=x", "--install-option"),
        ("six -c file", "-c"),
        ("six\t--no-binary", "--no-binary"),
    ],
)
def test_options_are_refused(written, option):
    told = refusal(written)
    assert f"options such as {option} are not allowed" in told
    assert "secret" not in told


@pytest.mark.parametrize(
    "written",
    [
        "pkg @ https://user:secret@host/pkg.whl",
        "pkg @ git+https://host/pkg.git@main",
        "pkg @ git+ssh://git@host/x",
        "pkg@http://169.254.169.254/latest",
        "pkg @ file:///etc/passwd",
        "https://user:secret@host/pkg.whl",
        "git+https://host/pkg.git",
        "file:///etc/passwd",
    ],
)
def test_addresses_are_refused(written):
    told = refusal(written)
    assert "address" in told
    assert "secret" not in told
    assert "://" not in told


def test_addresses_where_they_are_allowed():
    written = "Pkg[x] @ git+https://host/pkg.git@main ; python_version > '3.9'"
    (found,) = lines(written, allow_urls=True)
    assert found == 'pkg[x] @ git+https://host/pkg.git@main ; python_version > "3.9"'
    assert lines(found, allow_urls=True) == (found,)
    for local in ("file:///etc/passwd", "/etc/passwd", "ftp://host/x", "git+file:///x"):
        assert "Line 1: " in refusal(f"pkg @ {local}", allow_urls=True)


@pytest.mark.parametrize("written", ["python==3.11", "Python == 3.11.4", "python==3.11.*"])
def test_a_version_of_python(written):
    found = parse([written, "six"])
    assert (found.python, found.lines) == ("3.11", ("six",))
    assert parse([written]).digest


@pytest.mark.parametrize(
    "written",
    [
        "python==3.11; sys_platform == 'linux'",
        "python",
        "python>=3.9",
        "python==2.7",
        "python==3",
        "python[x]==3.11",
        "python<4,==3.11",
    ],
)
def test_no_version_of_python(written):
    assert "asked for like 'python==3.11'" in refusal(written)


def test_two_versions_of_python():
    told = refusal("python==3.11", "python==3.12")
    assert (
        told == "Python is asked for in more than one version: 3.11 in line 1 and 3.12 in line 2."
    )


def test_two_versions_of_a_package():
    assert refusal("six==1.0", "", "Six==1.1") == "Line 3: Six is asked for otherwise in line 1."
    assert len(lines("six==1.0; python_version<'3.9'", "six==1.1; python_version>='3.9'")) == 2
    assert lines("six==1.0", "six") == ("six", "six==1.0")


def test_many_lines():
    many = [f"package-{number}" for number in range(10_000)]
    assert refusal(*many) == "There are more than 500 requirements."
    assert len(lines(*many, limit=10_000)) == 10_000
    assert lines(*["six"] * 400) == ("six",)
    assert lines(*["# nothing"] * 10_000) == ()


@pytest.mark.parametrize(
    "written",
    [
        "six" + " " * 1_000_000 + "x",
        "six" + " \t" * 500_000 + "#",
        "a[" + "b," * 500_000,
        "six; " + "(" * 1_000_000,
        "-" * 1_000_000,
    ],
    ids=["blanks", "comment", "extras", "brackets", "dashes"],
)
def test_odd_lines_take_no_time(written):
    began = time.process_time()
    with contextlib.suppress(RequirementsError):
        parse([written])
    assert time.process_time() - began < 1


def test_many_lines_take_no_time():
    began = time.process_time()
    refusal(*[f"package-{number}>=1.0,<2; python_version > '3.9'" for number in range(10_000)])
    assert time.process_time() - began < 1


def test_many_errors_are_counted():
    told = refusal(*["-x"] * 100).splitlines()
    assert len(told) == 6
    assert told[-1] == "95 more lines are wrong."
    assert refusal(*["-x"] * 6).endswith("1 more line is wrong.")


@given(st.lists(st.text(max_size=80), max_size=5))
@example(["six\n", "\ud800"])
@example(["a; '\\' == \"'\""])
def test_what_is_handed_on_is_nothing_but_requirements(written):
    try:
        found = parse(written, allow_urls=True)
    except RequirementsError:
        return
    for line in found.text.splitlines():
        assert line.isascii()
        assert line.isprintable()
        assert not line.startswith("-")
        Requirement(line)


@given(st.text(alphabet="abcXYZ019-_.[],;<>=!~ @#:/'\"()\\\t\n$`|&{}%", max_size=40))
def test_whatever_is_accepted_stays_as_it_is(written):
    try:
        found = parse([written], allow_urls=True)
    except RequirementsError:
        return
    again = parse(found.lines, allow_urls=True)
    assert again.lines == found.lines
    assert len(found.text.splitlines()) == len(found.lines)
