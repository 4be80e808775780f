"""Who may do what: the group gate of an endpoint and the tiers of its roles."""

from typing import Literal

from rexec_jupyter.auth.errors import ForbiddenError
from rexec_jupyter.auth.identity import Identity, group_names
from rexec_jupyter.auth.settings import AuthSettings

Role = Literal["admin", "writer", "viewer", "none"]

_PLATFORM_ADMIN = "ndp_admin"
_PLATFORM: dict[str, Role] = {
    _PLATFORM_ADMIN: "admin",
    "ndp_writer": "writer",
    "ndp_editor": "writer",
    "ndp_viewer": "viewer",
}
_LEVELS: dict[str, Role] = {
    "admin": "admin",
    "writer": "writer",
    "editor": "writer",
    "viewer": "viewer",
}

_OUTSIDE_WRITING = (
    "You do not have permission to perform this operation. Please contact the administrator."
)
_OUTSIDE = "You do not have permission to access this Endpoint. Please contact the administrator."
_NO_WRITER = (
    "You do not have permission to modify resources on this Endpoint. Ask an administrator to "
    "grant you the writer or admin role."
)
_NO_ADMIN = "Administrator role required."


class Access:
    """Decides what somebody may do.

    Two things are asked, and they are independent: the gate wants a *group*, a tier wants a
    *role*. Without ``ENABLE_GROUP_BASED_ACCESS`` the gate is open; the tiers always hold.

    Parameters
    ----------
    settings
        Which groups and which endpoint it is about.
    """

    def __init__(self, settings: AuthSettings) -> None:
        endpoint = _plain(settings.affinities_ep_uuid)
        listed = frozenset(filter(None, map(_plain, settings.group_names)))
        self._gated = settings.enable_group_based_access
        self._listed = listed
        self._let_in = listed | ({endpoint} if endpoint else frozenset())
        scopes = set(self._let_in)
        if endpoint and "/" not in endpoint:
            scopes |= {f"ndp_ep/{endpoint}", f"ndp_ep/ep-{endpoint}"}
        self._scopes = frozenset(scopes)
        self._legacy_admin = f"{endpoint}_admin" if endpoint else None

    def entered(self, identity: Identity) -> None:
        """Pass if the group gate lets somebody in.

        Raises
        ------
        ForbiddenError
            If it does not.
        """
        if not self._passes(identity):
            raise ForbiddenError(_OUTSIDE)

    def writer(self, identity: Identity) -> None:
        """Pass if somebody is let in and may change things.

        Raises
        ------
        ForbiddenError
            If either is not so; the text says which.
        """
        if not self._passes(identity):
            raise ForbiddenError(_OUTSIDE_WRITING)
        if self.effective_role(identity) not in ("admin", "writer"):
            raise ForbiddenError(_NO_WRITER)

    def admin(self, identity: Identity) -> None:
        """Pass if somebody administers this endpoint, whatever their groups.

        Raises
        ------
        ForbiddenError
            If they do not.
        """
        if self.effective_role(identity) != "admin":
            raise ForbiddenError(_NO_ADMIN)

    def may_write(self, identity: Identity) -> bool:
        """Return whether `writer` would pass."""
        return self._passes(identity) and self.effective_role(identity) in ("admin", "writer")

    def effective_role(self, identity: Identity) -> Role:
        """Return the highest tier that somebody's roles reach at this endpoint."""
        tiers = {self._tier(role) for role in identity.roles}
        ranked: tuple[Role, ...] = ("admin", "writer", "viewer")
        return next((tier for tier in ranked if tier in tiers), "none")

    def deploy_group(self, identity: Identity) -> str | None:
        """Return the group as whose member somebody may start servers.

        It is the first of their groups that this endpoint lists, or None if no group is asked
        for. Roles do not count here.

        Raises
        ------
        ForbiddenError
            If a group is asked for and they have none of them.
        """
        if not self._gated:
            return None
        if not self._listed:
            raise ForbiddenError("Group-based access is enabled but no groups are configured.")
        # In the order of the identity service; what it did not list comes in alphabetical order.
        ordered = (*group_names(identity.claims), *sorted(identity.groups))
        for group in map(_plain, ordered):
            if group in self._listed:
                return group
        raise ForbiddenError("Access forbidden: user is not a member of an allowed group.")

    def _passes(self, identity: Identity) -> bool:
        return (
            not self._gated
            or any(role.strip().lower() == _PLATFORM_ADMIN for role in identity.roles)
            or not self._let_in.isdisjoint(map(_plain, identity.groups))
        )

    def _tier(self, role: str) -> Role:
        """Return the tier that one role gives."""
        name = role.strip().lower()
        if name == self._legacy_admin:
            return "admin"
        kind, _, scoped = name.partition(":")
        scope, _, level = scoped.rpartition(":")
        if kind == "group" and _plain(scope) in self._scopes:
            return _LEVELS.get(level, "none")
        return _PLATFORM.get(name, "none")


def _plain(name: str) -> str:
    """Return the name of a group as it is compared."""
    return name.strip().strip("/").lower()
