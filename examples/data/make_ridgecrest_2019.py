# ruff: noqa: INP001
"""Derive ridgecrest-2019.csv from the ComCat sample that the pyCSEP package ships.

    pip download --no-deps pycsep==0.8.0
    python make_ridgecrest_2019.py pycsep-0.8.0-py3-none-any.whl

The wheel is only read, never installed. Needs nothing but Python itself.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

SOURCE = "csep/artifacts/ObservedCatalogs/sample_comcat_catalog.csv"
TARGET = Path(__file__).with_name("ridgecrest-2019.csv")
LATITUDES = (35.2, 36.4)
LONGITUDES = (-118.2, -117.0)


def derive(wheel: Path) -> list[dict[str, str]]:
    """Return the tidy rows, in order of time, of the events around Ridgecrest."""
    with zipfile.ZipFile(wheel) as archive, archive.open(SOURCE) as raw:
        events = list(csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8")))
    rows = []
    for event in events:
        latitude, longitude = float(event["lat"]), float(event["lon"])
        if not (
            LATITUDES[0] <= latitude <= LATITUDES[1] and LONGITUDES[0] <= longitude <= LONGITUDES[1]
        ):
            continue
        time = datetime.fromisoformat(event["time_string"]).replace(tzinfo=UTC)
        rows.append(
            {
                "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "latitude": f"{latitude:.4f}",
                "longitude": f"{longitude:.4f}",
                "depth_km": f"{float(event['depth']):.2f}",
                "magnitude": f"{float(event['M']):.2f}",
            }
        )
    return sorted(rows, key=lambda row: row["time"])


def main() -> None:
    """Write the file beside this script."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheel", type=Path, help="pycsep-0.8.0-py3-none-any.whl")
    rows = derive(parser.parse_args().wheel)
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
