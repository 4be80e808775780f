"""Whatever is done to a catalog, searches find what a simple model of it says."""

import json
import unicodedata
from datetime import datetime

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from rexec_ep_api.catalog import search
from rexec_ep_api.catalog.errors import DuplicateError
from rexec_ep_api.catalog.records import (
    ANYBODY,
    EVERYTHING,
    DatasetChange,
    NewDataset,
    NewOrganization,
    NewResource,
    Period,
    Query,
    ResourceChange,
    ResourceFilter,
    ResourceQuery,
    Term,
    Viewer,
)
from rexec_ep_api.catalog.sample import Sample
from tests.endpoint.catalogs import check_agreement, opened

EXAMPLES = 30
STEPS = 30

# Few, so that what is looked for is often there, and often nearly.
PIECES = [
    *("a", "B", "ab", "rain", "RAIN", " ", "-", "_", "%", "'", '"', "\\", "*", ":", "(", "&", "|"),
    *("ß", "SS", "İ", "i\u0307", "\u0131", "Σ", "ς", "é", "e\u0301", "\u0301", "雨", "降水", "가"),
    *("\U0001f327", "\U00010400", "\x01", "\x1e", "\x1f", "\n", "\u200d", "\ufffe", "\uffff"),
    *("\U0010ffff", "\ufeff", "AND", "NEAR(", "\u2028", "\x7f"),
]
texts = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
short = st.lists(st.sampled_from(PIECES), min_size=1, max_size=2).map("".join)
NAMES = ["one", "two", "three", "four", "five"]
ORGANIZATIONS = ["lab", "field"]
times = st.sampled_from(["2026-01-01", "2026-01-02T03:04:05Z", "2026-01-02", "soon", ""])
values = st.one_of(
    texts,
    st.sampled_from([None, True, 12, 1.5]),
    st.lists(texts, max_size=2),
    st.dictionaries(short, texts, max_size=2),
)
extras = st.dictionaries(st.sampled_from(["k", "K", "extras_k", "名", "description"]), values)
extras |= st.builds(lambda time: {"timestamp": time}, times)
optional = st.none() | texts
resources = st.lists(
    st.builds(
        NewResource,
        url=texts,
        name=texts,
        description=optional,
        format=st.sampled_from([None, "CSV", "csv", "ß"]),
        mimetype=optional,
    ),
    max_size=3,
).map(tuple)
words = st.lists(texts, max_size=2).map(tuple)
described = {
    "title": texts,
    "notes": texts,
    "extras": extras,
    "resources": resources,
    "tags": words,
    "groups": words,
    "license_id": optional,
    "version": optional,
}
new_datasets = st.builds(
    NewDataset,
    name=st.sampled_from(NAMES),
    owner_org=st.sampled_from(ORGANIZATIONS),
    private=st.booleans(),
    creator=st.sampled_from(["", "me", "you"]),
    **described,
)
changes = st.builds(
    DatasetChange,
    name=st.none() | st.sampled_from(NAMES),
    owner_org=st.none() | st.sampled_from(ORGANIZATIONS),
    private=st.none() | st.booleans(),
    **{name: st.none() | strategy for name, strategy in described.items()},
)
KEYS = {
    "id": "id",
    "name": "name",
    "title": "title",
    "notes": "notes",
    "owner_org": "owner_org",
    "organization": "owner_org",
    "tags": "tags",
    "groups": "groups",
    "license_id": "license_id",
    "res_url": "res_url",
    "resource_name": "res_name",
    "res_format": "res_format",
    "k": "k",
    "K": "K",
    "extras_名": "名",
    "timestamp": "timestamp",
    "nothing": "nothing",
}
viewers = st.sampled_from([ANYBODY, EVERYTHING, Viewer("me"), Viewer("you")])
periods = st.builds(
    Period,
    start=st.none() | st.sampled_from([datetime(2026, 1, 1), datetime(2026, 1, 2)]),  # noqa: DTZ001
    end=st.none() | st.sampled_from([datetime(2026, 1, 2), datetime(2026, 1, 3)]),  # noqa: DTZ001
)


