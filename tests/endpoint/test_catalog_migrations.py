"""The database of a catalog: how it comes to be, and what is told if it cannot be used."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from rexec_ep_api.catalog import migrations
from rexec_ep_api.catalog.engine import Database
from rexec_ep_api.catalog.errors import InvalidError, UnavailableError
from rexec_ep_api.catalog.models import metadata
from rexec_ep_api.catalog.records import NewOrganization
from tests.endpoint.canary import secret
from tests.endpoint.catalogs import check_agreement, opened, opened_with_lab
from tests.endpoint.postgres import PostgresServer, programs

_OURS = set(metadata.tables)


def _config(connection):
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    return config


def test_the_tables_are_as_the_models_say(catalog_url):
    with opened(catalog_url) as catalog:

        def compare(connection):
            def ours(_object, name, kind, _reflected, _other):
                return kind != "table" or name in _OURS

            options = {"compare_type": True, "include_object": ours}
            return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

        assert catalog.read(compare) == []


def test_migrations_go_back_and_forth(catalog_url):
    with opened_with_lab(catalog_url) as catalog:
        catalog.add("rain")

        def back(connection):
            command.downgrade(_config(connection), "0001")
            assert "access_requests" not in inspect(connection).get_table_names()
            command.downgrade(_config(connection), "base")
            assert set(inspect(connection).get_table_names()) == {"alembic_version"}

        catalog.write(back)
        catalog.write(migrations.upgrade)
        catalog.create_organization(NewOrganization("lab", "Lab"))
        catalog.add("rain")
        assert catalog.names("rain") == ["rain"]
        check_agreement(catalog)


def test_a_migration_that_fails_leaves_nothing(catalog_url):
    def fail(connection):
        migrations.upgrade(connection)
        raise RuntimeError

    database = Database.open(catalog_url)
    try:
        database.write(lambda connection: command.downgrade(_config(connection), "base"))
        with pytest.raises(RuntimeError):
            database.write(fail)
        tables = database.read(lambda connection: inspect(connection).get_table_names())
        assert set(tables) == {"alembic_version"}
    finally:
        database.close()


def test_what_is_there_is_there_when_it_is_opened_again(catalog_url):
    with opened_with_lab(catalog_url) as catalog:
        made = catalog.add("rain")
    with opened(catalog_url) as catalog:
        assert catalog.dataset("rain") == made
        assert catalog.names("rain") == ["rain"]
        assert catalog.ping() >= 0


def test_a_database_of_a_newer_version_is_refused_and_left_alone(catalog_url):
    with opened_with_lab(catalog_url) as catalog:
        catalog.add("rain")
        catalog.write(
            lambda connection: connection.execute(
                text("UPDATE alembic_version SET version_num = '9999'")
            )
        )
        with pytest.raises(InvalidError, match="newer version of rexec"), opened(catalog_url):
            pass
        assert catalog.names("rain") == ["rain"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "rain",
        "/a/b.sqlite3",
        "mysql://user:{password}@host/name",
        "redis://:{password}@host",
        "postgresql://user:{password}@host:port/name",
        "://user:{password}@host",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///a\0b",
        "sqlite:///file:a?mode=ro&uri=true",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(url):
    password = secret("password")
    with pytest.raises(InvalidError) as raised, opened(url.format(password=password)):
        pass
    assert password not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:{password}@127.0.0.1:1/name",
        "postgres://user:{password}@127.0.0.1:1/name",
        "postgresql+psycopg://user:{password}@127.0.0.1:1/name",
        "postgresql://user:{password}@nowhere.invalid/name",
        "postgresql://user:{password}@/name?host=/nowhere",
        "sqlite:////proc/nowhere/catalog.sqlite3",
        "sqlite:////dev/null/catalog.sqlite3",
    ],
)
def test_what_cannot_be_reached_is_told_without_the_password(url):
    password = secret("password")
    with (
        pytest.raises(UnavailableError, match="catalog") as raised,
        opened(url.format(password=password)),
    ):
        pass
    assert password not in str(raised.value)


def test_an_option_that_the_database_does_not_know_is_told(postgres_server):
    url = postgres_server.new_database() + "&nonsense=1"
    with pytest.raises(InvalidError, match="address"), opened(url):
        pass


def test_a_database_that_is_not_there_is_told(postgres_server):
    with (
        pytest.raises(UnavailableError, match="cannot be used at the moment"),
        opened(postgres_server.url("nothing")),
    ):
        pass


def test_a_database_of_another_encoding_is_refused(postgres_server):
    url = postgres_server.new_database("ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(InvalidError, match="encoding LATIN1"), opened(url):
        pass


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + b"x" * 9000])
def test_another_file_is_no_catalog_and_left_as_it_is(tmp_path, content):
    file = tmp_path / "file"
    file.write_bytes(content)
    with (
        pytest.raises(UnavailableError, match=r"not a database|malformed"),
        opened(f"sqlite:///{file}"),
    ):
        pass
    assert file.read_bytes() == content


def test_a_directory_is_no_catalog(tmp_path):
    with pytest.raises(UnavailableError, match="unable to open"), opened(f"sqlite:///{tmp_path}"):
        pass


def test_the_file_is_for_its_owner_alone_and_its_directory_is_made(tmp_path):
    file = tmp_path / "some" / "where" / "catalog.sqlite3"
    with opened_with_lab(f"sqlite:///{file}"):
        for one in file.parent.iterdir():
            assert stat.S_IMODE(one.stat().st_mode) == 0o600, one


_READ_ONLY = """
import os, sys
from rexec_ep_api.catalog.errors import UnavailableError
from tests.endpoint.catalogs import opened
if os.geteuid() == 0:
    os.seteuid(65534)  # what may not be written, root writes all the same
