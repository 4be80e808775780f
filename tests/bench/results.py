"""What the benchmark reports: rows with the floor, our figure and the target beside each."""

import json
import os
import platform
import time
from dataclasses import asdict, dataclass

COLUMNS = ("measurement", "floor", "ours", "ratio", "target", "met")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure.

    Attributes
    ----------
    unit
        Of `ours` and `floor`.
    floor
        What ZeroMQ alone takes for the same, or None where there is no such thing.
    ratio
        Our figure in terms of the floor, or of what else `note` says.
    limit
        Where the target ends: at most that if `at_most`, else at least.
        It is on the ratio where there is one, else on our figure. None: for information.
    """

    name: str
    ours: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    limit: float | None = None
    at_most: bool = True
    note: str = ""

    @property
    def met(self):
        if self.limit is None:
            return None
        figure = self.ours if self.ratio is None else self.ratio
        return figure <= self.limit if self.at_most else figure >= self.limit

    def cells(self):
        """Return what the table shows of it."""
        target = ""
        if self.limit is not None:
            target = f"{'≤' if self.at_most else '≥'} {_figure(self.limit)} "
            target += self.unit if self.ratio is None else "×"
        return (
            self.name + (f" ({self.note})" if self.note else ""),
            "" if self.floor is None else f"{_figure(self.floor)} {self.unit}",
            f"{_figure(self.ours)} {self.unit}",
            "" if self.ratio is None else f"{_figure(self.ratio)} ×",
            target.strip(),
            {None: "", True: "yes", False: "NO"}[self.met],
        )


def table(rows):
    """Return the rows as text."""
    lines = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    first, *others = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    return "\n".join([first, "  ".join("─" * width for width in widths), *others])


def write_json(path, rows, *, quick):
    """Write the rows and the circumstances of the run."""
    report = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "quick": quick,
        "rows": [asdict(row) | {"met": row.met} for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def quantiles(durations):
    """Return the median and the 99th percentile."""
    ordered = sorted(durations)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]


def _figure(number):
    if number == int(number) or abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.3g}"
