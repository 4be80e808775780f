"""Resources in the catalog."""

import uuid
from dataclasses import replace

import pytest

from rexec_ep_api.catalog.errors import InvalidError, NotFoundError
from rexec_ep_api.catalog.records import (
    ANYBODY,
    EVERYTHING,
    DatasetChange,
    NewResource,
    ResourceChange,
    ResourceQuery,
    Viewer,
)
from tests.endpoint.catalogs import check_agreement
from tests.endpoint.test_catalog_organizations import UNKNOWN


@pytest.fixture
def dataset(shared_catalog):
    """A dataset of three resources."""
    resources = (
        NewResource("https://h/a", "a", "First", "CSV", "text/csv", 1),
        NewResource("https://h/b", "b"),
        NewResource("https://h/c", "c", format="NetCDF"),
    )
    return shared_catalog.add(resources=resources)


def test_a_resource_is_found_by_its_identifier(shared_catalog, dataset):
    for resource in dataset.resources:
        assert shared_catalog.resource(resource.id) == resource


@pytest.mark.parametrize("identifier", UNKNOWN, ids=lambda text: ascii(text)[:12])
def test_what_is_not_there_is_not_found(shared_catalog, identifier):
    for call in (
        lambda: shared_catalog.resource(identifier),
        lambda: shared_catalog.patch_resource(identifier, ResourceChange(name="x")),
        lambda: shared_catalog.delete_resource(identifier),
    ):
        with pytest.raises(NotFoundError, match="Resource not found") as raised:
            call()
        assert str(raised.value).isprintable()


def test_a_change_leaves_what_is_not_given_and_is_found_at_once(shared_catalog, dataset, fresh):
    name = fresh("Ñew")
    resource = dataset.resources[0]
    changed = shared_catalog.patch_resource(resource.id, ResourceChange(name=name))
    assert changed == replace(resource, name=name, modified=changed.modified)
    assert changed.modified > resource.modified
    assert shared_catalog.resource(resource.id) == changed
    after = shared_catalog.dataset(dataset.id)
    assert after.resources == (changed, *dataset.resources[1:])
    assert after.modified == changed.modified
    assert shared_catalog.names(name.upper()) == [dataset.name]
    shared_catalog.patch_resource(resource.id, ResourceChange(name="other"))
    assert shared_catalog.names(name) == []
    check_agreement(shared_catalog)


def test_resources_stay_in_order_whatever_happens_to_them(shared_catalog, dataset):
    first, second, third = dataset.resources
    shared_catalog.delete_resource(first.id)
    for one in (third, second, third):
        shared_catalog.patch_resource(
            one.id, ResourceChange(name=f"{shared_catalog.resource(one.id).name} again")
        )
        kept = shared_catalog.dataset(dataset.id).resources
        assert [resource.id for resource in kept] == [second.id, third.id]
    added = DatasetChange(resources=(NewResource("https://h/d", "d"),))
    shared_catalog.update_dataset(dataset.id, added, patch=True)
    shared_catalog.patch_resource(third.id, ResourceChange(format="x"))
    kept = shared_catalog.dataset(dataset.id).resources
    assert [resource.name for resource in kept] == ["b again", "c again again", "d"]
    check_agreement(shared_catalog)


def test_a_resource_of_another_dataset_is_not_found_in_this(shared_catalog, dataset):
    other = shared_catalog.add()
    resource = dataset.resources[0]
    for named in (other.id, other.name, "", "\0"):
        with pytest.raises(NotFoundError, match="Resource not found"):
            shared_catalog.patch_resource(resource.id, ResourceChange(name="x"), named)
        with pytest.raises(NotFoundError, match="Resource not found"):
            shared_catalog.delete_resource(resource.id, named)
    assert shared_catalog.dataset(dataset.id) == dataset
    shared_catalog.patch_resource(resource.id, ResourceChange(name="x"), dataset.name)
    shared_catalog.delete_resource(resource.id, dataset.id)
    assert shared_catalog.dataset(dataset.id).resources == dataset.resources[1:]
    with pytest.raises(NotFoundError):
        shared_catalog.delete_resource(resource.id)


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800"], ids=ascii)
def test_what_a_database_cannot_keep_is_refused_as_a_whole(shared_catalog, dataset, text):
    for change in (
        ResourceChange(name=text),
        ResourceChange(url=text),
        ResourceChange(description=text, name="other"),
        ResourceChange(format=text),
    ):
        with pytest.raises(InvalidError):
            shared_catalog.patch_resource(dataset.resources[0].id, change)
    assert shared_catalog.dataset(dataset.id) == dataset


