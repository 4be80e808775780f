"""The certificate of a server: the one that it was started with, or was assigned since."""

from __future__ import annotations

import hashlib
from pathlib import Path


class Certificates:
    """Finds the certificate that holds now.

    Parameters
    ----------
    given
        File of the one that it was started with; may be replaced by a renewed one.
    directory
        Where one that the broker assigns is kept: it outlives a restart of the agent.
    """

    def __init__(self, given: Path, directory: Path) -> None:
        self._given = given
        self._directory = directory

    def read(self) -> str:
        """Return it.

        Raises
        ------
        OSError
            If it cannot be read.
        """
        certificate = self._given.read_text().strip()
        assigned = self._assigned(certificate)
        return assigned.read_text() if assigned.exists() else certificate

    def keep(self, certificate: str) -> None:
        """Have this one take the place of the given one, as long as that stays the same."""
        assigned = self._assigned(self._given.read_text().strip())
        draft = assigned.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(certificate)
        draft.replace(assigned)

    def _assigned(self, certificate: str) -> Path:
        # The directory may outlive this start of the server, and the next is somebody else's.
        name = hashlib.sha256(certificate.encode()).hexdigest()[:16]
        return self._directory / f"assigned-{name}"
