"""Where settings come from, which of them wins, and what is said of those that are wrong."""

import json
import stat

import pytest

from rexec_jupyter.core import quantities
from rexec_jupyter.core.defaults import SETTINGS
from rexec_jupyter.core.errors import NotConfiguredError
from rexec_jupyter.core.settings import SettingError, Settings, parse


class Place:
    """A process' surroundings: its environment, its folder, its notebook."""

    def __init__(self, folder):
        self.folder = folder
        self.notebook = folder / "work.ipynb"
        self.environment = {
            "REXEC_CONFIG_DIR": str(folder / "config"),
            "JPY_SESSION_NAME": str(self.notebook),
        }
        self.settings = Settings(self.environment)

    def write(self, text):
        self.settings.path.parent.mkdir(exist_ok=True)
        self.settings.path.write_text(text)

    def annotate(self, **metadata):
        content = {"cells": [], "metadata": {"rexec": metadata}, "nbformat": 4}
        self.notebook.write_text(json.dumps(content))

    def told(self, name):
        return self.settings.effective()[name]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_each_source_beats_the_ones_below_it(place):
    assert place.told("timeout") == (None, "built in")
    place.environment["REXEC_TIMEOUT"] = "1s"
    assert place.told("timeout") == (1.0, "environment")
    place.write('timeout = "2s"\n')
    assert place.told("timeout") == (2.0, str(place.settings.path))
    place.settings.configure({"timeout": "3s"})
    assert place.told("timeout") == (3.0, "RexecMagics")
    place.annotate(timeout="4s")
    assert place.told("timeout") == (4.0, "notebook metadata")
    place.settings.set("timeout", "5s")
    assert place.told("timeout") == (5.0, "%rexec config")
    assert place.settings.now().timeout == 5.0


def test_what_was_set_can_be_unset(place):
    place.environment["REXEC_SESSION"] = "lab"
    place.settings.set("session", "other")
    assert place.settings.set("session", None) == "lab"
    assert place.told("session") == ("lab", "environment")


def test_every_setting_can_be_told_and_understood_again():
    for setting in SETTINGS.values():
        assert setting.read(setting.write(setting.default)) == setting.default


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("timeout", "none", None),
        ("timeout", 90, 90.0),
        ("max-send", "1 GiB", 1024**3),
        ("max_shown", 4096, 4096),
        ("quiet", True, True),
        ("quiet", "off", False),
        ("return", "ref", "ref"),
        ("aliases", ["rx", "far"], ("rx", "far")),
        ("aliases", "", ()),
        ("progress_after", "0", 0.0),
    ],
)
def test_values_may_be_text_or_what_files_hold(name, text, value):
    assert parse(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("timout", "5", "there is no setting 'timout'; did you mean timeout?"),
        ("timeout", "soon", "timeout: 'soon' is no duration; write 30, 30s, 5m or 2h"),
        ("timeout", "0", "timeout: '0' is no duration one can wait for"),
        ("max_send", "1 XB", "max_send: '1 XB' is no size; write 100MB, 1.5 GB or 1 GiB"),
        ("quiet", "maybe", "quiet: 'maybe' is neither true nor false"),
        ("capture", "all", "capture: 'all' is none of auto, none, strict"),
        ("session", "", "session: the name of a session has 1 to 64 characters"),
        ("session", "a\nb", "session: the name of a session has"),
        ("aliases", "a b", "aliases: 'a b' is no name of a magic"),
    ],
)
def test_a_wrong_value_is_refused_with_a_reason(place, name, text, complaint):
    with pytest.raises(SettingError) as caught:
        place.settings.set(name, text, save=True)
    assert complaint in str(caught.value)
    assert not place.settings.path.exists()


def test_what_is_saved_holds_for_the_next_process_and_is_nobody_elses_business(place):
    place.settings.set("timeout", "5m", save=True)
    place.settings.set("session", 'my "lab"', save=True)
    later = Settings(place.environment)
    assert later.now().timeout == 300.0
    assert later.now().session == 'my "lab"'
    assert stat.S_IMODE(place.settings.path.stat().st_mode) == 0o600
    assert list(place.settings.path.parent.iterdir()) == [place.settings.path]


def test_saving_leaves_the_rest_of_the_file_alone(place):
    place.write('# mine\ntimeout = "2s"  # short\nquiet = true\n')
    place.settings.set("timeout", "5m", save=True)
    place.settings.set("capture", "none", save=True)
    text = place.settings.path.read_text()
    assert "# mine" in text
    assert "quiet = true" in text
    assert text.count("timeout") == 1
    assert Settings(place.environment).now().timeout == 300.0


def test_a_file_that_changes_is_read_again(place):
    place.write('timeout = "2s"\n')
    assert place.settings.now().timeout == 2.0
    place.write('timeout = "200s"\n')
    assert place.settings.now().timeout == 200.0
    place.settings.path.unlink()
    assert place.settings.now().timeout is None


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (
            lambda place: place.environment.update(REXEC_TIMEOUT="soon"),
            "The environment variable REXEC_TIMEOUT cannot be understood: timeout: 'soon'",
        ),
        (lambda place: place.write("timeout ="), "config.toml cannot be read"),
        (lambda place: place.write('timout = "1s"'), "'timout' in .*did you mean timeout?"),
        (lambda place: place.annotate(capture="all"), "'capture' in the notebook's metadata"),
        (lambda place: place.annotate(url="https://evil"), "metadata may not set 'url'"),
    ],
)
def test_what_cannot_be_understood_is_named_with_its_place(place, spoil, complaint):
    spoil(place)
    with pytest.raises(NotConfiguredError, match=complaint) as caught:
        place.settings.now()
    assert caught.value.code == "R01"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"metadata": 5}', '{"metadata": {}}'])
def test_a_notebook_that_cannot_be_read_sets_nothing(place, content):
    place.notebook.write_text(content)
    assert place.told("timeout") == (None, "built in")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("30", 30), ("30s", 30), ("500ms", 0.5), ("5m", 300), ("5 min", 300)),
        *(("2h", 7200), ("1d", 86400), (".5 M", 30), ("1.5h", 5400)),
    ],
)
def test_durations_have_units(text, seconds):
    assert quantities.duration(text) == seconds


@pytest.mark.parametrize("text", ["-1", "5x", "1:30", "inf", "٣", "", "1e3", "nan"])
def test_other_words_are_no_durations(text):
    with pytest.raises(ValueError, match="is no duration"):
        quantities.duration(text)


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        *(("4096", 4096), ("1kB", 1000), ("1 KiB", 1024), ("100MB", 10**8), ("100M", 10**8)),
        *(("1.5 GB", 1_500_000_000), ("2TiB", 2 * 1024**4), ("0", 0), ("10 b", 10)),
    ],
)
def test_sizes_have_units(text, nbytes):
    assert quantities.size(text) == nbytes


@pytest.mark.parametrize("text", ["-1", "1 XB", "1iB", "MB", "", "1e9", "all"])
def test_other_words_are_no_sizes(text):
    with pytest.raises(ValueError, match="is no size"):
        quantities.size(text)


@pytest.mark.parametrize("nbytes", [0, 1, 1000, 1024, 10**8, 1024**3, 12345])
def test_a_size_is_written_as_it_is_read(nbytes):
    assert quantities.size(quantities.written_size(nbytes)) == nbytes


@pytest.mark.parametrize("seconds", [0.5, 1, 60, 90, 300, 3600, 86400])
def test_a_duration_is_written_as_it_is_read(seconds):
    assert quantities.duration(quantities.written_duration(seconds)) == seconds
