"""Finding datasets: one meaning of terms and keys, whatever the database."""

import pytest

DATASETS = [
    {
        "name": "rain-gauges",
        "title": "Rain Gauges of the Zürich region",
        "notes": "Hourly sums, 100% checked. Don't panic; a+b(c)[d]",
        "tags": ["hydrology", "hourly"],
        "groups": ["water"],
        "extras": {"project": "Catchment", "station_count": 40, "timestamp": "2026-01-10T00:00:00"},
        "resources": [
            {
                "name": "sums",
                "url": "https://data.example.org/sums.csv",
                "format": "CSV",
                "description": "All sums",
            },
            {"name": "plain", "url": "https://data.example.org/plain"},
        ],
    },
    {
        "name": "river-levels",
        "title": "River levels",
        "notes": "Levels every ten minutes",
        "tags": ["hydrology"],
        "extras": {"project": "Basin", "timestamp": "2026-02-10T00:00:00Z"},
        "resources": [
            {"name": "levels", "url": "https://data.example.org/levels.nc", "format": "NetCDF"}
        ],
    },
    {
        "name": "empty-set",
        "title": "Nothing yet 降水",
        "notes": "No resources",
        "extras": {"project": "Catchment", "timestamp": "2026-03-10T00:00:00"},
    },
]


@pytest.fixture(scope="module")
def mark(endpoint, identity):
    """What all datasets of this module have in their names, and no others."""
    mark = "srchmark"
    with endpoint.client(identity.token("writer")) as client:
        organization = {"name": f"{mark}-lab", "title": "Lab"}
        assert client.post("/organization", json=organization).status_code == 201
        for dataset in DATASETS:
            body = dataset | {"name": f"{mark}-{dataset['name']}", "owner_org": f"{mark}-lab"}
            answer = client.post("/dataset", json=body)
            assert answer.status_code == 201, answer.text
        private = {"name": f"{mark}-private", "title": "Secret", "private": True}
        answer = client.post("/dataset", json=private | {"owner_org": f"{mark}-lab"})
        assert answer.status_code == 201, answer.text
    return mark


@pytest.fixture
def find(anonymous, mark):
    """Find datasets of this module; return what is in their names beside the mark."""

    def found(*terms, keys=None, client=anonymous, **params):
        asked = {"terms": [*terms, mark]} | params
        if keys is not None:
            asked["keys"] = [*keys, "name"]
        answer = client.get("/search", params=asked)
        assert answer.status_code == 200, answer.text
        return named(answer)

    return found


@pytest.fixture
def ask(anonymous, mark):
    """The same with POST; resources that are shown are in brackets."""

    def found(client=anonymous, **body):
        filters = [f"name:{mark}-", *body.pop("filter_list", [])]
        answer = client.post("/search", json={"filter_list": filters} | body)
        assert answer.status_code == 200, answer.text
        return named(answer)

    return found


def named(answer):
    return [hit["name"].partition("-")[2] for hit in answer.json()]


def detail(answer, status):
    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["detail"], str)
    return answer.json()["detail"]


ALL = ["empty-set", "river-levels", "rain-gauges"]


def test_the_newest_come_first(find):
    assert find() == ALL


def test_a_hit_tells_what_clients_read(anonymous, mark):
    [hit] = anonymous.get("/search", params={"terms": f"{mark}-rain"}).json()
    given = DATASETS[0]
    assert hit["name"] == f"{mark}-rain-gauges"
    assert hit["title"] == given["title"]
    assert hit["owner_org"] == f"{mark}-lab"
    assert hit["notes"] == given["notes"]
    assert given["extras"].items() <= hit["extras"].items()
    assert hit["tags"] == given["tags"]
    for shown, resource in zip(hit["resources"], given["resources"], strict=True):
        asked = {"name": None, "url": None, "format": None, "description": None} | resource
        assert shown == asked | {"id": shown["id"]}


