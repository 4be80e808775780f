"""Who created what is in the catalog, as far as everybody may know."""

from typing import Any, Final

from fastapi import Request

from rexec_ep_api.settings import EndpointSettings
from rexec_jupyter.auth.identity import Identity

CREATOR_KEYS: Final = frozenset(("ndp_group_id", "ndp_user_id", "ndp_creator_md5"))
"""The extras that tell it."""


def creator_extras(request: Request, user: Identity) -> dict[str, Any]:
    """Return the extras that tell who created a dataset.

    Parameters
    ----------
    request
        The request that creates it.
    user
        Who sent that.
    """
    settings: EndpointSettings = request.app.state.settings
    return {
        "ndp_group_id": settings.organization,
        "ndp_user_id": user.user_id,
        "ndp_creator_md5": user.creator_md5,
    }
