"""Organizations in the catalog."""

import re
import uuid

import pytest

from rexec_ep_api.catalog.errors import (
    DuplicateError,
    InvalidError,
    NotFoundError,
    OccupiedError,
    UnknownOrganizationError,
)
from rexec_ep_api.catalog.records import NewDataset, NewOrganization, NewResource
from tests.endpoint.catalogs import check_agreement, opened

UNKNOWN = [
    "",
    "none",
    "\0",
    "lab\0",
    "\ud800",
    "%",
    "_ab",
    "l%",
    "' OR ''='",
    '"',
    "LAB",
    "x" * 1_000_000,
]


def test_what_is_registered_is_found_by_name_and_identifier(shared_catalog, fresh):
    new = NewOrganization(fresh("Ümläut 雨"), "Title", "About", "creator", "md5")
    made = shared_catalog.create_organization(new)
    assert uuid.UUID(made.id)
    assert (made.name, made.title, made.description) == (new.name, "Title", "About")
    assert (made.creator, made.creator_md5) == ("creator", "md5")
    assert shared_catalog.organization(new.name) == made
    assert shared_catalog.organization(made.id) == made


def test_a_name_is_given_once(shared_catalog, fresh):
    new = NewOrganization(fresh("once"), "First")
    made = shared_catalog.create_organization(new)
    with pytest.raises(DuplicateError, match="Group name already exists in database"):
        shared_catalog.create_organization(NewOrganization(new.name, "Second"))
    assert shared_catalog.organization(new.name) == made


def test_names_that_differ_in_case_are_different(shared_catalog, fresh):
    name = fresh("case")
    for one in (name, name.upper()):
        shared_catalog.create_organization(NewOrganization(one, one))
    assert shared_catalog.organization(name.upper()).title == name.upper()


def test_a_name_that_is_the_identifier_of_another_does_not_hide_it(shared_catalog, fresh):
    first = shared_catalog.create_organization(NewOrganization(fresh(), "First"))
    second = shared_catalog.create_organization(NewOrganization(first.id, "Second"))
    assert shared_catalog.organization(first.id) == first
    assert shared_catalog.organization(second.id) == second


@pytest.mark.parametrize("name", UNKNOWN, ids=lambda name: ascii(name)[:12])
def test_what_is_not_there_is_not_found(shared_catalog, name):
    with pytest.raises(NotFoundError, match="Organization not found"):
        shared_catalog.organization(name)
    with pytest.raises(NotFoundError, match="Organization not found"):
        shared_catalog.delete_organization(name, cascade=True)
    with pytest.raises(UnknownOrganizationError, match="Organization does not exist"):
        shared_catalog.create_dataset(NewDataset("x", "X", name))


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "x\udfff"], ids=ascii)
def test_what_a_database_cannot_keep_is_refused(shared_catalog, fresh, text):
    for new in (
        NewOrganization(text, "T"),
        NewOrganization(fresh(), text),
        NewOrganization(fresh(), "T", text),
        NewOrganization(fresh(), "T", "", text),
    ):
        with pytest.raises(InvalidError):
            shared_catalog.create_organization(new)
        with pytest.raises(NotFoundError):
            shared_catalog.organization(new.name)


def test_names_are_listed_in_one_order_everywhere(catalog_url):
    names = ["b", "A", "_x", "a-1", "a1", "ä", "Z", "雨", "a b"]
    with opened(catalog_url) as catalog:
        for name in names:
            catalog.create_organization(NewOrganization(name, "T"))
        assert catalog.organization_names() == sorted([*names, "services"])


def test_names_are_filtered_by_a_part_in_any_case_and_by_creator(shared_catalog, fresh):
    mark = fresh("filter")
    for name, creator in ((f"{mark}-STRASSE", "a"), (f"{mark}-straße", "b"), (f"{mark}-%_", "b")):
        shared_catalog.create_organization(NewOrganization(name, "T", creator=f"{mark}{creator}"))
    assert len(shared_catalog.organization_names(mark.upper())) == 3
    assert len(shared_catalog.organization_names(f"{mark}-strasse")) == 2
    assert shared_catalog.organization_names(f"{mark}-%") == [f"{mark}-%_"]
    assert shared_catalog.organization_names(f"{mark}-s%") == []
    assert shared_catalog.organization_names(owner=f"{mark}a") == [f"{mark}-STRASSE"]
    assert shared_catalog.organization_names(f"{mark}-%", f"{mark}a") == []
    for text in ("\0", "\ud800"):
        assert shared_catalog.organization_names(text) == []
        assert shared_catalog.organization_names(owner=text) == []


def test_one_with_datasets_is_deleted_only_if_they_may_go_too(catalog_url):
    with opened(catalog_url) as catalog:
        for name in ("full", "other"):
            catalog.create_organization(NewOrganization(name, name))
            for number in range(3):
                resources = (NewResource(f"https://h/{name}/{number}", "r"),)
                new = NewDataset(f"{name}-{number}", "Rain", name, resources=resources)
                made = catalog.create_dataset(new)
        with pytest.raises(OccupiedError, match=re.escape("'full' still has 3 datasets")):
            catalog.delete_organization("full", cascade=False)
        assert catalog.delete_organization("full", cascade=True) == 3
        assert catalog.names("rain") == ["other-2", "other-1", "other-0"]
        assert catalog.names("https://h/full/") == []
        assert catalog.count().resources == 3
        check_agreement(catalog)
        assert catalog.resource(made.resources[0].id) == made.resources[0]
        with pytest.raises(NotFoundError):
            catalog.delete_organization("full", cascade=True)
        # What is new does not take the place of what is gone.
        catalog.create_organization(NewOrganization("full", "again"))
        assert catalog.delete_organization("full", cascade=False) == 0


def test_every_catalog_has_the_organization_of_the_services_even_if_it_was_deleted(catalog_url):
    for _ in range(2):
        with opened(catalog_url) as catalog:
            assert catalog.organization_names() == ["services"]
            catalog.delete_organization("services", cascade=True)
