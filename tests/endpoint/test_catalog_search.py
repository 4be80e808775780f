"""Searching the catalog: what a term means, who sees what, in which order."""

import json
from datetime import datetime

import pytest

from rexec_ep_api.catalog.errors import InvalidError
from rexec_ep_api.catalog.records import (
    ANYBODY,
    EVERYTHING,
    DatasetChange,
    NewResource,
    Period,
    Query,
    ResourceFilter,
    Term,
    Viewer,
)

HOSTILE = [
    "%",
    "_",
    "r%n",
    "'",
    "''",
    "' OR 1=1 --",
    '"',
    '""',
    '"a" OR "b',
    "\\",
    "\\'",
    "NEAR(rain wind)",
    "rain NOT wind",
    "rain AND",
    "ra*",
    "*",
    "^rain",
    "name:rain",
    "{name}:rain",
    "-rain",
    "(",
    "())",
    "rain & wind",
    "rain | wind",
    "!rain",
    "rain:*",
    "rain <-> wind",
    "a:b:c",
    "$1",
    ":x",
    "?",
    "\x01\x02\x03",
    "\x1f\x1f\x1f",
    "\ufffe\uffff\ufeff",
    "\U0010ffff",
    "\u202e\u200d",
    "\\u0000",
    "a" * 20_000,
    "雨" * 5_000,
    "%" * 10_000,
]


@pytest.fixture
def one(shared_catalog, fresh):
    """Return whether terms find a dataset with some content, beside one with other content."""

    def found(content, *terms):
        mark = fresh("mark")
        holding = shared_catalog.add(f"{mark}-1", notes=content)
        shared_catalog.add(f"{mark}-2", notes="Rain, wind: as 100_000 others have it.")
        names = shared_catalog.names(Term(mark, "name"), *terms)
        assert set(names) <= {holding.name, f"{mark}-2"}
        return names == [holding.name]

    return found


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:16])
def test_no_character_means_anything_but_itself(one, shared_catalog, text):
    if text not in {"_", "a:b:c"}:
        assert one(f"before {text} after", text)
    assert one(f"before{text}after", f"before{text}after")
    assert shared_catalog.names(Term(f"{text}\u2603")) == []
    # Alone, it is looked for as it is.
    assert isinstance(shared_catalog.names(text, limit=1), list)
    for key in ("notes", "extras_x", text):
        assert shared_catalog.names(Term(f"{text}\u2603", key)) == []


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "x\udfff"], ids=ascii)
def test_what_no_database_holds_is_nowhere(shared_catalog, text):
    for term in (Term(text), Term(text, "notes"), Term("x", text), Term("", text)):
        query = Query((term,) if term.text else (term, Term(text)))
        assert shared_catalog.search(query) == []
        assert shared_catalog.search_json(query) == b"[]"
    for field in ("url", "name", "description", "format"):
        wanted = ResourceFilter(**{field: text})
        assert shared_catalog.search(Query(resources=wanted)) == []


