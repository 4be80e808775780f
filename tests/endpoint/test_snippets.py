"""The code that loads resources of a catalog, and the route that tells it to the catalog's page."""

import ast
import gzip

import pytest

from rexec_jupyter.endpoint.snippets import by_address, literal, through_client
from tests.endpoint.answering import Answering, Reply

FORMATS = (
    *("csv", "TSV", "json", "jsonl", "parquet", "xlsx", "NetCDF", "zarr", "GeoJSON", "txt"),
    *("text/csv", ".csv", "pdf", ""),
)
PLACES = (
    "https://example.org/a/b.csv?x=1",
    "s3://bucket/key.parquet",
    "pelican://federation.example.org/a/b.json",
    "osdf:///ospool/a.nc",
    "ftp://example.org/a.txt",
    "wss://example.org/news",
)
NOWHERE = (
    "",
    "  ",
    "./read.csv",
    "/dataset/a.csv",
    "//example.org/a.csv",
    "example.org/a.csv",
    "example.org:80/a.csv",
    "C:\\data\\a.csv",
    "file:///etc/passwd",
    "kafka://example.org:9092/topic",
    "https:///a.csv",
    "https://example.org:port/a.csv",
    "osdf:///",
    "nonsense",
    "http://[",
)
NASTY = (
    "https://example.org/a.csv'); import os; os.abort() #",
    'https://example.org/"""\nraise SystemExit\n"""',
    "https://example.org/{0}{data!r}%s\\",
    "https://example.org/\u202etxt.\u2028csv",
)


def resource(url, kind="", **more):
    return {"id": "1", "name": "a", "url": url, "format": kind, **more}


def line(url, kind="", **dataset):
    return by_address(dataset, resource(url, kind)).line


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("url", PLACES + NASTY)
def test_it_is_code_in_which_the_address_is_a_literal(url, kind):
    made = by_address({}, resource(f" {url} ", kind))
    if url.startswith("pelican:") and kind == "zarr":
        assert made is None
        return
    for code in (made.line, made.cell):
        tree = ast.parse(code)
        literals = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        assert url in literals
        assert code.isascii()
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not names & {"os", "SystemExit"}
    assert "\n" not in made.line
    assert isinstance(ast.parse(made.cell).body[-1], ast.Expr)


@pytest.mark.parametrize("text", ["", "a\"b'c\\", "\U0001f600\ud800\x00\n\u2028", *NASTY])
def test_a_literal_is_the_text(text):
    assert ast.literal_eval(literal(text)) == text


@pytest.mark.parametrize("kind", ["", "CSV", "kafka", "service", "websocket"])
@pytest.mark.parametrize("url", NOWHERE)
def test_what_leads_nowhere_has_no_code(url, kind):
    told = resource(url, kind)
    assert by_address({}, told) is None
    assert through_client({}, told, "https://ep.example.org") is None


@pytest.mark.parametrize("told", [{}, {"url": None, "format": None}, {"url": 7, "format": []}])
def test_what_is_told_may_be_anything(told):
    assert by_address({"extras": None, "resources": None}, told) is None


@pytest.mark.parametrize(
    ("url", "kind", "call"),
    [
        ("https://e.org/x", "CSV", "pd.read_csv("),
        ("https://e.org/x", "text/csv; charset=utf-8", "pd.read_csv("),
        ("https://e.org/x.tsv", "", r'sep="\t"'),
        ("https://e.org/x.parquet?y", "", "pd.read_parquet("),
        ("https://e.org/x.csv.gz", "", "pd.read_csv("),
        ("https://e.org/x", "XLSX", "pd.read_excel("),
        ("https://e.org/x.nc", "", "xr.open_dataset(fsspec.open("),
        ("https://e.org/x", "OPeNDAP", "xr.open_dataset("),
        ("s3://b/x.zarr", "", "xr.open_zarr("),
        ("https://e.org/x", "geojson", "gpd.read_file("),
        ("https://e.org/x.TIF", "", "rioxarray.open_rasterio("),
        ("s3://b/x", "csv", 'pd.read_csv("s3://b/x")'),
        ("s3://b/x", "", 'fsspec.open("s3://b/x").open().read()'),
        ("s3://b/x", "opendap", "fsspec.open("),
        ("osdf:///x.csv", "", 'pd.read_csv(BytesIO(pelican_read("osdf:///x.csv")))'),
        ("pelican://f.org/x.tif", "", "rioxarray.open_rasterio(BytesIO(pelican_read("),
        ("https://e.org/x.csv", "application/json", "json.load(urlopen("),
        ("https://e.org/x.json.gz", "", 'compression="infer"'),
        ("https://e.org/x.tar.gz", "", "urlopen("),
        ("https://e.org/x", "websocket", "urlopen("),
        ("wss://e.org/x", "JSON", "connect("),
    ],
)
def test_it_suits_the_format(url, kind, call):
    assert call in line(url, kind)


