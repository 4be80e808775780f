"""The journal and the payload files of the agent, on a real disk."""

import os
import resource
import signal
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from rexec_server.agent.job import Limits
from rexec_server.agent.journal import DiskJournal, JournalBusyError
from rexec_server.agent.records import Begun, StorageFullError
from rexec_server.agent.spool import DiskSpool
from tests.protocol.agents import Agent

SEGMENT = 16 * 1024


@pytest.fixture
def opened(tmp_path):
    """Return a function that opens the journal, having closed it as told before."""
    journals = []

    def open_(*, clean=True, **options):
        while journals:
            last = journals.pop()
            last.close() if clean else abandon(last)
        options.setdefault("segment", SEGMENT)
        journals.append(DiskJournal(tmp_path, **options))
        return journals[-1]

    yield open_
    while journals:
        journals.pop().close()


def abandon(journal):
    """Leave a journal as `kill -9` does."""
    for segment in journal._segments:
        segment.close()
    os.close(journal._lock)


def begun(n=0):
    return Begun(f"{n:032x}")


def found(journal):
    return [(entry.record.job, journal.read(entry.position)[1]) for entry in journal.replay()]


def last_segment(directory):
    return max(
        path for path in (directory / "journal").glob("*.log") if path.read_bytes().strip(b"\0")
    )


def test_what_was_written_is_read_again_after_a_restart(opened):
    journal = opened()
    list(journal.replay())
    positions = [journal.append(begun(n), b"x" * n) for n in range(300)]
    assert journal.read(positions[7]) == (begun(7), b"x" * 7)
    journal.flush()
    assert journal.read(positions[299]) == (begun(299), b"x" * 299)
    journal = opened(clean=False)
    assert found(journal) == [(f"{n:032x}", b"x" * n) for n in range(300)]
    assert journal.trusted


def test_the_journal_keeps_its_name_and_counts_its_openings(opened):
    first = opened()
    name, epoch = first.id, first.epoch
    second = opened()
    assert (second.id, second.epoch) == (name, epoch + 1)


def test_an_unreadable_identity_makes_a_new_journal_and_keeps_the_old_files(opened, tmp_path):
    journal = opened()
    list(journal.replay())
    journal.append(begun())
    name = journal.id
    journal.flush()
    (tmp_path / "identity.json").write_text("{")
    abandon(journal)
    other = DiskJournal(tmp_path, segment=SEGMENT)
    assert other.id != name
    assert found(other) == []
    assert list(tmp_path.glob("journal-before-*/*.log"))
    other.close()
    journal._lock = os.open(tmp_path / "lock", os.O_RDWR)  # for the fixture to close


def test_two_agents_cannot_use_one_directory(opened, tmp_path):
    opened()
    with pytest.raises(JournalBusyError, match="another agent"):
        DiskJournal(tmp_path)


def test_a_torn_tail_is_cut_off_and_what_is_before_it_stays(opened, tmp_path):
    journal = opened()
    list(journal.replay())
    for n in range(3):
        journal.append(begun(n), b"payload")
    journal.flush()
    abandon_at = last_segment(tmp_path)
    content = abandon_at.read_bytes().rstrip(b"\0")
    os.truncate(abandon_at, len(content) - 4)
    journal = opened(clean=False)
    assert [job for job, _ in found(journal)] == [f"{n:032x}" for n in range(2)]
    assert journal.trusted
    journal.append(begun(9))
    journal.flush()
    journal = opened(clean=False)
    assert [job for job, _ in found(journal)] == [f"{n:032x}" for n in (0, 1, 9)]


def test_damage_in_the_middle_is_noticed(opened, tmp_path):
    journal = opened()
    list(journal.replay())
    for n in range(5):
        journal.append(begun(n), b"payload")
    journal.flush()
    path = last_segment(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content.rstrip(b"\0")) // 2] ^= 0xFF
    path.write_bytes(content)
    journal = opened(clean=False)
    assert len(found(journal)) < 5
    assert not journal.trusted


def test_after_a_power_failure_a_journal_without_fsync_is_not_trusted(opened, monkeypatch):
    def opened_after_reboot(**options):
        journal = opened(clean=False, **options)
        found(journal)
        return journal.trusted

    opened()
    monkeypatch.setattr("rexec_server.agent.journal._boot", lambda: "another boot")
    assert not opened_after_reboot(fsync=True)
    monkeypatch.setattr("rexec_server.agent.journal._boot", lambda: "a third boot")
    assert opened_after_reboot()


