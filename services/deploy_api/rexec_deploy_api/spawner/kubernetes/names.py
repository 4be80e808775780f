"""How things are called in Kubernetes: names that any user id can be made into, and labels."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import unicodedata

from rexec_deploy_api.records import Key, Record
from rexec_deploy_api.spawner.kubernetes.settings import KubernetesSettings

DOMAIN = "rexec.dev"
MANAGER = "rexec-deploy-api"
"""Field manager of all that is applied."""
INSTANCE = f"{DOMAIN}/instance"
USER = f"{DOMAIN}/user-hash"
SERVER = f"{DOMAIN}/server"
GENERATION = f"{DOMAIN}/generation"
SUBJECT = f"{DOMAIN}/subject"
ISSUER = f"{DOMAIN}/issuer"
USERNAME = f"{DOMAIN}/username"
SPEC = f"{DOMAIN}/spec"
UNUSED = f"{DOMAIN}/unused-since"
HOME = f"{DOMAIN}/has-home"
PREFIX = "rexec-u-"

_SLUG = 20


class Names:
    """Names of one deployment.

    Parameters
    ----------
    settings
        Whether users share a namespace, among others.
    salt
        Keeps users from aiming at the namespace of another.
    """

    def __init__(self, settings: KubernetesSettings, salt: bytes) -> None:
        self._settings = settings
        self._salt = salt

    def hash(self, user: str) -> str:
        """Return 16 characters that stand for a user; 80 bits of a keyed hash."""
        content = f"{self._settings.instance}\0{user}".encode()
        digest = hmac.digest(self._salt, b"rexec namespace\0" + content, hashlib.sha256)
        return base64.b32encode(digest[:10]).decode().lower()

    def namespace(self, user: str) -> str:
        """Return the namespace of a user's servers; the part before the hash is for people."""
        if self._settings.shared_namespace:
            return self._settings.shared_namespace
        return "-".join(filter(None, (PREFIX.rstrip("-"), slug(user), self.hash(user))))

    def record(self, key: Key) -> str:
        """Return the name of the ConfigMap of a server."""
        return f"rexec-server-{self._within(key.user)}{key.name}"

    def placed(self, record: Record) -> str:
        """Return the name of the pod of a generation, and of its Secret."""
        return f"rexec-{self._within(record.user)}{record.name}-{record.generation}"

    def pull(self, key: Key, content: bytes) -> str:
        """Return the name of the Secret with which a server's images are fetched.

        Another content has another name, so nobody has to read the Secret to know what is in it.
        """
        digest = hashlib.sha256(content).hexdigest()[:8]
        return f"rexec-pull-{self._within(key.user)}{key.name}-{digest}"

    def home(self, key: Key) -> str:
        """Return the name of the claim of a server's home."""
        return f"rexec-home-{self._within(key.user)}{key.name}"

    def cache(self, user: str) -> str:
        """Return the name of the claim of a user's packages."""
        return f"rexec-cache-{self._within(user)}".rstrip("-")

    def selector(self) -> str:
        """Return what selects all records and pods of this deployment."""
        return f"{INSTANCE}={self._settings.instance},{SERVER}"

    def labels(self, user: str) -> dict[str, str]:
        """Return the labels of what belongs to a user."""
        return {
            "app.kubernetes.io/name": "rexec",
            "app.kubernetes.io/component": "session",
            "app.kubernetes.io/managed-by": MANAGER,
            INSTANCE: self._settings.instance,
            USER: self.hash(user),
        }

    def labels_of(self, key: Key) -> dict[str, str]:
        """Return the labels of what belongs to a server."""
        return self.labels(key.user) | {SERVER: key.name}

    def _within(self, user: str) -> str:
        """Return what tells users apart where they share a namespace."""
        return f"{self.hash(user)}-" if self._settings.shared_namespace else ""


def slug(user: str) -> str:
    """Return up to 20 characters of a user's id that may be in a name; maybe none."""
    plain = unicodedata.normalize("NFKD", user).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG].strip("-")