@pytest.mark.parametrize(
    ("terms", "found"),
    [
        (["RAIN"], ["rain-gauges"]),
        (["zürich"], ["rain-gauges"]),
        (["ZÜRICH"], ["rain-gauges"]),
        (["降水"], ["empty-set"]),
        (["hydrology"], ["river-levels", "rain-gauges"]),
        (["hydro", "ten min"], ["river-levels"]),
        (["hydro", "Nothing"], []),
        (["catchment"], ["empty-set", "rain-gauges"]),
        (["sums.csv"], ["rain-gauges"]),
        (["auge"], ["rain-gauges"]),
        (["netcdf"], ["river-levels"]),
        (["100%"], ["rain-gauges"]),
        (["%"], ["rain-gauges"]),
        (["don't"], ["rain-gauges"]),
        (["a+b(c)[d]"], ["rain-gauges"]),
        (["x%y"], []),
        (["' OR 1=1 --"], []),
        (['" OR "'], []),
        (["rain*"], []),
        (["rain OR river"], []),
        (["NEAR(rain gauges)"], []),
        (["name:rain"], []),
        (["\\"], []),
        ([" "], ALL),
        (["ü"], ["rain-gauges"]),
    ],
)
def test_every_term_must_occur_somewhere_as_it_is(find, terms, found):
    assert find(*terms) == found


@pytest.mark.parametrize(
    ("term", "key", "found"),
    [
        ("RAIN", "name", ["rain-gauges"]),
        ("region", "title", ["rain-gauges"]),
        ("sums", "notes", ["rain-gauges"]),
        ("sums", "title", []),
        ("hydro", "tags", ["river-levels", "rain-gauges"]),
        ("water", "groups", ["rain-gauges"]),
        ("MARK-lab", "owner_org", ALL),
        ("mark-LAB", "organization", ALL),
        ("csv", "res_format", ["rain-gauges"]),
        ("levels.nc", "res_url", ["river-levels"]),
        ("plain", "res_name", ["rain-gauges"]),
        ("catch", "extras_project", ["empty-set", "rain-gauges"]),
        ("catch", "project", ["empty-set", "rain-gauges"]),
        ("40", "station_count", ["rain-gauges"]),
        ("rain", "null", ["rain-gauges"]),
        ("rain", "no_such_field", []),
        ("1", "$where", []),
        ("rain", "name' OR '1'='1", []),
        ("rain", "", []),
    ],
)
def test_a_key_says_where(find, term, key, found):
    assert find(term, keys=[key]) == found


@pytest.mark.parametrize("server", ["local", "global"])
def test_without_a_global_catalog_the_local_one_is_asked(find, server):
    assert find("rain", server=server) == ["rain-gauges"]


def test_page_by_page(find):
    assert [find(limit=1, offset=offset) for offset in range(4)] == [[name] for name in ALL] + [[]]
    assert find(limit=0) == []


def test_private_ones_are_found_by_their_creator_and_by_writers(
    find, ask, as_writer, as_admin, as_viewer
):
    for client in (as_writer, as_admin):
        assert find(client=client) == ["private", *ALL]
        assert ask(client=client) == ["private", *ALL]
    assert find(client=as_viewer) == ALL
    assert ask(client=as_viewer) == ALL