@given(st.lists(st.binary(max_size=200), max_size=20), st.data())
def test_any_bytes_at_the_end_do_no_harm(tmp_path_factory, payloads, data):
    directory = tmp_path_factory.mktemp("journal")
    journal = DiskJournal(directory, segment=SEGMENT)
    list(journal.replay())
    for n, content in enumerate(payloads):
        journal.append(begun(n), content)
    journal.flush()
    abandon(journal)
    paths = sorted((directory / "journal").glob("*.log"))
    written = paths[0].read_bytes()
    cut = data.draw(st.integers(0, len(written.rstrip(b"\0"))))
    paths[0].write_bytes(written[:cut] + data.draw(st.binary(max_size=100)))
    journal = DiskJournal(directory, segment=SEGMENT)
    rest = found(journal)
    assert rest == [(f"{n:032x}", payloads[n]) for n in range(len(rest))]
    journal.append(begun(99))
    journal.close()
    journal = DiskJournal(directory, segment=SEGMENT)
    assert found(journal)[-1][0] == f"{99:032x}"
    journal.close()


def test_files_go_when_nothing_in_them_is_needed(opened, tmp_path):
    journal = opened()
    list(journal.replay())
    for n in range(200):
        position = journal.append(begun(n), b"x" * 1000)
        journal.flush()
        journal.drop(position)
    journal.flush()
    assert journal.size <= 2 * SEGMENT
    assert len(list((tmp_path / "journal").glob("*.log"))) <= 3  # one is to spare


# ---------------------------------------------------------------- together with the machine


def test_one_old_job_does_not_keep_the_journal_of_all_later_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("rexec_server.agent.recovery.SLACK", 4 * SEGMENT)
    journal = DiskJournal(tmp_path / "state", segment=SEGMENT)
    agent = Agent(journal=journal).ready(1, 2)
    old = agent.submit(b"old", label="old")
    pid = agent.machine._shared.jobs[old].pid
    agent.prints("old text", pid=pid)
    for _ in range(500):
        job = agent.submit(b"x" * 1000)
        agent.commands()
        agent.returns(job, b"y" * 1000, pid=3 - pid)
        agent.ack(job, 2)
        agent.sent()
        agent.wait(1.0)
    assert journal.size < 8 * SEGMENT
    agent.returns(old, b"old value", pid=pid)
    agent.sent()
    abandon(journal)

    agent.journal = DiskJournal(tmp_path / "state", segment=SEGMENT)
    agent.start()
    agent.ready()
    agent.attach(old)
    started, output, done = agent.sent(p.Event)
    assert [started.seq, output.seq, done.seq] == [1, 2, 3]
    assert agent.commands() == []
    agent.journal.close()


def test_a_job_that_runs_and_was_moved_does_not_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr("rexec_server.agent.recovery.SLACK", 4 * SEGMENT)
    journal = DiskJournal(tmp_path / "state", segment=SEGMENT)
    agent = Agent(journal=journal, slots=1).ready()
    running, waiting = agent.submit(b"running"), agent.submit(b"waiting")
    agent.ack(running, 1)
    first = journal._segments[0].number
    for _ in range(100):
        agent.prints("z" * 10_000)
        agent.ack(running, agent.sent()[-1].seq, credit=2**40)
        agent.wait(1.0)
    assert journal._segments[0].number > first
    agent.commands()
    abandon(journal)

    agent.journal = DiskJournal(tmp_path / "state", segment=SEGMENT)
    agent.start()
    agent.ready()
    ((_, command, content),) = agent.machine.commands()
    assert (command.job, bytes(content)) == (waiting, b"waiting")
    agent.journal.close()