def test_it_tells_what_it_needs():
    def needs(url, kind=""):
        return by_address({}, resource(url, kind)).packages

    assert needs("https://e.org/a.json") == ()
    assert needs("https://e.org/a.parquet") == ("pandas", "pyarrow")
    assert needs("s3://b/a.parquet") == ("pandas", "pyarrow", "fsspec", "s3fs")
    assert needs("https://e.org/a.nc")[:4] == ("xarray", "h5netcdf", "h5py", "scipy")
    assert needs("https://e.org/a.h5") == ("h5py", "fsspec", "aiohttp")
    assert needs("osdf:///a.json") == ("rexec-jupyter[pelican]",)
    assert by_address({}, resource("s3://b/a.h5")).cell.startswith("# Needs h5py, fsspec, s3fs.\n")


@pytest.mark.parametrize("listed", [False, True])
def test_what_the_dataset_tells_counts(listed):
    def dataset(**extras):
        pairs = [{"key": key, "value": value} for key, value in extras.items()]
        return {"extras": pairs if listed else extras, "resources": [{}]}

    table = dataset(file_type="CSV", processing={"delimiter": ";", "comment_char": "#"})
    assert line("https://e.org/x", "url", **table).endswith('/x", sep=";", comment="#")')
    shared = {**table, "resources": [{}, {}]}  # of which of them is it told?
    assert line("https://e.org/x", "url", **shared).endswith('urlopen("https://e.org/x").read()')
    stream = dataset(host="k.org", port="9092", topic="levels")
    topic = by_address(stream, resource("", "kafka"))
    assert 'KafkaConsumer("levels", bootstrap_servers="k.org:9092")' in topic.line
    assert "search_datasets(" in through_client(stream, resource("", "kafka"), "https://e").line


def packed(content):
    return gzip.compress(content, mtime=0)  # else its time is in the names of tests


@pytest.mark.parametrize(
    ("name", "content", "variable", "check"),
    [
        ("a.csv", b"x,y\n1,2\n", "df", lambda df: list(df["y"]) == [2]),
        ("a.csv.gz", packed(b"x,y\n1,2\n"), "df", lambda df: list(df["y"]) == [2]),
        ("a.tsv", b"x\ty\n1\t2\n", "df", lambda df: list(df["y"]) == [2]),
        ("a.json", b'{"x": [1]}', "data", lambda data: data == {"x": [1]}),
        ("a.json.gz", packed(b'{"x": [1]}'), "data", lambda data: data == {"x": [1]}),
        ("a.jsonl", b'{"x": 1}\n{"x": 2}\n', "df", lambda df: list(df["x"]) == [1, 2]),
        ("a.txt", "größer".encode(), "text", lambda text: text == "größer"),
        ("a.bin", b"\x00\x01", "content", lambda content: content == b"\x00\x01"),
    ],
)
@pytest.mark.parametrize("layout", ["line", "cell"])
def test_it_loads_it(name, content, variable, check, layout, capsys):
    def measured(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()

    with Answering() as server:
        server.answer("GET", f"/{name}", Reply(200, content))
        server.answer("HEAD", f"/{name}", Reply(content=measured))
        made = by_address({}, resource(f"{server.url}/{name}"))
        names = {}
        exec(compile(getattr(made, layout), "cell", "exec"), names)
    assert check(names[variable])


# ------------------------------------------------------------------------ told to the page


@pytest.fixture
def organization(as_writer, fresh):
    name = fresh("lab")
    as_writer.post("/organization", json={"name": name, "title": name}).raise_for_status()
    return name


def register(client, name, organization, resources, **more):
    body = {"name": name, "title": name, "owner_org": organization, "resources": resources, **more}
    client.post("/dataset", json=body).raise_for_status()
    return client.get(f"/dataset/{name}").json()


def test_the_page_is_told_the_ways_to_load_each_resource(anonymous, as_writer, organization, fresh):
    resources = [
        {"name": "sums", "url": "https://e.org/a.csv", "format": "CSV"},
        {"name": "help", "url": "./read.me", "format": "PDF"},
    ]
    dataset = register(as_writer, fresh("rain"), organization, resources)
    query = {"base": 'https://e.org/"lab"'}
    told = anonymous.get(f"/pages/code/{dataset['name']}", params=query).json()
    sums, read_me = (told[one["id"]] for one in dataset["resources"])
    assert read_me == []
    direct, through = sums
    assert direct == {
        "title": "By its address",
        "code": 'import pandas as pd; df = pd.read_csv("https://e.org/a.csv")',
        "packages": ["pandas"],
    }
    client = r'EndpointClient("https://e.org/\"lab\"")'
    assert f'{client}.get_resource("{dataset["resources"][0]["id"]}")' in through["code"]
    assert through["packages"] == ["rexec-jupyter", "pandas"]
    assert anonymous.get(f"/pages/code/{dataset['id']}", params=query).json() == told


def test_code_is_told_to_who_may_see_the_dataset(anonymous, as_writer, organization, fresh):
    resources = [{"name": "a", "url": "https://e.org/secret.csv"}]
    name = register(as_writer, fresh("draft"), organization, resources, private=True)["name"]
    refused = anonymous.get(f"/pages/code/{name}", params={"base": "https://e.org"})
    assert refused.status_code == 404
    assert "secret" not in refused.text
    assert as_writer.get(f"/pages/code/{name}", params={"base": "https://e.org"}).is_success
    assert anonymous.get(f"/pages/code/{fresh()}", params={"base": "x"}).status_code == 404
    assert anonymous.get(f"/pages/code/{name}").status_code == 422
