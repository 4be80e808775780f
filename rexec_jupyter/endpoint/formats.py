"""Formats of resources: how they are called, and what loads them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

BYTES = "bytes"
"""The kind of what is unknown."""
WEBSOCKET = "websocket"

Takes = Literal["address", "table", "store", "stream", "file", "copy", "raster"]
"""What loads something is given

- its address, which nobody else opens (``address``),
- its address, which pandas opens (``table``), or which fsspec does (``store``),
- something to read from once (``stream``), or anywhere (``file``),
- the path of a copy (``copy``),
- its address where GDAL reaches it, else a file (``raster``).
"""


@dataclass(frozen=True)
class Reader:
    """What loads one kind.

    Attributes
    ----------
    name
        What it is called then.
    load
        The expression; ``{}`` is what it is given, ``{options}`` how a table is written.
    takes
        What that is.
    imports
        The statements it needs.
    packages
        What has to be installed beside what brings the file.
    shown
        What shows it, or its beginning; empty for its name.
    """

    name: str
    load: str
    takes: Takes
    imports: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    shown: str = ""


def _table(load: str, *packages: str) -> Reader:
    imports = ("import pandas as pd",)
    return Reader("df", load, "table", imports, ("pandas", *packages), "df.head()")


_EXCEL = "pd.read_excel({})"
_XARRAY = ("import xarray as xr",)
_URLOPEN = ("from urllib.request import urlopen",)

READERS = {
    "csv": _table("pd.read_csv({}{options})"),
    "tsv": _table('pd.read_csv({}, sep="\\t")'),
    "parquet": _table("pd.read_parquet({})", "pyarrow"),
    "feather": _table("pd.read_feather({})", "pyarrow"),
    "xls": _table(_EXCEL, "xlrd"),
    "excel": _table(_EXCEL, "openpyxl"),
    "jsonl": _table("pd.read_json({}, lines=True)"),
    "json": Reader("data", "json.load({})", "stream", ("import json",)),
    "text": Reader(
        "text", '{}.read().decode(errors="replace")', "stream", shown="print(text[:1000])"
    ),
    "netcdf": Reader(
        # h5netcdf does not bring h5py; scipy is for what is no HDF5.
        "ds",
        "xr.open_dataset({})",
        "file",
        _XARRAY,
        ("xarray", "h5netcdf", "h5py", "scipy"),
    ),
    "zarr": Reader("ds", "xr.open_zarr({})", "store", _XARRAY, ("xarray", "zarr")),
    "opendap": Reader("ds", "xr.open_dataset({})", "address", _XARRAY, ("xarray", "netcdf4")),
    "grib": Reader(
        "ds", 'xr.open_dataset({}, engine="cfgrib")', "copy", _XARRAY, ("xarray", "cfgrib")
    ),
    "hdf5": Reader("h5", "h5py.File({})", "file", ("import h5py",), ("h5py",), "list(h5)"),
    "numpy": Reader("array", "np.load({})", "file", ("import numpy as np",), ("numpy",)),
    "geotiff": Reader(
        "da",
        "rioxarray.open_rasterio({})",
        "raster",
        ("import rioxarray",),
        ("rioxarray",),
    ),
    "vector": Reader(
        "gdf",
        "gpd.read_file({})",
        "raster",
        ("import geopandas as gpd",),
        ("geopandas",),
        "gdf.head()",
    ),
    "image": Reader("image", "Image.open({})", "file", ("from PIL import Image",), ("pillow",)),
    "stream": Reader("lines", "urlopen({})", "address", _URLOPEN, shown="next(lines)"),
    WEBSOCKET: Reader(
        "messages",
        "connect({})",
        "address",
        ("from websockets.sync.client import connect",),
        ("websockets",),
        "messages.recv()",
    ),
    "service": Reader("answer", "httpx.get({})", "address", ("import httpx",), ("httpx",)),
    BYTES: Reader("content", "{}.read()", "stream", shown='print(f"{len(content):,} bytes")'),
}

_ALSO = {
    "tsv": "tab tab-separated-values",
    "text": "txt plain md markdown log",
    "jsonl": "ndjson jsonlines x-ndjson",
    "parquet": "pq vnd.apache.parquet",
    "feather": "arrow",
    "xls": "vnd.ms-excel",
    "excel": "xlsx vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "netcdf": "nc nc4 netcdf4 cdf x-netcdf",
    "opendap": "dods thredds",
    "grib": "grb grb2 grib2",
    "hdf5": "h5 hdf he5 x-hdf5 x-hdf",
    "numpy": "npy",
    "geotiff": "tif tiff cog",
    "vector": "geojson geo+json shp shapefile gpkg geopackage kml fgb",
    "image": "png jpg jpeg gif webp",
}
_BY_WORD = {kind: kind for kind in READERS} | {
    word: kind for kind, words in _ALSO.items() for word in words.split()
}


def kind_of(said: Iterable[str], suffix: str) -> str:
    """Return which of `READERS` suits.

    Parameters
    ----------
    said
        What is told of the format, the most certain first: a word, a suffix, or a media type.
    suffix
        How the file's name ends.
    """
    for words in (*said, suffix):
        word = words.split(";", 1)[0].strip().lower().rsplit("/", 1)[-1].lstrip(".")
        if kind := _BY_WORD.get(word):
            return kind
    return BYTES