def test_a_token_that_is_not_valid_is_as_good_as_none(find, endpoint):
    with endpoint.client("nonsense") as client:
        assert find(client=client) == ALL


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({}, 422),
        ({"terms": "x", "server": "pre_ckan"}, 422),
        ({"terms": "x", "limit": -1}, 422),
        ({"terms": "x", "limit": 1001}, 422),
        ({"terms": "x", "offset": 2**64}, 422),
        ({"terms": "x" * 1001}, 422),
        ({"terms": ["x"] * 101}, 422),
        ({"terms": ["x", "y"], "keys": ["name"]}, 400),
        ({"terms": ["x"], "keys": ["name", "null"]}, 400),
    ],
)
def test_what_cannot_be_asked(anonymous, params, status):
    assert detail(anonymous.get("/search", params=params), status)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, ALL),
        ({"dataset_name": "RIVER"}, ["river-levels"]),
        ({"dataset_title": "levels"}, ["river-levels"]),
        ({"dataset_description": "hourly sums"}, ["rain-gauges"]),
        ({"owner_org": "srchmark-lab"}, ALL),
        ({"owner_org": "other"}, []),
        ({"search_term": "hydrology"}, ["river-levels", "rain-gauges"]),
        ({"search_term": "hydrology, TEN"}, ["river-levels"]),
        ({"search_term": " , "}, ALL),
        ({"search_term": "rain", "dataset_name": "river"}, ["rain-gauges"]),
        ({"filter_list": ["extras_project:catchment"]}, ["empty-set", "rain-gauges"]),
        ({"filter_list": ['notes:"Hourly sums"']}, ["rain-gauges"]),
        ({"filter_list": ["*:*"]}, ALL),
        ({"filter_list": ["https://data.example.org/levels"]}, ["river-levels"]),
        ({"filter_list": ["tags:hydrology", "name:rain"]}, ["rain-gauges"]),
        ({"filter_list": ["$where:function() { return true; }"]}, []),
        ({"filter_list": ["name:x OR *:*"]}, []),
        ({"resource_format": "csv"}, ["rain-gauges"]),
        ({"resource_format": "cs"}, []),
        ({"resource_name": "levels"}, ["river-levels"]),
        ({"resource_name": "level"}, []),
        ({"resource_url": "https://data.example.org/plain"}, ["rain-gauges"]),
        ({"resource_description": "All sums"}, ["rain-gauges"]),
        ({"resource_description": "all sums"}, []),
        ({"resource_name": "sums", "resource_format": "CSV"}, ["rain-gauges"]),
        ({"resource_name": "plain", "resource_format": "CSV"}, []),
        ({"resource_format": "", "dataset_name": "", "search_term": ""}, ALL),
        (dict.fromkeys(["dataset_name", "search_term", "resource_url", "timestamp"]), ALL),
        (
            {"timestamp": "2026-01-01T00:00:00/2026-02-28T00:00:00Z"},
            ["river-levels", "rain-gauges"],
        ),
        ({"timestamp": "2026-02-10T01:00:00+01:00/2026-02-10T00:00:00"}, ["river-levels"]),
        ({"timestamp": "<2026-03-01T00:00:00"}, ["river-levels"]),
        ({"timestamp": ">2026-02-11"}, ["empty-set"]),
        ({"timestamp": ">2027-01-01"}, []),
        ({"server": "local"}, ALL),
    ],
)
def test_asking_for_several_things(ask, body, found):
    assert ask(**body) == found


def test_only_the_resources_asked_for_are_shown(anonymous, mark):
    body = {"dataset_name": f"{mark}-rain", "resource_format": "csv"}
    [hit] = anonymous.post("/search", json=body).json()
    assert [resource["name"] for resource in hit["resources"]] == ["sums"]


def test_pages_of_what_was_asked_for(anonymous, mark):
    pages = [
        named(anonymous.post("/search", json={"dataset_name": mark}, params=page))
        for page in ({"limit": 2}, {"limit": 2, "offset": 2})
    ]
    assert pages == [ALL[:2], ALL[2:]]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 422),
        ({"server": "elsewhere"}, 422),
        ({"filter_list": "name:x"}, 422),
        ({"search_term": 5}, 422),
        ({"search_term": "\0"}, 422),
        ({"server": "pre_ckan"}, 400),
        ({"timestamp": "2026"}, 400),
        ({"timestamp": "yesterday/today"}, 400),
        ({"timestamp": "2026-02-01/2026-01-01"}, 400),
        ({"timestamp": "<0001-01-01T00:00:00+23:00"}, 400),
    ],
)
def test_what_cannot_be_asked_for(anonymous, body, status):
    assert detail(anonymous.post("/search", json=body), status)
