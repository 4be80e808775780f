"""What is measured: a backend with one deploy API, and what that tells of itself."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.backend import PROFILES, SMALL, Backend

WARM = {"name": "warm", "description": "Kept ready", **SMALL, "warm": 2}


class Site(Backend):
    """A backend on the cluster.

    Parameters
    ----------
    repeats, users, records
        How often to start a server, how many users there are at once, and how many servers a
        deploy API looks after.
    """

    def __init__(self, *, repeats, users, records):
        super().__init__()
        self.repeats, self.users, self.records = repeats, users, records
        self.profiles = PROFILES | {"profiles": [*PROFILES["profiles"], WARM]}

    def install(self):
        """Install it with one deploy API, so that this one does everything."""
        return super().install(replicas=1)

    def metric(self, name, **labels):
        """Return the sum of a metric's samples with these labels; None if there are none."""
        text = httpx.get(f"{self.api}/metrics", timeout=20).raise_for_status().text
        found = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None
