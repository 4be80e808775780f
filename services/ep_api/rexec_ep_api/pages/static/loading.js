/** The line of Python that loads a resource in a notebook. */

const opened = (address) => `fsspec.open(${address}).open()`;

/** By kind: what to import, the packages to have beside fsspec's, and what to assign. */
const READERS = {
  csv: table("read_csv"),
  tsv: table("read_csv", ', sep="\\t"'),
  parquet: table("read_parquet", "", ["pyarrow"]),
  feather: table("read_feather", "", ["pyarrow"]),
  excel: table("read_excel", "", ["openpyxl"]),
  jsonl: table("read_json", ", lines=True"),
  json: file("data", "import fsspec, json", (url) => `json.load(${opened(url)})`),
  text: file("text", "import fsspec", (url) => `fsspec.open(${url}, "rt").open().read()`),
  netcdf: file(
    "ds",
    "import fsspec, xarray as xr",
    (url) => `xr.open_dataset(${opened(url)})`,
    ["xarray", "h5netcdf"],
  ),
  zarr: file("ds", "import xarray as xr", (url) => `xr.open_zarr(${url})`, ["xarray", "zarr"]),
  opendap: {
    name: "ds",
    imports: "import xarray as xr",
    load: (url) => `xr.open_dataset(${url})`,
    packages: ["xarray", "netcdf4"],
  },
  grib: file(
    "ds",
    "import fsspec, xarray as xr",
    (url) => `xr.open_dataset(fsspec.open_local("simplecache::" + ${url}), engine="cfgrib")`,
    ["xarray", "cfgrib"],
  ),
  hdf5: file("h5", "import fsspec, h5py", (url) => `h5py.File(${opened(url)})`, ["h5py"]),
  numpy: file("array", "import fsspec, numpy as np", (url) => `np.load(${opened(url)})`, ["numpy"]),
  geotiff: {
    name: "da",
    imports: "import rioxarray",
    load: (url) => `rioxarray.open_rasterio(${url})`,
    packages: ["rioxarray"],
  },
  vector: {
    name: "gdf",
    imports: "import geopandas as gpd",
    load: (url) => `gpd.read_file(${url})`,
    packages: ["geopandas"],
  },
  image: file(
    "image",
    "import fsspec; from PIL import Image",
    (url) => `Image.open(${opened(url)})`,
    ["pillow"],
  ),
  stream: {
    name: "lines",
    imports: "from urllib.request import urlopen",
    load: (url) => `urlopen(${url})`,
    packages: [],
  },
  websocket: {
    name: "messages",
    imports: "from websockets.sync.client import connect",
    load: (url) => `connect(${url})`,
    packages: ["websockets"],
  },
  service: {
    name: "answer",
    imports: "import httpx",
    load: (url) => `httpx.get(${url})`,
    packages: ["httpx"],
  },
  bytes: file("content", "import fsspec", (url) => `${opened(url)}.read()`),
};

/** What people write in a format or at the end of a file's name, where it is not the kind itself. */
const ALSO = {
  "text/csv": "csv", tab: "tsv", txt: "text", "text/plain": "text", md: "text", log: "text",
  "application/json": "json", ndjson: "jsonl", jsonlines: "jsonl", pq: "parquet", arrow: "feather",
  xls: "excel", xlsx: "excel", nc: "netcdf", nc4: "netcdf", netcdf4: "netcdf", cdf: "netcdf",
  dods: "opendap", thredds: "opendap", grb: "grib", grb2: "grib", grib2: "grib", h5: "hdf5",
  hdf: "hdf5", he5: "hdf5", npy: "numpy", tif: "geotiff", tiff: "geotiff", cog: "geotiff",
  geojson: "vector", shp: "vector", shapefile: "vector", gpkg: "vector", geopackage: "vector",
  kml: "vector", fgb: "vector", png: "image", jpg: "image", jpeg: "image", gif: "image",
  webp: "image",
};

/**
 * Return the ways to load a resource: `[{title, code, packages}]`.
 *
 * @param dataset As the endpoint tells it.
 * @param resource One of its resources.
 * @param base The endpoint's address.
 */
