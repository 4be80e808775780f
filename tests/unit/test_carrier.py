"""Payloads as files between processes of one user."""

import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from rexec_jupyter.core import carrier, values
from rexec_jupyter.core import protocol as p


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "exchange"
    path.mkdir(mode=0o700)
    return path


def state(directory, **fields):
    values = {"exchange": str(directory), "machine": carrier.machine_id(directory)} | fields
    return p.ServerState(state="ready", **values)


def hand_over(directory, value):
    """Return the payload of a value that was written as a file."""
    parts = values.dump(value)
    name = carrier.write_segment(str(directory), parts)
    return msgspec.structs.replace(values.describe(parts), carrier="segment", segment=name)


def test_a_value_passes_as_a_file_without_being_copied_into_memory(directory):
    array = np.arange(100_000)
    payload = hand_over(directory, {"array": array, "more": [np.ones(3), np.zeros(0)]})
    buffer, authentic = carrier.read_segment(str(directory), payload)
    assert authentic
    result = values.load(values.split(buffer, payload.sizes))
    assert (result["array"] == array).all()
    assert np.shares_memory(result["array"], np.frombuffer(buffer, np.uint8))


@pytest.mark.parametrize("count", [1000, 300_000])
def test_what_a_reader_changes_nobody_else_sees(directory, count):
    payload = hand_over(directory, np.zeros(count))
    buffer, _ = carrier.read_segment(str(directory), payload)
    values.load(values.split(buffer, payload.sizes))[:] = 1
    again, authentic = carrier.read_segment(str(directory), payload)
    assert authentic
    assert not values.load(values.split(again, payload.sizes)).any()


def test_small_values_that_are_kept_use_up_no_descriptors(directory):
    payloads = [hand_over(directory, np.full(10_000, number)) for number in range(20)]
    before = len(list(Path("/proc/self/fd").iterdir()))
    kept = [carrier.read_segment(str(directory), payload)[0] for payload in payloads]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    arrays = [
        values.load(values.split(buffer, payload.sizes))
        for buffer, payload in zip(kept, payloads, strict=True)
    ]
    assert [array[0] for array in arrays] == list(range(20))


@pytest.mark.parametrize("count", [1000, 300_000])
def test_the_file_may_go_while_it_is_in_use(directory, count):
    payload = hand_over(directory, np.ones(count))
    buffer, _ = carrier.read_segment(str(directory), payload)
    carrier.drop_segment(str(directory), payload.segment)
    carrier.drop_segment(str(directory), payload.segment)
    assert not list(directory.iterdir())
    assert values.load(values.split(buffer, payload.sizes)).all()


def test_many_parts_are_all_written(directory):
    parts = [bytes([number % 256]) * (number % 7) for number in range(3000)]
    name = carrier.write_segment(str(directory), parts)
    assert (directory / name).read_bytes() == b"".join(parts)
    assert (directory / name).stat().st_mode & 0o777 == 0o600


def test_a_file_with_other_bytes_is_not_authentic(directory):
    payload = hand_over(directory, b"x" * 1000)
    with (directory / payload.segment).open("r+b") as file:
        file.write(b"?")
    assert carrier.read_segment(str(directory), payload)[1] is False


def test_a_file_of_another_size_a_link_or_a_directory_is_refused(directory):
    payload = hand_over(directory, b"x" * 1000)
    path = directory / payload.segment
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(OSError, match="not a file of ours"):
        carrier.read_segment(str(directory), payload)
    target = path.rename(directory / "target")
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        carrier.read_segment(str(directory), payload)
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match="not a file of ours"):
        carrier.read_segment(str(directory), payload)
    with pytest.raises(OSError, match="not a file of ours"):
        carrier.read_segment(str(directory), msgspec.structs.replace(payload, segment=""))


def test_nothing_is_left_where_there_is_no_room(directory, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(OSError, match="No space"):
        carrier.write_segment(str(directory), [b"x"])
    assert not list(directory.iterdir())


def test_files_are_shared_only_through_a_private_directory_that_is_the_very_same(directory):
    assert carrier.can_share(state(directory))
    assert not carrier.can_share(state(directory, machine="elsewhere"))
    assert not carrier.can_share(state(directory, exchange=""))
    assert not carrier.can_share(state(directory, exchange=str(directory / "none")))
    assert not carrier.can_share(state(directory, exchange="nul\0l"))
    announced = state(directory)
    directory.chmod(0o750)
    assert not carrier.can_share(announced)
    directory.chmod(0o700)
    moved = directory.rename(directory.with_name("moved"))
    assert not carrier.can_share(announced)
    directory.symlink_to(moved)
    assert not carrier.can_share(announced)


def test_the_machine_is_told_apart_by_its_directory(directory, tmp_path):
    assert carrier.machine_id(directory) == carrier.machine_id(str(directory))
    assert carrier.machine_id(directory) != carrier.machine_id(tmp_path)
    assert len(carrier.machine_id(directory)) <= 128


def test_no_descriptor_is_left_open(directory):
    payload = hand_over(directory, b"x" * 1000)
    before = descriptors()
    for _ in range(10):
        carrier.read_segment(str(directory), payload)
        hand_over(directory, 1)
    assert descriptors() == before


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))
