"""Which news of Pelican federations came already, in a file that outlives the process."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

from rexec_jupyter.endpoint.stomp import Frame


class Delivered:
    """What came already, in a file that several clients may share.

    Parameters
    ----------
    path
        The file.
    client
        Whose news they are.
    """

    def __init__(self, path: Path, client: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._client = client
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = sqlite3.connect(path, check_same_thread=False)
        self._last = 0
        with self._database as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS processed_events (client_id TEXT NOT NULL, "
                "event_id TEXT NOT NULL, destination TEXT NOT NULL, body TEXT NOT NULL, "
                "processed_at TEXT NOT NULL, PRIMARY KEY (client_id, event_id))"
            )

    def add(self, event: str, frame: Frame) -> bool:
        """Note one; tell whether it is new."""
        now = datetime.now(UTC).isoformat()
        row = (self._client, event, frame.headers.get("destination", ""), frame.body, now)
        with self._lock:
            if self._database is None:
                return False
            with self._database as database:
                added = database.execute(
                    "INSERT OR IGNORE INTO processed_events VALUES (?, ?, ?, ?, ?)", row
                )
        return added.rowcount > 0

    def count(self) -> int:
        """Return how many there are; also once it was closed."""
        with self._lock:
            if self._database is not None:
                asked = "SELECT count(*) FROM processed_events WHERE client_id = ?"
                [(self._last,)] = self._database.execute(asked, (self._client,))
            return self._last

    def close(self) -> None:
        """Close the file."""
        self.count()
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None