export function waysToLoad(dataset, resource, base) {
  const client = `EndpointClient(${python(base)})`;
  const importing = "from rexec_jupyter.endpoint import EndpointClient";
  if (isTopic(dataset, resource)) {
    const { host, port, topic } = dataset.extras;
    const broker = python(`${host}:${port}`);
    const consumer = `KafkaConsumer(${python(topic ?? resource.name)}, bootstrap_servers=${broker})`;
    const found = `${client}.search_datasets([${python(dataset.id)}], ["id"], server="local")[0]`;
    return [
      way("As a stream", `from kafka import KafkaConsumer; messages = ${consumer}`, ["kafka-python"]),
      way("Where it is, through the client", `${importing}; topic = ${found}["extras"]`, ["rexec-jupyter"]),
    ];
  }
  const url = resource.url ?? "";
  if (!url) return [];
  const { name, imports, load, packages, files } = READERS[kindOf(dataset, resource)];
  const needed = files ? [...packages, ...carriers(url)] : packages;
  const looked = `${client}.get_resource(${python(resource.id)})["url"]`;
  const options = processing(dataset, resource);
  const line = (address) => `${name} = ${load(address, options)}`;
  return [
    way("By its address", `${imports}; ${line(python(url))}`, needed),
    way("Through the client", `${importing}; ${imports}; ${line(looked)}`, ["rexec-jupyter", ...needed]),
  ];
}

function way(title, code, packages) {
  return { title, code, packages: [...new Set(packages)] };
}

function table(method, more = "", packages = []) {
  return {
    name: "df",
    imports: "import pandas as pd",
    load: (url, options = "") => `pd.${method}(${url}${more || (method === "read_csv" ? options : "")})`,
    packages: ["pandas", ...packages],
    files: true,
  };
}

function file(name, imports, load, packages = []) {
  return { name, imports, load, packages: [...packages, ...(imports.includes("fsspec") ? ["fsspec"] : [])], files: true };
}

/** Return what opens files at such an address. */
function carriers(url) {
  const scheme = url.split(":", 1)[0].toLowerCase();
  if (scheme === "s3") return ["s3fs"];
  if (scheme === "pelican" || scheme === "osdf") return ["pelicanfs"];
  return [];
}

function isTopic(dataset, resource) {
  const extras = dataset.extras ?? {};
  return normal(resource.format) === "kafka" && Boolean(extras.host && extras.port);
}

/** Return which of `READERS` suits, from what is said about it, else from its name. */
function kindOf(dataset, resource) {
  const said = [resource.format, resource.mimetype];
  if ((dataset.resources ?? []).length === 1) said.push(dataset.extras?.file_type);
  for (const words of [...said, suffix(resource.url)]) {
    const word = normal(words);
    const kind = Object.hasOwn(ALSO, word) ? ALSO[word] : word;
    if (Object.hasOwn(READERS, kind)) return kind;
  }
  return /^wss?:/i.test(resource.url) ? "websocket" : "bytes";
}

function normal(text) {
  return String(text ?? "").trim().toLowerCase().replace(/^\./, "").split(";", 1)[0];
}

/** Return the end of the file's name, without what only tells that it is packed. */
function suffix(url) {
  const path = url.split(/[?#]/, 1)[0].replace(/\/+$/, "");
  const file = path.slice(path.lastIndexOf("/") + 1).replace(/\.(gz|bz2|xz|zst)$/i, "");
  return file.includes(".") ? file.slice(file.lastIndexOf(".") + 1) : "";
}

/** Return how the table is written, where whoever registered it said so. */
function processing(dataset, resource) {
  const said = dataset.extras?.processing;
  if (typeof said !== "object" || said === null || (dataset.resources ?? []).length !== 1) return "";
  const { delimiter, comment_char: comment } = said;
  const options = [];
  if (delimiter && delimiter !== ",") options.push(`, sep=${python(delimiter)}`);
  if (comment) options.push(`, comment=${python(comment)}`);
  return options.join("");
}

/** Return a text as a Python literal: what JSON escapes, Python reads alike. */
function python(text) {
  return JSON.stringify(String(text));
}
