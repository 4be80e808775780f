"""What the images add to their base."""

from tests.bench.results import Row
from tests.cluster.broker import image
from tests.cluster.images import BASE, MB, MOST, SERVICES, about


def sizes(_):
    """Ask Docker for the sizes of all images."""
    base = about(BASE)["Size"]
    for service in SERVICES:
        yield Row(
            name=f"image of {service}",
            note="over its base",
            ours=(about(image(service))["Size"] - base) / MB,
            unit="MB",
            limit=MOST[service] / MB,
        )
