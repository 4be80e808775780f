"""``rexec-deploy-api keys``: what a new deployment needs."""

import pytest
from click.testing import CliRunner

from rexec_deploy_api.__main__ import main
from rexec_deploy_api.keys import make_keys
from rexec_jupyter.core.credentials import SigningKey, Verifier
from rexec_jupyter.core.trust import read_keypair


def content(*directories):
    return {path: path.read_bytes() for each in directories for path in each.iterdir()}


def test_each_service_finds_its_own_in_a_place_of_its_own(tmp_path):
    api, broker = tmp_path / "api", tmp_path / "broker"
    made = make_keys(api, broker)
    assert {path.name for path in api.iterdir()} == {"broker.pub", "signing.pem", "secret"}
    assert {path.name for path in broker.iterdir()} == {"broker", "verify.pem"}
    assert set(made) == content(api, broker).keys()
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in made)
    public = (api / "broker.pub").read_bytes().strip()
    assert read_keypair(broker / "broker").public == public
    ticket = SigningKey.read(api / "signing.pem").ticket(user="ann", key=public.decode())
    verifier = Verifier([(broker / "verify.pem").read_bytes()])
    assert verifier.ticket(ticket, public.decode()).user == "ann"


def test_what_is_there_stays_and_what_is_missing_is_made(tmp_path):
    make_keys(tmp_path)
    before = content(tmp_path)
    assert make_keys(tmp_path) == []
    for name in ("broker.pub", "verify.pem"):
        (tmp_path / name).unlink()
        assert make_keys(tmp_path) == [tmp_path / name]
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("broker", "no CURVE key pair"),
        ("broker.pub", "does not belong to its private key"),
        ("verify.pem", "does not belong to its private key"),
        ("secret", "fewer than 32 bytes"),
        ("signing.pem", ""),
    ],
)
def test_what_cannot_be_used_is_told_and_kept(tmp_path, name, told):
    make_keys(tmp_path)
    (tmp_path / name).write_bytes(b"something else\n")
    before = content(tmp_path)
    done = CliRunner().invoke(main, ["keys", "--directory", str(tmp_path)])
    assert done.exit_code == 1
    assert told in done.output
    assert "Put the right one there" in done.output
    assert content(tmp_path) == before