@pytest.fixture
def found(shared_catalog, fresh):
    """What finds the names of resources among those of two datasets, one of them private."""
    mark = fresh("m")
    resources = (
        NewResource(f"https://h/{mark}/Rain_100%", "Straße", "Regen ΣΊΣΥΦΟΣ", "CSV"),
        NewResource(f"https://h/{mark}/wind", "strasse-2", None, "csv"),
        NewResource(f"https://h/{mark}/none", "Café", "cafe\u0301 (*)", None),
    )
    shared_catalog.add(resources=resources)
    hidden = (NewResource(f"https://h/{mark}/hidden", "hidden", format="Csv"),)
    shared_catalog.add(resources=hidden, private=True, creator="owner")

    def names(viewer=ANYBODY, limit=100, offset=0, **wanted):
        wanted.setdefault("url", mark)
        query = ResourceQuery(viewer=viewer, limit=limit, offset=offset, **wanted)
        count, resources = shared_catalog.search_resources(query)
        assert len(resources) == max(0, min(limit, count - offset))
        return [one.resource.name for one in resources]

    return names


def test_resources_are_found_by_a_part_in_any_case(found):
    assert sorted(found(q="STRASSE")) == ["Straße", "strasse-2"]
    assert found(q="sisyphos") == []
    assert found(q="σίσυφοσ") == ["Straße"]
    assert found(name="CAFÉ") == found(name="cafe\u0301") == ["Café"]
    assert found(description="café (*") == ["Café"]
    assert found(q="100%") == ["Straße"]
    assert found(q="1%0") == []
    assert found(q="rain_1", name="STR", description="regen") == ["Straße"]
    assert found(q="rain_1", name="wind") == []


def test_the_format_must_be_the_same_in_any_case(found):
    assert sorted(found(format="CSV")) == ["Straße", "strasse-2"]
    assert found(format="cs") == []
    assert found(format="") == ["Café"]
    assert found(format="csv", q="wind") == ["strasse-2"]


def test_resources_of_private_datasets_are_for_who_may_see_those(found):
    assert "hidden" not in found()
    assert "hidden" not in found(Viewer("somebody"))
    assert "hidden" not in found(Viewer(""))
    assert "hidden" in found(Viewer("owner"))
    assert "hidden" in found(EVERYTHING)


def test_pages_of_resources_together_are_all_of_them(found):
    pages = [found(EVERYTHING, limit=1, offset=offset)[0] for offset in range(4)]
    assert pages == found(EVERYTHING)
    # The latest first, however often it is asked.
    assert pages[0] == "hidden"
    assert found(EVERYTHING, offset=4) == []
    assert found(EVERYTHING, limit=0) == []


@pytest.mark.parametrize(
    "text",
    ["\0", "\ud800", "'", '"', "\\", "a" * 100_000, "%%", "NEAR(a b)", "a & b", "a:*"],
)
@pytest.mark.parametrize("field", ["q", "name", "url", "description", "format"])
def test_hostile_texts_find_nothing(found, text, field):
    assert found(**{field: text}) == []


def test_the_dataset_of_a_resource_is_told(shared_catalog):
    mark = uuid.uuid4().hex
    made = shared_catalog.add(title="Its title", resources=(NewResource(mark, "r"),))
    count, (one,) = shared_catalog.search_resources(ResourceQuery(url=mark))
    assert count == 1
    assert one.resource == made.resources[0]
    assert (one.dataset_name, one.dataset_title) == (made.name, "Its title")
