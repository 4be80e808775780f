"""Datasets in the catalog."""

import math
import uuid
from contextlib import suppress
from dataclasses import replace

import pytest

from rexec_ep_api.catalog.errors import (
    DuplicateError,
    InvalidError,
    NotFoundError,
    UnknownOrganizationError,
)
from rexec_ep_api.catalog.records import (
    DatasetChange,
    NewDataset,
    NewOrganization,
    NewResource,
)
from tests.endpoint.catalogs import ORGANIZATION, check_agreement
from tests.endpoint.test_catalog_organizations import UNKNOWN

EXTRAS = {
    "text": "Regen 雨 \U0001f327 e\u0301",
    "": "no key",
    "number": 1.5,
    "big": 2**53 + 1,
    "none": None,
    "yes": True,
    "deep": {"a": [1, {"b": []}], '"': "\\", "": {}},
    "controls": "\t\n\x01\x1f\x7f\u2028\ufffe",
}


def full(name):
    return NewDataset(
        name,
        "A title",
        ORGANIZATION,
        notes="Notes.",
        extras=EXTRAS,
        resources=(
            NewResource("https://h/1", "one", "First", "CSV", "text/csv", 2**63 - 1),
            NewResource("https://h/2", "two"),
            NewResource("", "three"),
        ),
        tags=("b", "a", "b"),
        groups=("g",),
        private=True,
        license_id="cc-by",
        version="1",
        creator="someone",
    )


def test_what_is_registered_is_read_back_as_it_is(shared_catalog, fresh):
    new = full(fresh())
    made = shared_catalog.create_dataset(new)
    assert uuid.UUID(made.id)
    for field in NewDataset.__slots__:
        if field != "resources":
            assert getattr(made, field) == getattr(new, field)
    for one, given in zip(made.resources, new.resources, strict=True):
        assert replace(given, id=one.id) == NewResource(
            one.url, one.name, one.description, one.format, one.mimetype, one.size, one.id
        )
        assert one.dataset_id == made.id
        assert one.created == one.modified == made.created == made.modified
    assert shared_catalog.dataset(made.id) == shared_catalog.dataset(made.name) == made


def test_the_organization_may_be_given_by_its_identifier(shared_catalog):
    owner = shared_catalog.organization(ORGANIZATION)
    assert shared_catalog.add(owner_org=owner.id).owner_org == ORGANIZATION


def test_a_name_is_given_once(shared_catalog):
    made = shared_catalog.add(resources=(NewResource("https://h/1", "one"),))
    before = shared_catalog.count()
    with pytest.raises(DuplicateError, match=f"Duplicate Dataset: .*'{made.name}'"):
        shared_catalog.add(made.name, resources=(NewResource("https://h/2", "two"),))
    other = shared_catalog.add()
    with pytest.raises(DuplicateError, match="Duplicate Dataset"):
        shared_catalog.update_dataset(other.id, DatasetChange(name=made.name), patch=True)
    assert shared_catalog.dataset(other.id) == other
    assert shared_catalog.dataset(made.name) == made
    assert shared_catalog.count() == replace(before, datasets=before.datasets + 1)


def test_a_name_that_is_the_identifier_of_another_does_not_hide_it(shared_catalog):
    first = shared_catalog.add()
    second = shared_catalog.add(first.id)
    assert shared_catalog.dataset(first.id) == first
    shared_catalog.delete_dataset(first.id)
    assert shared_catalog.dataset(first.id) == second


@pytest.mark.parametrize("name", UNKNOWN, ids=lambda name: ascii(name)[:12])
def test_what_is_not_there_is_not_found(shared_catalog, name):
    for call in (
        lambda: shared_catalog.dataset(name),
        lambda: shared_catalog.update_dataset(name, DatasetChange(title="x"), patch=True),
        lambda: shared_catalog.delete_dataset(name),
    ):
        with pytest.raises(NotFoundError, match="Dataset not found") as raised:
            call()
        assert str(raised.value).isprintable()


def nested(depth):
    value = "x"
    for _ in range(depth):
        value = [value]
    return value