try:
    with opened(sys.argv[1]) as catalog:
        catalog.add("new")
except UnavailableError as error:
    print(error)
"""


def _run(script, url):
    path = os.pathsep.join(map(str, [Path.cwd(), *sys.path]))
    done = subprocess.run(
        [sys.executable, "-c", script, url],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_file_that_may_only_be_read_is_told():
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        file = directory / "catalog.sqlite3"
        with opened_with_lab(f"sqlite:///{file}"):
            pass
        file.chmod(0o444)
        directory.chmod(0o555)
        told = _run(_READ_ONLY, f"sqlite:///{file}")
        directory.chmod(0o755)
    assert "cannot be used at the moment: " in told
    assert "readonly" in told or "unable to open" in told


_FULL = """
import resource, sys
from rexec_ep_api.catalog.errors import UnavailableError
from tests.endpoint.catalogs import opened
with opened(sys.argv[1]) as catalog:
    catalog.add("before", notes="rain")
    # As if the disk had no room for more.
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, limit))
    for number in range(100):
        try:
            catalog.add(f"big-{number}", notes="rain " * 20_000)
        except UnavailableError as error:
            print(number, error)
            break
    assert catalog.names("rain")[-1] == "before"
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    catalog.add("after", notes="rain")
"""


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path):
    url = f"sqlite:///{tmp_path}/catalog.sqlite3"
    with opened_with_lab(url):
        pass
    number, _, told = _run(_FULL, url).partition(" ")
    assert "cannot be used at the moment" in told
    with opened(url) as catalog:
        names = [f"big-{one}" for one in reversed(range(int(number)))]
        assert catalog.names("rain") == ["after", *names, "before"]
        check_agreement(catalog)


def _read_all(url):
    with opened(url) as catalog:
        for number in range(50):
            catalog.dataset(f"d-{number}")
        catalog.names("rain")


def test_a_file_that_is_damaged_is_told(tmp_path):
    file = tmp_path / "catalog.sqlite3"
    with opened_with_lab(f"sqlite:///{file}") as catalog:
        for number in range(50):
            catalog.add(f"d-{number}", notes="rain " * 1000)
    shutil.copy(file, tmp_path / "kept")
    with file.open("r+b") as raw:
        raw.seek(8192 * 3)
        raw.write(b"\xa5" * 8192 * 20)
    with pytest.raises(UnavailableError) as raised:
        _read_all(f"sqlite:///{file}")
    assert "SELECT" not in str(raised.value)
    shutil.copy(tmp_path / "kept", file)
    with opened(f"sqlite:///{file}") as catalog:
        assert len(catalog.names("rain")) == 50
    assert sqlite3.connect(file).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_database_that_is_ended_is_told_and_used_again_once_it_is_back(postgres_server):
    del postgres_server  # but there is one, so that there can be another
    with (
        PostgresServer(programs(), durable=True) as server,
        opened_with_lab(server.new_database()) as catalog,
    ):
        catalog.add("before", notes="rain")
        server.kill()
        for call in (
            lambda: catalog.add("during"),
            lambda: catalog.names("rain"),
            lambda: catalog.dataset("before"),
            catalog.ping,
            catalog.count,
        ):
            with pytest.raises(UnavailableError, match="cannot be used at the moment") as raised:
                call()
            assert not {"SELECT", "INSERT"} & set(str(raised.value).split())
        server.start()
        # At once, whatever connections were open.
        assert catalog.names("rain") == ["before"]
        outcomes = catalog.together(*(catalog.catalog.dataset("before") for _ in range(20)))
        assert {type(outcome).__name__ for outcome in outcomes} == {"Dataset"}
        catalog.add("after", notes="rain")
        assert catalog.names("rain") == ["after", "before"]
        check_agreement(catalog)
