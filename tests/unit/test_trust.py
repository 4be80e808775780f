"""Keys, digests and message authentication codes."""

import msgspec
import pytest

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust, values

KEY = bytes(32)
JOB = "a" * 32


def test_a_key_pair_is_kept_where_only_its_owner_reads_it(tmp_path):
    path = tmp_path / "key"
    pair = trust.new_keypair()
    trust.write_keypair(path, pair)
    assert path.stat().st_mode & 0o777 == 0o600
    assert trust.read_keypair(path) == pair
    assert list(tmp_path.iterdir()) == [path]


def test_a_kept_key_pair_can_be_replaced(tmp_path):
    path = tmp_path / "key"
    trust.write_keypair(path, trust.new_keypair())
    pair = trust.new_keypair()
    trust.write_keypair(path, pair)
    assert trust.read_keypair(path) == pair


@pytest.mark.parametrize(
    "content", [b"", b"short\nshort\n", b"x" * 40, b"x" * 40 + b"\n" + b"y" * 39]
)
def test_a_file_without_a_key_pair_is_refused(tmp_path, content):
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="key"):
        trust.read_keypair(path)


def test_two_halves_that_do_not_belong_together_are_refused(tmp_path):
    path = tmp_path / "key"
    one, two = trust.new_keypair(), trust.new_keypair()
    path.write_bytes(one.public + b"\n" + two.secret)
    with pytest.raises(ValueError, match="belong together"):
        trust.read_keypair(path)


def test_ids_are_of_the_protocols_form_and_never_the_same():
    ids = {trust.new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(msgspec.convert(each, p.JobId) for each in ids)


def test_the_digest_is_that_of_the_concatenation():
    whole = trust.payload_digest([b"abcdef"])
    assert trust.payload_digest([b"abc", bytearray(b""), memoryview(b"def")]) == whole
    assert len(whole) == 32


def test_each_job_has_a_key_of_its_own_that_every_process_of_the_user_can_derive():
    secret, other = bytes(32), bytes([1] * 32)
    assert trust.job_key(secret, JOB) == trust.job_key(secret, JOB)
    keys = {trust.job_key(secret, JOB), trust.job_key(secret, "b" * 32), trust.job_key(other, JOB)}
    assert len(keys) == 3
    assert all(len(key) == 32 for key in keys)


def test_a_code_matches_its_payload_whatever_the_carrier():
    payload = values.describe([b"ab", b"c"])
    mac = trust.result_mac(KEY, JOB, 3, payload)
    assert trust.mac_matches(KEY, JOB, 3, payload, mac)
    other = msgspec.structs.replace(payload, carrier="segment", segment="f00")
    assert trust.mac_matches(KEY, JOB, 3, other, mac)


@pytest.mark.parametrize(
    ("key", "job", "seq", "parts"),
    [
        (bytes([1] * 32), JOB, 3, [b"ab", b"c"]),
        (KEY, "b" * 32, 3, [b"ab", b"c"]),
        (KEY, JOB, 4, [b"ab", b"c"]),
        (KEY, JOB, 3, [b"ab", b"d"]),
        (KEY, JOB, 3, [b"a", b"bc"]),
    ],
)
def test_a_code_matches_no_other_key_job_event_or_payload(key, job, seq, parts):
    mac = trust.result_mac(KEY, JOB, 3, values.describe([b"ab", b"c"]))
    assert not trust.mac_matches(key, job, seq, values.describe(parts), mac)
    assert not trust.mac_matches(KEY, JOB, 3, values.describe([b"ab", b"c"]), mac[:-1])