UNKEPT = {
    "NUL": "a\0b",
    "surrogate": "\ud800",
    "infinite": math.inf,
    "NaN": math.nan,
    "bytes": b"x",
    "object": object(),
    "set": {1},
    "deep": nested(5000),
    "less deep": nested(400),
}


@pytest.mark.parametrize("value", UNKEPT.values(), ids=UNKEPT)
def test_extras_that_no_database_keeps_are_refused(shared_catalog, fresh, value):
    name = fresh()
    for extras in ({"a": value}, {"a": [{"b": value}]}):
        try:
            made = shared_catalog.add(name, extras=extras)
        except InvalidError:
            with pytest.raises(NotFoundError):
                shared_catalog.dataset(name)
        else:
            assert value == nested(400)
            assert shared_catalog.dataset(name).extras == extras
            shared_catalog.delete_dataset(made.id)
    kept = shared_catalog.add()
    if value != nested(400):
        with pytest.raises(InvalidError):
            shared_catalog.update_dataset(kept.id, DatasetChange(extras={"a": value}), patch=True)
    assert shared_catalog.dataset(kept.id) == kept


@pytest.mark.parametrize("text", ["\0", "\ud800"], ids=ascii)
@pytest.mark.parametrize(
    "fields",
    [
        lambda text: {"name": text},
        lambda text: {"title": text},
        lambda text: {"notes": text},
        lambda text: {"tags": (text,)},
        lambda text: {"groups": (text,)},
        lambda text: {"license_id": text},
        lambda text: {"version": text},
        lambda text: {"creator": text},
        lambda text: {"extras": {text: 1}},
        *(
            lambda text, field=field: {"resources": (NewResource(**{field: text}),)}
            for field in ("url", "name", "description", "format", "mimetype")
        ),
    ],
)
def test_texts_that_no_database_keeps_are_refused_everywhere(shared_catalog, fresh, text, fields):
    given = {"name": fresh(), **fields(text)}
    before = shared_catalog.count()
    with pytest.raises(InvalidError) as raised:
        shared_catalog.add(**given)
    assert "INSERT" not in str(raised.value)
    assert shared_catalog.count() == before


@pytest.mark.parametrize("size", [2**63, -(2**63) - 1, 10**40])
def test_a_size_beyond_64_bits_is_refused_as_a_whole(shared_catalog, fresh, size):
    name = fresh()
    with pytest.raises(InvalidError, match="cannot keep a value"):
        shared_catalog.add(name, resources=(NewResource("https://h/", "r", size=size),))
    with pytest.raises(NotFoundError):
        shared_catalog.dataset(name)


def test_a_name_longer_than_an_index_holds_is_refused_or_kept(shared_catalog, fresh):
    name = fresh() + "".join(uuid.uuid4().hex for _ in range(1000))
    with suppress(InvalidError):
        assert shared_catalog.add(name) == shared_catalog.dataset(name)


def test_much_is_kept(shared_catalog):
    made = shared_catalog.add(
        tags=tuple(f"tag-{number}" for number in range(10_000)),
        notes="x" * 1_000_000 + " the end",
        extras={f"key-{number}": {"value": "雨" * 10} for number in range(1000)},
        resources=tuple(NewResource(f"https://h/{n}", f"n{n}") for n in range(1000)),
    )
    assert shared_catalog.dataset(made.id) == made
    for term in ("tag-9999", "x the end", "key-999", "https://h/999"):
        assert made.name in shared_catalog.names(term)
    shared_catalog.delete_dataset(made.id)
    assert shared_catalog.names("tag-9999") == []


def test_put_and_patch_keep_what_is_not_given(shared_catalog, fresh):
    made = shared_catalog.create_dataset(full(fresh()))
    for patch in (True, False):
        changed = shared_catalog.update_dataset(
            made.id, DatasetChange(title="New", extras={"text": "new", "more": 1}), patch=patch
        )
        assert changed.modified > made.modified
        assert changed == replace(
            made,
            title="New",
            extras={**EXTRAS, "text": "new", "more": 1},
            modified=changed.modified,
        )
        assert shared_catalog.dataset(made.id) == changed


