"""The cells that load resources of a catalog."""

import ast

import pytest

from rexec_jupyter.labapp.snippets import code
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
    "kafka://example.org:9092/topic",
    "nonsense",
    "http://[",
)
NASTY = (
    "https://example.org/a.csv'); import os; os.abort() #",
    'https://example.org/"""\nraise SystemExit\n"""',
    "https://example.org/{0}{data!r}%s\\",
    "https://example.org/\u202etxt.\u2028csv",
)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("url", PLACES + NASTY)
def test_it_is_code_in_which_the_address_is_a_literal(url, kind):
    tree = ast.parse(code(url, kind))
    literals = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert url.strip() in literals
    assert code(url, kind).isascii()
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not any("os." in call or "abort" in call for call in calls)


@pytest.mark.parametrize(
    ("url", "kind", "call"),
    [
        ("https://e.org/x", "CSV", "read_csv"),
        ("https://e.org/x.tsv", "", r"sep='\t'"),
        ("https://e.org/x.parquet?y", "", "read_parquet"),
        ("https://e.org/x", "XLSX", "read_excel"),
        ("https://e.org/x.nc", "", "open_dataset"),
        ("s3://b/x.zarr", "", "open_zarr"),
        ("https://e.org/x", "geojson", "read_file"),
        ("s3://b/x", "csv", "read_csv"),
        ("s3://b/x", "", "S3FileSystem"),
        ("osdf:///x.csv", "", "pelican_read"),
        ("https://e.org/x.csv", "application/json", "json.load"),
    ],
)
def test_it_suits_the_format(url, kind, call):
    assert call in ast.unparse(ast.parse(code(url, kind)))


def test_what_has_no_address_has_no_code():
    assert code("  ", "csv") == ""


@pytest.mark.parametrize(
    ("name", "content", "check"),
    [
        ("a.csv", b"x,y\n1,2\n", lambda data: list(data["y"]) == [2]),
        ("a.tsv", b"x\ty\n1\t2\n", lambda data: list(data["y"]) == [2]),
        ("a.json", b'{"x": [1]}', lambda data: data == {"x": [1]}),
        ("a.jsonl", b'{"x": 1}\n{"x": 2}\n', lambda data: list(data["x"]) == [1, 2]),
        ("a.txt", "größer".encode(), lambda data: data == "größer"),
        ("a.bin", b"\x00\x01", lambda data: data == b"\x00\x01"),
    ],
)
def test_it_loads_it(name, content, check, capsys):
    with Answering() as server:
        server.answer("GET", f"/{name}", Reply(200, content))
        names = {}
        exec(compile(code(f"{server.url}/{name}"), "cell", "exec"), names)
    assert check(names["data"])
