"""Backups of the catalog, and what is restored from them."""

import asyncio
import gzip
import json
import stat

import psycopg
import pytest

from rexec_ep_api.catalog import backup
from rexec_ep_api.catalog.access_requests import (
    AccessRequests,
    AlreadyPendingError,
    Decision,
    NewAccessRequest,
)
from rexec_ep_api.catalog.errors import InvalidError, OccupiedError, UnavailableError
from rexec_ep_api.catalog.records import (
    EVERYTHING,
    DatasetChange,
    NewDataset,
    NewOrganization,
    NewResource,
    Query,
    ResourceQuery,
    Term,
)
from tests.endpoint.catalogs import check_agreement, opened, opened_with_lab

EMPTY = {"organizations": 1, "datasets": 0, "access_requests": 0}


@pytest.fixture
def other_url(catalog_url, tmp_path, request):
    """The address of an empty database of the other kind."""
    if catalog_url.startswith("sqlite"):
        return request.getfixturevalue("postgres_server").new_database()
    return f"sqlite:///{tmp_path / 'other.sqlite3'}"


def fill(catalog):
    """Put something of everything into a catalog."""
    for name in ("Second lab", "Ümläut 雨"):
        catalog.create_organization(NewOrganization(name, "T", "About", "me", "md5"))
    for number in range(12):
        catalog.add(
            f"rain-{number}",
            title=f"Straße {number}",
            owner_org="Ümläut 雨" if number % 2 else "Second lab",
            notes="\x01\x1f\u2028\ufffe 'quoted' \"\\",
            extras={"deep": {"a": [1, 2.5, None, True, 2**60]}, "": "", "timestamp": "2026-01-02"},
            resources=(
                NewResource("https://h/1", "one", None, "CSV", "text/csv", 2**62),
                NewResource("https://h/2", "two", ""),
            )[: number % 3],
            tags=("b", "a"),
            groups=("g",),
            private=number == 5,
            license_id="cc-by",
            version=None,
            creator="me",
        )
    catalog.delete_dataset("rain-3")
    catalog.update_dataset("rain-1", DatasetChange(name="renamed"), patch=True)
    requests = AccessRequests(catalog.catalog)
    for number in range(3):
        new = NewAccessRequest(f"sub-{number}", f"user {number}", None, "Ünd")
        made = catalog.run(requests.create(new))
    catalog.run(requests.decide(made.id, Decision("approved", "sub", "admin", "writer", "notes")))


def contents(catalog):
    """Return everything that a catalog tells."""
    return {
        "organizations": [catalog.organization(name) for name in catalog.organization_names()],
        "datasets": catalog.search(Query(viewer=EVERYTHING)),
        "public": catalog.search_json(Query()),
        "found": [
            catalog.search_json(Query((term,), viewer=EVERYTHING))
            for term in (Term("STRASSE 1"), Term("b"), Term("csv", "res_format"), Term("2.5"))
        ],
        "resources": catalog.search_resources(ResourceQuery(viewer=EVERYTHING)),
        "requests": catalog.run(AccessRequests(catalog.catalog).listed(None)),
        "count": catalog.count(),
    }


def test_what_is_restored_into_the_other_kind_of_database_and_back_is_the_same(
    catalog_url, other_url, tmp_path
):
    first, second = tmp_path / "first", tmp_path / "second"
    with opened_with_lab(catalog_url) as catalog, opened(other_url) as other:
        fill(catalog)
        counts = catalog.backup(first)
        assert counts == {"organizations": 4, "datasets": 11, "access_requests": 3}
        assert other.restore(first) == counts
        assert contents(other) == contents(catalog)
        check_agreement(other)
        assert other.backup(second) == counts
        assert _lines(second)[1:] == _lines(first)[1:]
        before = contents(catalog)
        catalog.add("more")
        catalog.restore(second, replace=True)
        assert contents(catalog) == before
        check_agreement(catalog)
        # It is in use as before.
        catalog.add("more")
        assert catalog.names("rain-")[0] != "more"
        assert catalog.names()[0] == "more"
        with pytest.raises(AlreadyPendingError):
            catalog.run(
                AccessRequests(other.catalog).create(NewAccessRequest("sub-0", "u", None, None))
            )