def test_tags_and_groups_are_replaced_and_may_be_emptied(shared_catalog, fresh):
    made = shared_catalog.create_dataset(full(fresh()))
    change = DatasetChange(tags=(), groups=("x", "y"), private=False, notes="")
    changed = shared_catalog.update_dataset(made.name, change, patch=True)
    assert (changed.tags, changed.groups) == ((), ("x", "y"))
    assert (changed.private, changed.notes) == (False, "")
    assert shared_catalog.dataset(made.id) == changed


def test_put_replaces_resources_and_none_at_all_means_unchanged(shared_catalog, fresh):
    made = shared_catalog.create_dataset(full(fresh()))
    same = shared_catalog.update_dataset(made.id, DatasetChange(resources=()), patch=False)
    assert same.resources == made.resources
    given = (NewResource("https://h/2", "renamed"), NewResource("https://h/4", "four"))
    changed = shared_catalog.update_dataset(made.id, DatasetChange(resources=given), patch=False)
    assert [one.name for one in changed.resources] == ["renamed", "four"]
    # Who holds its identifier still finds it.
    assert changed.resources[0].id == made.resources[1].id
    assert changed.resources[0].created == made.created
    with pytest.raises(NotFoundError):
        shared_catalog.resource(made.resources[0].id)
    assert shared_catalog.dataset(made.id) == changed


def test_patch_adds_resources_or_takes_the_place_of_those_with_the_same_url_or_name(
    shared_catalog, fresh
):
    made = shared_catalog.create_dataset(full(fresh()))
    given = (
        NewResource("https://h/1", "renamed"),
        NewResource("https://h/new", "two"),
        NewResource("https://h/4", "four"),
        NewResource(name="by id", url="https://h/5", id=made.resources[2].id),
        NewResource(name="unknown", url="https://h/6", id=str(uuid.uuid4())),
    )
    changed = shared_catalog.update_dataset(made.id, DatasetChange(resources=given), patch=True)
    assert [(one.url, one.name) for one in changed.resources] == [
        ("https://h/1", "renamed"),
        ("https://h/new", "two"),
        ("https://h/5", "by id"),
        ("https://h/4", "four"),
        ("https://h/6", "unknown"),
    ]
    assert [one.id for one in changed.resources[:3]] == [one.id for one in made.resources]
    # What is not said about a resource stays as it was.
    assert changed.resources[0].description == "First"
    assert changed.resources[0].size == 2**63 - 1
    assert shared_catalog.dataset(made.id) == changed


def test_a_dataset_moves_to_another_organization_if_that_exists(shared_catalog, fresh):
    other = shared_catalog.create_organization(NewOrganization(fresh("other"), "Other"))
    made = shared_catalog.add()
    for owner in (other.id, other.name):
        changed = shared_catalog.update_dataset(
            made.id, DatasetChange(owner_org=owner), patch=False
        )
        assert changed.owner_org == other.name
    with pytest.raises(UnknownOrganizationError):
        shared_catalog.update_dataset(made.id, DatasetChange(owner_org="nowhere"), patch=True)
    assert shared_catalog.delete_organization(other.name, cascade=True) == 1
    with pytest.raises(NotFoundError):
        shared_catalog.dataset(made.id)


def test_another_name_frees_the_old_one(shared_catalog, fresh):
    made = shared_catalog.add()
    shared_catalog.update_dataset(made.name, DatasetChange(name=fresh()), patch=True)
    again = shared_catalog.add(made.name)
    assert again.id != made.id
    assert shared_catalog.names(made.name) == [made.name]


def test_everything_of_a_deleted_dataset_is_gone(shared_catalog, fresh):
    made = shared_catalog.create_dataset(full(fresh()))
    shared_catalog.delete_dataset(made.name)
    for call in (shared_catalog.dataset, shared_catalog.delete_dataset):
        with pytest.raises(NotFoundError):
            call(made.id)
    for one in made.resources:
        with pytest.raises(NotFoundError):
            shared_catalog.resource(one.id)
    assert shared_catalog.names(made.name) == []
    check_agreement(shared_catalog)