FILL = """
    import os, resource, sys
    from pathlib import Path
    from rexec_jupyter.core import protocol as p
    from rexec_server.agent.journal import DiskJournal
    from tests.protocol.agents import Agent

    directory = Path(sys.argv[1])
    journal = DiskJournal(directory / "state", segment=64 * 1024)
    agent = Agent(journal=journal, slots=1).ready()
    accepted = [agent.submit()]
    agent.sent()
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(file.tell() - 256 * 1024)
    while True:
        job = agent.submit(os.urandom(5000))
        sent = agent.sent()
        if nacks := [m for m in sent if isinstance(m, p.Nack)]:
            break
        assert any(isinstance(m, p.Journaled) for m in sent)
        accepted.append(job)
    assert [nack.code for nack in nacks] == ["full"], nacks
    print(len(accepted))
    for n, job in enumerate(accepted):
        assert [c.job for c in agent.commands()] == [job]
        agent.prints("text " * 100)
        agent.returns(job, b"result")
        done = agent.sent(p.Done)[-1]
        assert done.job == job
        if n == 0:
            agent.submit(os.urandom(5000))
            assert [m.code for m in agent.sent(p.Nack)] == ["full"]
    for job in accepted:
        agent.ack(job, 99)
    ballast.unlink()
    agent.submit()
    assert agent.sent(p.Journaled)
    journal.close()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_refuses_new_jobs_and_delivers_the_others(tmp_path):
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=True, timeout=10
    )
    try:
        command = [sys.executable, "-c", textwrap.dedent(FILL), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) > 1
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True, timeout=10)


def test_a_limit_on_file_sizes_refuses_new_jobs_and_ends_nothing(tmp_path):
    journal = DiskJournal(tmp_path / "state", segment=SEGMENT)
    agent = Agent(journal=journal, slots=1).ready()
    job = agent.submit()
    agent.commands()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SEGMENT // 2, old[1]))
    try:
        codes = []
        while not codes:
            agent.submit(b"x" * 5000)
            codes = [m.code for m in agent.sent(p.Nack)]
        assert codes == ["full"]
        agent.returns(job)
        assert agent.sent(p.Done)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    journal.close()


def test_an_index_of_a_large_backlog_stays_small(tmp_path):
    journal = DiskJournal(tmp_path / "state")
    agent = Agent(journal=journal, limits=Limits(output=2**30)).ready()
    job = agent.submit(credit=0)
    for _ in range(2000):
        agent.prints("line of text\n" * 1000)
    record = agent.machine._shared.jobs[job]
    assert record.retained > 20 * 2**20
    assert len(record.positions) < 1000
    agent.ack(job, 1, credit=2**30)
    agent.wait(0.2)
    assert sum(len(f) for m, f in agent.parcels() if isinstance(m, p.Output)) == 26_000_000
    journal.close()


# ------------------------------------------------------------------------- payload files


@pytest.fixture
def spool(tmp_path):
    return DiskSpool(tmp_path / "files")


def test_only_plain_files_of_the_same_user_and_size_are_accepted(spool, tmp_path):
    files = tmp_path / "files"
    name = trust.new_id()
    (files / name).write_bytes(b"12345")
    assert spool.check(name, 5, foreign=True) == ""
    assert "5 bytes instead of 6" in spool.check(name, 6, foreign=True)
    (files / "aa").symlink_to(files / name)
    os.mkfifo(files / "bb")
    (files / "cc").mkdir()
    for other in ("aa", "bb", "cc", "dd", "", "..", "../files/" + name):
        assert spool.check(other, 5, foreign=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
def test_a_file_of_another_user_is_accepted_from_exec_alone(spool, tmp_path):
    (tmp_path / "files" / "aa").write_bytes(b"1")
    os.chown(tmp_path / "files" / "aa", 65534, 65534)
    assert "another user" in spool.check("aa", 1, foreign=True)
    assert spool.check("aa", 1, foreign=False) == ""


def test_pieces_are_written_and_read_at_their_place(spool):
    name = spool.create()
    spool.write(name, 0, b"abc")
    spool.write(name, 3, b"def")
    assert spool.read(name, 2, 3) == b"cde"
    with pytest.raises(OSError, match="shorter"):
        spool.read(name, 2, 30)
    spool.remove(name)
    spool.remove(name)
    with pytest.raises(FileNotFoundError):
        spool.read(name, 0, 1)


def test_a_sweep_spares_what_is_known_and_what_a_client_just_wrote(spool, tmp_path):
    files = tmp_path / "files"
    kept, gone = spool.create(), spool.create()
    for name in (kept, gone, "aa", "bb"):
        (files / name).write_bytes(b"")
    os.utime(files / "bb", (0, 0))
    spool.sweep({kept})
    assert {path.name for path in files.iterdir()} == {kept, "aa"}


def test_a_disk_that_takes_no_more_is_told_apart(spool):
    with pytest.raises(StorageFullError):
        spool.write("no/such/directory", 0, b"x")