def _lines(file):
    with gzip.open(file, "rt", encoding="utf-8") as opened_file:
        return [json.loads(line) for line in opened_file]


def test_an_empty_catalog_is_backed_up_too(catalog_url, tmp_path):
    file = tmp_path / "backup"
    with opened(catalog_url) as catalog:
        assert catalog.backup(file) == EMPTY
        assert catalog.restore(file) == EMPTY
        assert catalog.organization_names() == ["services"]


def test_a_backup_is_for_its_owner_alone_and_takes_the_place_of_another(catalog_url, tmp_path):
    file = tmp_path / "backup"
    file.write_text("another")
    with opened(catalog_url) as catalog:
        catalog.backup(file)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        before = file.read_bytes()
        for place in (tmp_path / "nowhere" / "backup", tmp_path):
            with pytest.raises(OSError, match=r"No such file|Is a directory"):
                catalog.backup(place)
    assert file.read_bytes() == before
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]


def test_what_is_there_is_replaced_only_if_asked(catalog_url, tmp_path):
    file = tmp_path / "backup"
    with opened(catalog_url) as catalog:
        catalog.backup(file)
        catalog.create_organization(NewOrganization("lab", "Lab"))
        for _ in range(2):
            with pytest.raises(OccupiedError, match="not empty"):
                catalog.restore(file)
            catalog.add(owner_org="lab")
        assert catalog.restore(file, replace=True) == EMPTY
        assert catalog.organization_names() == ["services"]


@pytest.fixture
def kept(catalog_url, tmp_path):
    """A catalog, and a backup of what it once held; what it now holds must stay."""
    file = tmp_path / "backup"
    with opened_with_lab(catalog_url) as catalog:
        fill(catalog)
        catalog.backup(file)
        catalog.add("kept")
        before = contents(catalog)
        yield catalog, file
        assert contents(catalog) == before
        check_agreement(catalog)


def refused(catalog, file):
    with pytest.raises(InvalidError, match=str(file)):
        catalog.restore(file, replace=True)


def test_a_part_of_a_backup_is_refused_wherever_it_ends(kept):
    catalog, file = kept
    whole = file.read_bytes()
    for length in (
        0,
        1,
        2,
        10,
        11,
        len(whole) // 2,
        len(whole) - 9,
        len(whole) - 8,
        len(whole) - 1,
    ):
        file.write_bytes(whole[:length])
        refused(catalog, file)