def folded(text):
    """Return a text as it is compared."""
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return text.replace("\x1f", " ")


def said(value):
    """Return the texts in a value, keys included."""
    if value is None:
        return []
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *said(item))]
    if isinstance(value, list | tuple):
        return [text for item in value for text in said(item)]
    return [str(value)]


def held(dataset):
    """Return the texts in a dataset by its fields."""
    found = {key: said(value) for key, value in dataset.extras.items()}
    for key in ("id", "name", "title", "notes", "owner_org", "license_id", "version"):
        found.setdefault(key, []).extend(said(getattr(dataset, key)))
    for key in ("tags", "groups"):
        found.setdefault(key, []).extend(said(getattr(dataset, key)))
    for resource in dataset.resources:
        found["id"].append(resource.id)
        for key in ("name", "url", "description", "format", "mimetype"):
            found.setdefault(f"res_{key}", []).extend(said(getattr(resource, key)))
    # A field that holds nothing is as good as none.
    return {key: kept for key, texts in found.items() if (kept := [text for text in texts if text])}


def has(dataset, term):
    """Return whether a term occurs in a dataset."""
    if not term.text:
        return True
    found = held(dataset)
    if term.key is None:
        places = [*found, *(text for texts in found.values() for text in texts)]
    else:
        places = [text for key in {term.key, KEYS[term.key]} for text in found.get(key, [])]
    return any(folded(term.text) in folded(place) for place in places)


def visible(dataset, viewer):
    """Return whether somebody may see a dataset."""
    mine = bool(viewer.user_id) and dataset.creator == viewer.user_id
    return viewer.sees_all or mine or not dataset.private


def wanted(resource, query):
    """Return whether a resource has what is asked of resources."""
    same = all(
        getattr(query, key) is None or getattr(query, key) == getattr(resource, key)
        for key in ("url", "name", "description")
    )
    return same and (query.format is None or folded(query.format) == folded(resource.format or ""))


def moment(dataset):
    """Return when a dataset is, or None."""
    try:
        time = datetime.fromisoformat(dataset.extras["timestamp"])
    except (KeyError, TypeError, ValueError):
        return None
    return time.replace(tzinfo=None)


def within(dataset, period):
    """Return whether a dataset is in a period."""
    if period is None:
        return True
    time = moment(dataset)
    return (
        time is not None
        and (period.start is None or period.start <= time)
        and (period.end is None or time <= period.end)
    )


