"""A Python cell that loads a resource of a catalog.

Addresses come from catalogs that anybody may write to: they stand in the code as literals only.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

_FORMATS = {
    "csv": ("csv",),
    "tsv": ("tsv", "tab"),
    "json": ("json",),
    "jsonl": ("jsonl", "ndjson"),
    "parquet": ("parquet", "pq"),
    "excel": ("xlsx", "xls", "excel"),
    "netcdf": ("nc", "nc4", "netcdf", "netcdf4", "cdf"),
    "zarr": ("zarr",),
    "geojson": ("geojson",),
    "text": ("txt", "text", "md", "log"),
}
_BY_WORD = {word: kind for kind, words in _FORMATS.items() for word in words}
_FRAMES = {
    "csv": "pd.read_csv({})",
    "tsv": 'pd.read_csv({}, sep="\\t")',
    "jsonl": "pd.read_json({}, lines=True)",
    "parquet": "pd.read_parquet({})",
    "excel": "pd.read_excel({})",
}
_WHOLE = {
    "netcdf": (
        "from urllib.request import urlretrieve\n\nimport xarray as xr\n\n"
        "path, _ = urlretrieve({})\ndata = xr.open_dataset(path)\ndata"
    ),
    "zarr": "import xarray as xr\n\ndata = xr.open_zarr({})\ndata",
    "geojson": "import geopandas as gpd\n\ndata = gpd.read_file({})\ndata.head()",
}
_ANSWERS = {
    "json": ("json.load(answer)", "data"),
    "text": ('answer.read().decode(errors="replace")', "print(data[:1000])"),
    "": ("answer.read()", 'print(f"{len(data):,} bytes")'),
}


def code(url: str, kind: str = "") -> str:
    """Return the code; "" for what has no address.

    Parameters
    ----------
    url
        Where the resource is.
    kind
        Its format, as the catalog tells it.
    """
    if not url.strip():
        return ""
    known = _kind(url, kind)
    scheme = _scheme(url)
    if scheme in ("pelican", "osdf"):
        return _pelican(url, known)
    if scheme == "s3":
        return _s3(url, known)
    if scheme not in ("http", "https"):
        return f"url = {_literal(url)}  # for a program that knows such addresses"
    return _http(url, known)


def _http(url: str, kind: str) -> str:
    if kind in _FRAMES:
        return _frame(url, kind)
    if kind in _WHOLE:
        return _WHOLE[kind].format(_literal(url))
    loaded, shown = _ANSWERS.get(kind, _ANSWERS[""])
    imports = "import json\n" if kind == "json" else ""
    return (
        f"{imports}from urllib.request import urlopen\n\n"
        f"with urlopen({_literal(url)}) as answer:\n    data = {loaded}\n{shown}"
    )


def _s3(url: str, kind: str) -> str:
    first = "# Needs the package s3fs.\n"
    if kind in _FRAMES:
        return first + _frame(url, kind)
    if kind == "zarr":
        return first + _WHOLE[kind].format(_literal(url))
    return (
        f"{first}import s3fs\n\nwith s3fs.S3FileSystem().open({_literal(url)}) as file:\n"
        '    data = file.read()\nprint(f"{len(data):,} bytes")'
    )


def _frame(url: str, kind: str) -> str:
    return f"import pandas as pd\n\ndata = {_FRAMES[kind].format(_literal(url))}\ndata.head()"


def _pelican(url: str, kind: str) -> str:
    read = (
        "# Needs rexec-jupyter[pelican].\n{}from rexec_jupyter.endpoint.federations import "
        "pelican_read\n\ncontent = pelican_read({})\n{}"
    )
    if kind in _FRAMES:
        first = "from io import BytesIO\n\nimport pandas as pd\n"
        loaded = f"data = {_FRAMES[kind].format('BytesIO(content)')}\ndata.head()"
        return read.format(first, _literal(url), loaded)
    if kind == "json":
        return read.format("import json\n\n", _literal(url), "data = json.loads(content)\ndata")
    return read.format("", _literal(url), 'print(f"{len(content):,} bytes")')


def _kind(url: str, kind: str) -> str:
    """Return the format that is told, or else that of the address; "" if neither is known."""
    word = kind.strip().lower().rsplit("/", 1)[-1].lstrip(".")
    try:
        path = PurePosixPath(unquote(urlsplit(url).path))
    except ValueError:
        path = PurePosixPath()
    return _BY_WORD.get(word) or _BY_WORD.get(path.suffix.lower().lstrip("."), "")


def _scheme(url: str) -> str:
    try:
        return urlsplit(url.strip()).scheme.lower()
    except ValueError:
        return ""


def _literal(text: str) -> str:
    """Return text as a literal of ASCII characters, in which nothing can hide."""
    return ascii(text.strip())
