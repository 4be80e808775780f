"""What time it is for the catalog."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the time in UTC, without a time zone, as the catalog keeps it."""
    return datetime.now(UTC).replace(tzinfo=None)