def test_a_backup_with_other_bytes_in_it_is_refused(kept):
    catalog, file = kept
    whole = file.read_bytes()
    # The time of the file, at 4 to 7, and its system, at 9, are told to nobody.
    places = [0, 1, 2, *range(10, len(whole), max(1, len(whole) // 40)), len(whole) - 6]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 0x5A
        file.write_bytes(damaged)
        refused(catalog, file)


def test_other_files_are_refused(kept, tmp_path):
    catalog, file = kept
    header = json.dumps({"rexec_catalog": 1})
    for content in (
        b"",
        b"SQLite format 3\0",
        b"{}",
        gzip.compress(b""),
        gzip.compress(b"\xff\xfe"),
        *(
            gzip.compress(text.encode())
            for text in (
                "1",
                "[]",
                "{}",
                "null",
                '{"rexec_catalog": 2}',
                '{"rexec_catalog": "1"}',
                header,
                f"{header}\n[]",
                f"{header}\n{{}}",
                f"{header}\n3",
                f"{header}\n" + "[" * 100_000,
                f'{header}\n{{"table": {{}}}}',
                f'{header}\n{{"organization": null}}',
                f'{header}\n{{"organization": {{"id": 1}}}}',
                f'{header}\n{{"dataset": {{}}}}',
                f'{header}\n{{"access_request": {{"id": "1", "x": 1}}}}',
                f'{header}\n{{"access_request": []}}',
                f'{header}\n{{"end": {{}}}}',
                f'{header}\n{{"end": {json.dumps(EMPTY)}}}',
            )
        ),
    ):
        file.write_bytes(content)
        refused(catalog, file)
    with pytest.raises(OSError, match="Is a directory"):
        catalog.restore(tmp_path, replace=True)
    with pytest.raises(OSError, match="No such file"):
        catalog.restore(tmp_path / "nothing", replace=True)


def _renamed(lines, kind, **values):
    changed = json.loads(json.dumps(lines))
    for line in changed:
        if kind in line:
            line[kind] |= values
            break
    return changed


def test_a_backup_that_contradicts_itself_is_refused(kept):
    catalog, file = kept
    lines = _lines(file)
    dataset = next(line for line in lines if "dataset" in line)
    organization = next(line for line in lines if "organization" in line)
    request = next(line for line in lines if "access_request" in line)
    counts = lines[-1]["end"]
    more = [{"end": counts | {"datasets": counts["datasets"] + 1}}]
    for changed in (
        [*lines[:-1], dataset, *more],
        [lines[0], organization, *lines[1:]],
        [*lines[:-1], request, {"end": counts | {"access_requests": 4}}],
        [*lines[:-1], *more],
        [*lines, dataset],
        [*lines, lines[-1]],
        [lines[0], *lines[2:]],
        [lines[0], *reversed(lines[1:-1]), lines[-1]],
        _renamed(lines, "dataset", owner_org="nowhere"),
        _renamed(lines, "dataset", id="x" * 100, name="a\0b"),
        _renamed(lines, "dataset", created="yesterday"),
        _renamed(lines, "dataset", extras=[1]),
        _renamed(lines, "dataset", title="\ud800"),
        _renamed(lines, "organization", name="\0"),
        _renamed(lines, "organization", name=None),
        _renamed(lines, "access_request", created_at=5),
        _renamed(lines, "access_request", user_sub="\0"),
        [line | {"more": 1} if "dataset" in line else line for line in lines],
    ):
        text = "\n".join(json.dumps(line) for line in changed)
        file.write_bytes(gzip.compress(text.encode()))
        with pytest.raises(InvalidError):  # with the file, or with what it cannot hold
            catalog.restore(file, replace=True)


def test_a_backup_shows_one_moment_while_others_write(catalog_url, tmp_path):
    file = tmp_path / "backup"
    with opened_with_lab(catalog_url) as catalog:
        writing = catalog.catalog

        async def write(ended):
            number = 0
            while not ended.is_set():
                # Of each pair, one is there whenever the other is.
                for name in (f"first-{number}", f"second-{number}"):
                    await writing.create_dataset(NewDataset(name, "T", "lab"))
                change = DatasetChange(extras={"pairs": number})
                await writing.update_dataset("first-0", change, patch=True)
                number += 1

        async def both():
            ended = asyncio.Event()
            writer = asyncio.create_task(write(ended))
            counts = []
            for number in range(5):
                target = tmp_path / f"backup-{number}"
                counts.append((target, await writing.backup(target)))
            ended.set()
            await writer
            return counts

        for target, counts in catalog.run(both()):
            datasets = [line["dataset"] for line in _lines(target) if "dataset" in line]
            assert len(datasets) == counts["datasets"]
            names = [one["name"] for one in datasets]
            pairs = [f"{which}-{n}" for n in range(len(names)) for which in ("first", "second")]
            assert names == pairs[: len(names)]
            if names:
                # Whole pairs, all but the last of them counted, or that too.
                counted = datasets[0]["extras"].get("pairs", -1)
                assert counted in {(len(names) - 1) // 2 - 1, (len(names) - 1) // 2}
        last = target
        expected = _lines(last)
        catalog.restore(last, replace=True)
        catalog.backup(file)
        assert _lines(file)[1:] == expected[1:]


def test_a_restore_that_is_interrupted_changes_nothing(postgres_server, tmp_path):
    file = tmp_path / "backup"
    url = postgres_server.new_database()
    with opened_with_lab(url) as catalog:
        fill(catalog)
        catalog.backup(file)
        before = contents(catalog)

        def interrupt(connection):
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            backup.restore(connection, file, replace=True)
            with psycopg.connect(url) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [pid])

        with pytest.raises(UnavailableError):
            catalog.write(interrupt)
        assert contents(catalog) == before
