"""What the chart's job makes: keys that fit each other, and their rotation."""

import pytest
from click.testing import CliRunner

from rexec_deploy_api.installing import complete, leave_command
from rexec_jupyter.core.credentials import SigningKey, Verifier
from rexec_jupyter.core.trust import new_keypair, read_keypair

VERIFY = ("verify.pem", "verify-next.pem", "verify-previous.pem")


def content(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def signs(directory):
    """Return a key, and a ticket for it that is signed as it is now."""
    key = new_keypair().public.decode()
    return key, SigningKey.read(directory / "signing.pem").ticket(user="ann", key=key)


def believed(directory, signed, *names):
    """Tell whether a broker that has these keys believes a ticket."""
    key, ticket = signed
    verifier = Verifier([(directory / name).read_bytes() for name in names or VERIFY])
    try:
        return verifier.ticket(ticket, key).user == "ann"
    except ValueError:
        return False


def test_all_keys_are_made_once(tmp_path):
    made = complete(tmp_path, ("development-token", "postgresql-password"))
    assert set(made) == content(tmp_path).keys()
    assert {"broker", "broker.pub", "signing.pem", "secret", *VERIFY} <= set(made)
    before = content(tmp_path)
    assert complete(tmp_path, ("development-token",)) == []
    assert content(tmp_path) == before
    assert before["postgresql-password"].decode().isalnum()


def test_what_is_missing_is_made_and_the_rest_stays(tmp_path):
    complete(tmp_path)
    before = content(tmp_path)
    (tmp_path / "verify-previous.pem").unlink()
    assert complete(tmp_path, ("development-token",)) == [
        "development-token",
        "verify-previous.pem",
    ]
    assert before.items() <= content(tmp_path).items()


def test_a_rotation_turns_nobody_away(tmp_path):
    complete(tmp_path)
    signed = [signs(tmp_path)]
    old = {name: (tmp_path / name).read_bytes() for name in VERIFY}
    complete(tmp_path, rotate=True)
    signed.append(signs(tmp_path))
    # A broker that was not restarted yet believes what is signed now, for it knew what comes.
    key, ticket = signed[1]
    assert Verifier(list(old.values())).ticket(ticket, key).user == "ann"
    # One that was believes what was signed before.
    assert all(believed(tmp_path, each) for each in signed)
    assert not believed(tmp_path, signed[0], "verify.pem")
    assert read_keypair(tmp_path / "broker")
    complete(tmp_path, rotate=True)
    assert not believed(tmp_path, signed[0])
    assert believed(tmp_path, signed[1])


def test_keys_that_do_not_belong_together_are_told(tmp_path):
    complete(tmp_path)
    (tmp_path / "verify-next.pem").write_bytes(SigningKey.generate().public_pem)
    with pytest.raises(ValueError, match=r"verify-next\.pem does not belong"):
        complete(tmp_path)


@pytest.mark.parametrize("left", ["nodes/node", "jobs", "jobs/"])
def test_only_what_a_release_may_leave_can_be_named(left):
    told = CliRunner().invoke(leave_command, ["--namespace", "rexec", "--left", left])
    assert told.exit_code == 2
    assert left in told.output
