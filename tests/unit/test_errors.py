"""The error catalogue: its classes, and the page that is made from them."""

import inspect
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core import errors

ROOT = Path(__file__).parents[2]
OWN_WORDS = (errors.WorkerLostError, errors.RemoteError, errors.StartError)


def all_errors(kind=errors.RexecError):
    yield kind
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from all_errors(each)


def example(kind):
    message, hint = kind.example
    if kind is errors.RemoteError:
        return kind("GridError", message, job="a job")
    return kind(message, hint=hint, job="a job")


def test_every_class_is_in_the_catalogue_and_public():
    assert set(all_errors()) == set(errors.CATALOGUE)
    assert all(getattr(rexec, kind.__name__) is kind for kind in errors.CATALOGUE)


def test_the_codes_are_those_of_the_catalogue():
    codes = {kind.code for kind in errors.CATALOGUE}
    assert codes == {"R00", *(f"R{number:02}" for number in range(1, 15) if number != 13)}


@pytest.mark.parametrize("kind", errors.CATALOGUE)
def test_an_error_has_code_hint_and_job_and_tells_all_it_knows(kind):
    error = example(kind)
    assert error.job == "a job"
    assert error.hint == kind.example[1]
    assert error.message in str(error)
    assert error.hint in str(error)
    if kind is not errors.RemoteError:
        assert str(error).startswith(f"[{kind.code}] ")


@pytest.mark.parametrize("kind", errors.CATALOGUE)
def test_an_error_can_be_pickled(kind):
    error = example(kind)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert vars(again) == vars(error)
    assert str(again) == str(error)


@pytest.mark.parametrize("kind", errors.CATALOGUE)
def test_a_docstring_tells_when_it_occurs_and_what_to_do(kind):
    doc = inspect.cleandoc(kind.__doc__)
    assert re.search(r"^When\n----\n\S", doc, re.MULTILINE)
    assert re.search(r"^What to do\n----------\n\S", doc, re.MULTILINE)


def test_standard_exceptions_catch_what_they_mean():
    assert issubclass(errors.JobTimeoutError, TimeoutError)
    assert issubclass(errors.ConnectionLostError, ConnectionError)
    assert issubclass(errors.CaptureError, TypeError)
    assert issubclass(errors.SessionBusyError, errors.QuotaError)


def test_a_lost_worker_shows_the_last_twenty_lines_of_output():
    error = errors.WorkerLostError("It is gone.", log=[f"line {number}" for number in range(50)])
    assert str(error).splitlines()[-20:] == [f"line {number}" for number in range(30, 50)]
    assert "line 29" not in str(error)


def test_the_page_is_up_to_date():
    made = subprocess.run(
        [sys.executable, ROOT / "scripts" / "error_page.py"],
        capture_output=True,
        text=True,
        check=True,
    )
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert made.stdout == page, "run: python scripts/error_page.py > docs/errors.md"


def test_the_page_tells_of_every_class_and_of_syntax_errors():
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    for kind in errors.CATALOGUE:
        assert f"`{kind.__name__}`" in page
        assert str(example(kind)) in page
    assert "R13" in page