class Agreement(RuleBasedStateMachine):
    """Does anything to a catalog, and asks it what the model knows too."""

    catalog = None

    def __init__(self):
        super().__init__()
        # The datasets, the oldest first.
        self.model = {}

    @initialize()
    def begin(self):
        for name in ORGANIZATIONS:
            if name in self.catalog.organization_names():
                self.catalog.delete_organization(name, cascade=True)
            self.catalog.create_organization(NewOrganization(name, name))

    def any_dataset(self, data):
        return data.draw(st.sampled_from(list(self.model.values()))) if self.model else None

    @rule(new=new_datasets)
    def create(self, new):
        taken = any(one.name == new.name for one in self.model.values())
        try:
            made = self.catalog.create_dataset(new)
        except DuplicateError:
            assert taken
            return
        assert not taken
        self.model[made.id] = made

    @rule(data=st.data(), change=changes, patch=st.booleans())
    def update(self, data, change, patch):
        if (old := self.any_dataset(data)) is None:
            return
        taken = any(one.name == change.name for one in self.model.values() if one is not old)
        try:
            self.model[old.id] = self.catalog.update_dataset(old.id, change, patch=patch)
        except DuplicateError:
            assert taken
            return
        assert not taken

    @rule(data=st.data())
    def delete(self, data):
        if (old := self.any_dataset(data)) is not None:
            self.catalog.delete_dataset(old.name)
            del self.model[old.id]

    @rule(data=st.data(), change=st.builds(ResourceChange, name=optional, url=optional))
    def patch_resource(self, data, change):
        old = self.any_dataset(data)
        if old is not None and old.resources:
            resource = data.draw(st.sampled_from(old.resources))
            self.catalog.patch_resource(resource.id, change)
            self.model[old.id] = self.catalog.dataset(old.id)

    @rule(data=st.data())
    def delete_resource(self, data):
        old = self.any_dataset(data)
        if old is not None and old.resources:
            resource = data.draw(st.sampled_from(old.resources))
            self.catalog.delete_resource(resource.id)
            self.model[old.id] = self.catalog.dataset(old.id)

    @rule(name=st.sampled_from(ORGANIZATIONS))
    def delete_organization(self, name):
        gone = [one for one in self.model.values() if one.owner_org == name]
        assert self.catalog.delete_organization(name, cascade=True) == len(gone)
        for one in gone:
            del self.model[one.id]
        self.catalog.create_organization(NewOrganization(name, name))

    def any_term(self, data):
        key = data.draw(st.none() | st.sampled_from(sorted(KEYS)))
        dataset = self.any_dataset(data)
        if dataset is not None and data.draw(st.booleans()):
            # A part of what is there.
            found = [text for texts in held(dataset).values() for text in texts]
            text = data.draw(st.sampled_from(found))
            begin = data.draw(st.integers(0, len(text) - 1))
            text = text[begin : begin + data.draw(st.integers(1, 12))]
            return Term(data.draw(st.sampled_from([text, text.upper()])), key)
        return Term(data.draw(texts), key)

    @rule(data=st.data())
    def search(self, data):
        for _ in range(3):
            terms = tuple(self.any_term(data) for _ in range(data.draw(st.integers(0, 3))))
            parts = ResourceFilter()
            dataset = self.any_dataset(data)
            if dataset is not None and dataset.resources and data.draw(st.booleans()):
                one = data.draw(st.sampled_from(dataset.resources))
                field = data.draw(st.sampled_from(["url", "name", "description", "format"]))
                parts = ResourceFilter(**{field: getattr(one, field)})
            query = Query(
                terms,
                parts,
                data.draw(st.none() | periods),
                data.draw(viewers),
                *data.draw(st.sampled_from([(1000, 0), (2, 0), (2, 1), (0, 0)])),
            )
            self.compare(query)

    def compare(self, query):
        matching = [
            dataset
            for dataset in reversed(self.model.values())
            if visible(dataset, query.viewer)
            and within(dataset, query.period)
            and all(has(dataset, term) for term in query.terms)
            and (
                not query.resources
                or any(wanted(one, query.resources) for one in dataset.resources)
            )
        ][query.offset :][: query.limit]
        assert self.catalog.search(query) == matching
        everything = "\x1f".join(
            folded(text)
            for one in self.model.values()
            for texts in held(one).values()
            for text in texts
        )
        # Both by the index and by looking at one after the other.
        for sample in (Sample(), Sample([everything])):
            found = self.catalog.read(
                lambda connection, sample=sample: search.hits(connection, query, sample)
            )
            assert [hit["id"] for hit in json.loads(found)] == [one.id for one in matching]

    @rule(q=optional, name=optional, url=optional, format_=st.sampled_from([None, "cSV", "", "SS"]))
    def search_resources(self, q, name, url, format_):
        query = ResourceQuery(q, name, url, None, format_, EVERYTHING, 1000)
        matching = {
            one.id
            for dataset in self.model.values()
            for one in dataset.resources
            if all(
                not text or any(folded(text) in folded(place or "") for place in places)
                for text, places in (
                    (q, (one.name, one.url, one.description)),
                    (name, (one.name,)),
                    (url, (one.url,)),
                )
            )
            and (format_ is None or folded(format_) == folded(one.format or ""))
        }
        count, found = self.catalog.search_resources(query)
        assert count == len(matching)
        assert {one.resource.id for one in found} == matching

    @invariant()
    def everything_is_there(self):
        found = self.catalog.search(Query(viewer=EVERYTHING))
        assert found == list(reversed(self.model.values()))

    def teardown(self):
        check_agreement(self.catalog)


def test_searches_find_what_the_model_says_after_any_operations(catalog_url):
    with opened(catalog_url) as catalog:
        machine = type("Machine", (Agreement,), {"catalog": catalog})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