@pytest.mark.parametrize(
    ("content", "term"),
    [
        ("Straße", "STRASSE"),
        ("STRASSE", "straße"),
        ("ẞ", "ss"),
        ("İstanbul", "i\u0307stanbul"),
        ("i\u0307stanbul", "İSTANBUL"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("Café", "cafe\u0301"),
        ("cafe\u0301", "CAFÉ"),
        ("\u1e9b\u0323", "\u1e9b\u0323"),
        ("\u212bngström", "Ångström"),
        ("ﬁnal", "FINAL"),
        ("降水量 2026", "水量"),
        ("降水量", "量"),
        ("강수량", "강수"),
        ("\u1100\u1161", "가"),
        ("Дождь", "ДОЖ"),
        ("\U0001f327 rain", "\U0001f327"),
        ("𐐀", "𐐨"),
    ],
)
def test_case_and_composition_make_no_difference(one, content, term):
    assert one(f"…{content}…", term)
    assert one(content, Term(term, "notes"))


@pytest.mark.parametrize(
    ("content", "term"),
    [
        ("Kafe", "Café"),
        ("\u0131", "\u0130"),
        ("rain fall", "rainfall"),
        ("雨", "雪"),
        ("ab cd", "ad"),
    ],
)
def test_other_characters_make_one(one, content, term):
    assert not one(f"<{content}>", f"<{term}>")


def test_one_or_two_characters_are_found_at_every_place(shared_catalog, fresh):
    mark = fresh("short")
    texts = ["qj", "qj rest", "rest qj", "rqjr", "q", "j", "雨j"]
    for number, text in enumerate(texts):
        shared_catalog.add(f"{mark}-{number}", title=text, version="ÿ")

    def found(term):
        names = shared_catalog.names(Term(term, "title"), Term(mark))
        assert names == [name for name in shared_catalog.names(term, Term(mark)) if name in names]
        return sorted(int(name[-1]) for name in names)

    assert found("qj") == [0, 1, 2, 3]
    assert found("j") == [0, 1, 2, 3, 5, 6]
    assert found("雨j") == found("雨") == [6]
    assert found("jq") == []
    assert len(shared_catalog.names("ÿ", mark)) == len(texts)


def test_terms_never_reach_across_values(shared_catalog, fresh):
    mark = fresh("apart")
    shared_catalog.add(mark, title="one", notes="two", tags=("three", "four"))
    for term in ("onetwo", "one two", "one\x1ftwo", "threefour", "three four", "\x1f\x1f"):
        assert shared_catalog.names(term, Term(mark, "name")) == []


def test_a_term_with_a_key_is_looked_for_in_that_field_alone(shared_catalog, fresh):
    mark = fresh("keyed")
    made = shared_catalog.add(
        mark,
        title="Title-word",
        notes="notes-word",
        tags=("tag-word",),
        groups=("group-word",),
        license_id="licence-word",
        version="version-word",
        extras={"Depth": {"Metres": [12.5, True]}, "note": None},
        resources=(
            NewResource("https://h/url-word", "res-word", "about-word", "FMT-word", "mime-word"),
        ),
    )
    fields = {
        "id": made.id[4:20],
        "name": mark,
        "title": "title-WORD",
        "notes": "NOTES-word",
        "description": "notes-word",
        "tags": "tag-word",
        "groups": "group-word",
        "license_id": "licence-word",
        "version": "version-word",
        "owner_org": "LAB",
        "organization": "lab",
        "res_url": "url-word",
        "resource_url": "url-word",
        "res_name": "res-word",
        "res_description": "about-word",
        "res_format": "fmt-word",
        "res_mimetype": "mime-word",
        "Depth": "metres",
        "extras_Depth": "12.5",
    }
    mine = Term(mark, "name")
    for key, text in fields.items():
        assert shared_catalog.names(mine, Term(text, key)) == [mark], key
        for other in {"title", "res_format", "tags", "nothing", "extras_Depth"} - {key}:
            if fields.get(other, "") != text and (other, key) != ("extras_Depth", "Depth"):
                assert shared_catalog.names(mine, Term(text, other)) == [], (key, other)
    assert shared_catalog.names(mine, Term("true", "Depth")) == [mark]
    assert shared_catalog.names(mine, Term("12.5", "depth")) == []
    # The names of fields are part of what is dumped.
    assert shared_catalog.names(mine, "depth", "res_url", "METRES") == [mark]


@pytest.mark.parametrize(
    "key",
    [
        "extras_x",
        "extras_",
        "organization",
        "description",
        "$",
        "$.a",
        "a.b",
        "a[0]",
        '"',
        "'",
        "\\",
        "%",
        "key with blanks",
        "雨",
        "#-1",
        "-1",
        "0",
        "\x1f",
        "k" * 200,
    ],
)
def test_extras_are_found_by_any_key(shared_catalog, fresh, key):
    value = fresh("value")
    made = shared_catalog.add(extras={key: value, "other": "else"})
    for asked in {key, f"extras_{key}"}:
        assert shared_catalog.names(Term(value, asked)) == [made.name]
        assert shared_catalog.names(Term("else", asked), Term(value)) == []


def test_all_terms_must_occur_and_empty_ones_say_nothing(shared_catalog, fresh):
    first, second = fresh("first"), fresh("second")
    both = shared_catalog.add(notes=f"{first} {second}")
    shared_catalog.add(notes=first)
    assert shared_catalog.names(first, second) == [both.name]
    assert shared_catalog.names(first, second, "", Term("", "nothing")) == [both.name]
    assert shared_catalog.names(*[first, second] * 50) == [both.name]
    assert both.name in shared_catalog.names("")
    assert both.name in shared_catalog.names()


def test_private_datasets_are_for_their_creator_and_who_sees_all(shared_catalog, fresh):
    mark = fresh("private")
    public = shared_catalog.add(notes=mark).name
    hidden = shared_catalog.add(notes=mark, private=True, creator="owner").name
    nobodys = shared_catalog.add(notes=mark, private=True).name
    for viewer in (ANYBODY, Viewer("somebody"), Viewer("")):
        assert shared_catalog.names(mark, viewer=viewer) == [public]
        found = shared_catalog.search_json(Query((Term(mark),), viewer=viewer))
        assert hidden.encode() not in found
    assert shared_catalog.names(mark, viewer=Viewer("owner")) == [hidden, public]
    assert shared_catalog.names(mark, viewer=EVERYTHING) == [nobodys, hidden, public]


def test_one_resource_must_have_all_that_is_asked_and_only_such_are_shown(shared_catalog, fresh):
    mark = fresh("parts")
    resources = (
        NewResource("https://h/1", "same", "About", "CSV"),
        NewResource("https://h/2", "same", None, "csv"),
        NewResource("https://h/3", "Other"),
    )
    name = shared_catalog.add(notes=mark, resources=resources).name
    bare = shared_catalog.add(notes=mark).name

    def shown(**wanted):
        query = Query((Term(mark),), resources=ResourceFilter(**wanted))
        hits = json.loads(shared_catalog.search_json(query))
        assert [hit["name"] for hit in hits] == [one.name for one in shared_catalog.search(query)]
        assert all(hit["name"] == name for hit in hits)
        return [resource["url"][-1] for hit in hits for resource in hit["resources"]]

    assert shown(format="CsV") == ["1", "2"]
    assert shown(name="same", format="csv", url="https://h/2") == ["2"]
    assert shown(name="Other", format="csv") == []
    assert shown(name="other") == []
    assert shown(name="sam") == []
    assert shown(description="About") == ["1"]
    assert shown(format="") == ["3"]
    assert shared_catalog.names(mark) == [bare, name]


def test_hits_tell_everything(shared_catalog, fresh):
    made = shared_catalog.add(
        fresh("hit"),
        extras={"deep": {"a": [1, None, "雨"]}, "\\u0000": '"'},
        tags=("a",),
        resources=(NewResource("https://h/1", "r", None, "CSV"),),
    )
    (found,) = json.loads(shared_catalog.search_json(Query((Term(made.name),))))
    assert found == {
        "id": made.id,
        "name": made.name,
        "title": made.title,
        "owner_org": made.owner_org,
        "notes": "",
        "resources": [
            {
                "id": made.resources[0].id,
                "url": "https://h/1",
                "name": "r",
                "description": None,
                "format": "CSV",
            }
        ],
        "extras": made.extras,
        "tags": ["a"],
        "groups": [],
        "private": False,
        "license_id": None,
        "version": None,
        "metadata_created": made.created.isoformat(),
        "metadata_modified": made.modified.isoformat(),
    }


def test_pages_together_are_everything_the_newest_first(shared_catalog, fresh):
    mark = fresh("page")
    names = [shared_catalog.add(f"{mark}-{number}").name for number in range(7)][::-1]
    assert shared_catalog.names(mark) == names
    # To change one does not move it: who turns pages misses nothing.
    shared_catalog.update_dataset(names[3], DatasetChange(title="Other"), patch=True)
    pages = [shared_catalog.names(mark, limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert pages == [names[:3], names[3:6], names[6:], []]
    assert shared_catalog.names(mark, limit=0) == []
    assert shared_catalog.names(mark, offset=2**62) == []
    with pytest.raises(InvalidError):
        shared_catalog.names(mark, offset=2**63)


def test_a_search_returns_a_thousand_unless_told_otherwise():
    assert Query().limit == 1000


@pytest.fixture
def timed(shared_catalog, fresh):
    """What finds the datasets of a period by the last part of their names."""
    mark = fresh("time")
    times = {
        "early": "2026-01-01T00:00:00Z",
        "zone": "2026-01-01T02:00:00+01:00",
        "late": " 2026-01-03 ",
        "old": "0999-12-31T23:59:59.999999",
        "none": None,
        "text": "yesterday",
        "number": 5,
        "beyond": "0001-01-01T00:00:00+14:00",
    }
    for name, time in times.items():
        shared_catalog.add(f"{mark}-{name}", extras={"timestamp": time})

    def found(*limits, **options):
        start, end = (limit and datetime.fromisoformat(limit) for limit in limits)
        period = Period(start, end, **options)
        return [name.rpartition("-")[2] for name in shared_catalog.names(mark, period=period)]

    return found


def test_a_period_has_its_limits_and_what_has_no_time_is_in_none(timed):
    assert timed("2026-01-01T00:00:00", "2026-01-01T01:00:00") == ["zone", "early"]
    assert timed("2026-01-01T00:00:00.000001", None) == ["late", "zone"]
    assert timed(None, "2025-01-01") == ["old"]
    assert timed(None, None) == ["old", "late", "zone", "early"]
    assert timed("2026-01-02", "2026-01-01") == []


def test_the_nearest_is_one(timed):
    assert timed("2026-01-01T00:30:00", None, nearest=True) == ["zone"]
    assert timed(None, "2026-01-01T00:30:00", nearest=True) == ["early"]
    assert timed(None, "0999-01-01", nearest=True) == []
