"""Datasets as catalogs hold them, and what people look for among them; always the same ones."""

import random

from rexec_ep_api.catalog.records import NewDataset, NewOrganization, NewResource

_THEMES = str.split(
    "precipitation temperature humidity wind radiation snow ice soil moisture runoff discharge "
    "groundwater turbidity salinity chlorophyll nitrate phosphate oxygen carbon methane ozone "
    "aerosol dust smoke wildfire landslide earthquake tsunami volcano deformation gravity "
    "magnetics bathymetry topography landcover vegetation biomass canopy phenology migration "
    "species plankton fishery coral seagrass mangrove wetland peat permafrost glacier river "
    "lake estuary reservoir drought flood storm hurricane tornado lightning hail fog visibility "
    "traffic noise mobility energy demand solar turbine grid emission census health nutrition "
    "crop yield irrigation "
)
_PLACES = str.split(
    "alps andes amazon arctic atlantic baltic bering boulder caribbean cascades chesapeake "
    "colorado columbia congo danube everglades fresno gobi greenland hawaii himalaya iceland "
    "indus jordan kalahari lofoten mackenzie mekong mississippi mojave monterey nile okavango "
    "oregon pacific patagonia pyrenees quebec rhine rockies sahara sahel sierra siberia sonora "
    "svalbard tahoe tibet utah vancouver volga wasatch yellowstone yukon zambezi zurich "
)
_METHODS = str.split(
    "gauge radar lidar satellite buoy mooring glider drone tower sonde radiometer spectrometer "
    "seismometer interferometer model reanalysis forecast hindcast survey transect core sample "
)
_PHRASES = (
    "Quality controlled {theme} observations from the {place} region, {year}.",
    "Hourly {theme} measured by {method} at {count} stations.",
    "Derived from {method} data; gaps shorter than three hours are interpolated.",
    "Contains raw and calibrated values together with uncertainty estimates.",
    "Produced by the {place} observatory for comparison with {method} products.",
    "See the report of {year} for the processing chain and known issues.",
    "Values below the detection limit are flagged and not removed.",
)
_FORMATS = ("CSV", "NetCDF", "JSON", "GeoTIFF", "Zarr", "Parquet", "HDF5", "TXT")
_ORGANIZATIONS = 200

SEED = 5


def organizations():
    """Return the organizations that own them."""
    return [
        NewOrganization(
            name=f"{_PLACES[number % len(_PLACES)]}-lab-{number}", title=f"Lab {number}"
        )
        for number in range(_ORGANIZATIONS)
    ]


def datasets(count):
    """Yield so many datasets."""
    chance = random.Random(SEED)
    owners = [organization.name for organization in organizations()]
    for number in range(count):
        yield dataset(chance, owners[_often_low(chance, len(owners))], number)


def dataset(chance, owner, number):
    """Return one dataset."""
    theme, place, method = (_word(chance, words) for words in (_THEMES, _PLACES, _METHODS))
    year = chance.randrange(1990, 2027)
    name = f"{place}-{theme}-{method}-{number}"
    about = {"theme": theme, "place": place, "method": method, "year": year}
    about["count"] = chance.randrange(3, 400)
    notes = " ".join(chance.sample(_PHRASES, chance.randrange(2, 5))).format_map(about)
    return NewDataset(
        name=name,
        title=f"{theme.title()} of the {place.title()} by {method}, {year}",
        owner_org=owner,
        notes=notes,
        extras={
            "project": f"{place}-{year}",
            "station": f"ST{number * 7919 % 1_000_003:06d}",
            "stations": about["count"],
            "bbox": [chance.randrange(-180, 180), chance.randrange(-90, 90), 1, 1],
            "timestamp": f"{year}-{chance.randrange(1, 13):02d}-01T00:00:00",
        },
        tags=tuple({theme, method, _word(chance, _THEMES)}),
        resources=tuple(_resource(chance, name, part) for part in range(chance.randrange(1, 4))),
        version=f"{chance.randrange(1, 5)}.{chance.randrange(10)}",
        creator="0123456789abcdef",
    )


def _resource(chance, name, part):
    format_ = _FORMATS[_often_low(chance, len(_FORMATS))]
    return NewResource(
        name=f"{name}-part-{part}",
        url=f"https://data.example.org/{name}/{part}.{format_.lower()}",
        description=f"Part {part} of {name}",
        format=format_,
        size=chance.randrange(10**9),
    )


def queries(count):
    """Yield searches for a catalog with so many datasets, as `(method, path, body)`, without end.

    Most know what they look for, some look around: they see the first page of much.
    """
    chance = random.Random(SEED + 1)
    known = list(datasets(min(count, 2000)))
    kinds = (
        (25, _by_words),
        (20, _by_name),
        (15, _by_project),
        (10, _by_station),
        (10, _by_nothing_there),
        (10, _first_page),
        (10, _advanced),
    )
    weights = [weight for weight, _ in kinds]
    while True:
        ((_, kind),) = chance.choices(kinds, weights)
        yield kind(chance, chance.choice(known))


def _by_words(_, one):
    theme, place, method = _parts(one)
    return _get(terms=[theme.upper(), place, method, one.title[-4:]])


def _by_name(_, one):
    return _get(terms=[one.name], keys=["name"])


def _by_project(_, one):
    return _get(terms=[one.extras["project"], _parts(one)[0]], keys=["extras_project", "null"])


def _by_station(_, one):
    return _get(terms=[one.extras["station"]])


def _by_nothing_there(chance, one):
    return _get(terms=[one.tags[0], f"unheard-of-{chance.randrange(10**6)}"])


def _first_page(chance, one):
    return _get(terms=[_parts(one)[chance.randrange(2)]], limit=[20])


def _advanced(_, one):
    asked = {"search_term": one.extras["station"], "resource_format": one.resources[0].format}
    return "POST", "/search", asked | {"server": "local"}


def _get(**parameters):
    return "GET", "/search", parameters


def _parts(one):
    place, theme, method, *_ = one.name.split("-")
    return theme, place, method


def _word(chance, words):
    return words[_often_low(chance, len(words))]


def _often_low(chance, end):
    """Return a number below `end`, low ones more often than high ones."""
    return min(int(end * chance.random() ** 1.6), end - 1)
