"""What kinds of servers there are, and how far a user may have one otherwise."""

import json

import pytest
from pydantic import ValidationError

from rexec_deploy_api.environments import parse
from rexec_deploy_api.profiles import (
    Clocks,
    NotAllowedError,
    Profile,
    Wanted,
    read_profiles,
    spec_of,
)
from rexec_jupyter.web.settings import SettingsError

CLOCKS = Clocks(idle_timeout=600, orphan_timeout=0, max_lifetime=0, start_timeout=120)
NOTHING = parse([])
PROFILE = {
    "name": "small",
    "image": "a:1",
    "images": ["b:2"],
    "python": "3.11",
    "cpu": 2,
    "memory": "4GiB",
    "gpu": 1,
    "environment": {"MODE": "fast"},
    "home": "10GiB",
    "volumes": [{"claim": "data", "path": "/data"}],
    "node_selector": {"kind": "cpu"},
    "idle_timeout": "1h",
    "orphan_timeout": 0,
}


@pytest.fixture
def profile():
    return Profile.model_validate(PROFILE)


def written(tmp_path, content):
    file = tmp_path / "profiles.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_without_a_file_there_is_one_profile():
    profiles = read_profiles(None, CLOCKS)
    assert (profiles.first, len(profiles.profiles)) == ("default", 1)
    spec = spec_of(profiles.named(""), Wanted(), NOTHING)
    assert (spec.idle_timeout, spec.start_timeout, spec.cpu) == (600, 120, 0)


def test_a_profile_gives_what_it_says(profile):
    environment = parse(["numpy"])
    spec = spec_of(profile, Wanted(), environment)
    assert (spec.image, spec.python, spec.cpu, spec.memory, spec.gpu) == (
        "a:1",
        "3.11",
        2,
        4 << 30,
        1,
    )
    assert (spec.home, spec.volumes[0].claim, spec.volumes[0].read_only) == (10 << 30, "data", True)
    digest = parse(["numpy", "python==3.11"]).digest
    assert (spec.requirements, spec.requirements_digest) == (("numpy",), digest)
    assert (spec.environment, spec.node_selector) == ({"MODE": "fast"}, {"kind": "cpu"})
    assert (spec.idle_timeout, spec.orphan_timeout, spec.max_lifetime) == (3600, 0, 0)
    assert spec_of(profile, Wanted(), parse(["python==3.12"])).python == "3.12"


def test_a_python_that_is_there_needs_no_environment(profile):
    plain, asked = Profile(), parse(["python==3.11"])
    spec = spec_of(plain, Wanted(), asked, python="3.11")
    assert (spec.python, spec.requirements_digest) == ("", "")
    assert spec == spec_of(plain, Wanted(), NOTHING, python="3.11")
    other = spec_of(plain, Wanted(), asked, python="3.12")
    assert (other.python, other.requirements_digest) == ("3.11", asked.digest)
    # What an image has that the operator named nobody knows.
    assert spec_of(profile, Wanted(), asked, python="3.11").requirements_digest == asked.digest
    packages = parse(["numpy", "python==3.11"])
    assert spec_of(plain, Wanted(), packages, python="3.11").requirements_digest == packages.digest


def test_what_is_kept_ready_is_nobodys(tmp_path):
    for more in ({"home": "1GiB"}, {"volumes": [{"claim": "data", "path": "/data"}]}):
        with pytest.raises(SettingsError, match="no home and no volumes"):
            read_profiles(written(tmp_path, [{"name": "a", "warm": 1, **more}]), CLOCKS)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"cpu": 1}, {"cpu": 1}),
        ({"cpu": 2}, {"cpu": 2}),
        ({"memory": "1 GiB"}, {"memory": 1 << 30}),
        ({"gpu": 0}, {"gpu": 0}),
        ({"image": "b:2"}, {"image": "b:2"}),
        ({"image": "a:1"}, {"image": "a:1"}),
        ({"idle_timeout": 60}, {"idle_timeout": 60}),
        ({"orphan_timeout": "5m"}, {"orphan_timeout": 300}),
        ({"max_lifetime": 100}, {"max_lifetime": 100}),
        ({"environment": {"X": "1"}}, {"environment": {"MODE": "fast", "X": "1"}}),
    ],
)
def test_it_can_be_narrowed(profile, asked, given):
    spec = spec_of(profile, Wanted(**asked), NOTHING)
    assert {name: getattr(spec, name) for name in given} == given


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"cpu": 2.1}, "cpu: 2.1 is more than the 2.0 of the profile 'small'"),
        ({"cpu": 0}, "cpu: no limit is more"),
        ({"memory": "5GiB"}, "memory: 5GiB is more than the 4GiB"),
        ({"memory": 0}, "memory: no limit is more"),
        ({"gpu": 2}, "gpu: 2 is more than the 1"),
        ({"idle_timeout": 3601}, "more than the 1h"),
        ({"idle_timeout": 0}, "idle_timeout: no limit"),
        ({"image": "c:3"}, "it has: a:1, b:2"),
        ({"environment": {"MODE": "slow"}}, "sets MODE itself"),
    ],
)
def test_it_cannot_be_widened(profile, asked, told):
    with pytest.raises(NotAllowedError, match=told):
        spec_of(profile, Wanted(**asked), NOTHING)


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "home",
        "REXEC_X",
        "LD_PRELOAD",
        "PYTHONPATH",
        "pythonhome",
        "UV_X",
        "A B",
        "1A",
        "",
    ],
)
def test_some_variables_are_nobodys(name):
    with pytest.raises(ValidationError):
        Wanted(environment={name: "x"})
    with pytest.raises(ValidationError):
        Profile(environment={name: "x"})


def test_variables_have_an_end():
    with pytest.raises(ValidationError):
        Wanted(environment={f"A{number}": "" for number in range(65)})
    with pytest.raises(ValidationError):
        Wanted(environment={"A": "x" * 5000})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not JSON"),
        ([], "there is no profile"),
        ([{"name": "a"}, {"name": "a"}], "more than one profile 'a'"),
        ({"default": "b", "profiles": [{"name": "a"}]}, "'b' is not among"),
        ([{"name": "A b"}], "lower-case"),
        ([{"name": "a", "cpus": 1}], "profiles.0.cpus"),
        ([{"name": "a", "memory": "much"}], "profiles.0.memory: 'much' is no size"),
        ([{"name": "a", "cpu": -1}], "profiles.0.cpu"),
        ([{"name": "a", "idle_timeout": "soon"}], "profiles.0.idle_timeout: 'soon'"),
        ([{"name": "a", "image": "x; rm -rf /"}], "no name of an image"),
        ([{"name": "a", "volumes": [{"claim": "c", "path": "data"}]}], "volumes.0.path"),
        ([{"name": "a", "start_timeout": 0}], "start_timeout"),
        ("3", ""),
    ],
)
def test_a_file_that_cannot_be_is_told(tmp_path, content, told):
    with pytest.raises(SettingsError) as refused:
        read_profiles(written(tmp_path, content), CLOCKS)
    assert told in str(refused.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        read_profiles(tmp_path / "none.json", CLOCKS)


def test_the_first_profile_is_the_default(tmp_path):
    profiles = read_profiles(written(tmp_path, [{"name": "a"}, {"name": "b"}]), CLOCKS)
    assert profiles.first == "a"
    assert profiles.named("b").name == "b"
    with pytest.raises(NotAllowedError, match="there are: a, b"):
        profiles.named("c")
