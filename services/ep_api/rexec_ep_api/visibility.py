"""Who sees private datasets: their creator, and those who may change them."""

from fastapi import Request

from rexec_ep_api.catalog.errors import NotFoundError, no_dataset
from rexec_ep_api.catalog.records import ANYBODY, Dataset, Viewer
from rexec_ep_api.servers import catalog_for
from rexec_ep_api.settings import Server
from rexec_jupyter.auth.identity import Identity
from rexec_jupyter.auth.roles import Access


def viewer(request: Request, user: Identity | None) -> Viewer:
    """Return the caller as the catalog knows them.

    Parameters
    ----------
    request
        The request.
    user
        Who sent it, if known.
    """
    if user is None:
        return ANYBODY
    access: Access = request.app.state.access
    return Viewer(user_id=user.user_id, sees_all=access.may_write(user))


async def visible_dataset(
    request: Request, server: Server, id_or_name: str, user: Identity | None
) -> Dataset:
    """Return a dataset that the caller may see.

    Parameters
    ----------
    request
        The request.
    server
        The catalog that the dataset is in.
    id_or_name
        The dataset.
    user
        Who sent the request, if known.

    Raises
    ------
    NotFoundError
        If there is none, or they may not: nobody learns which.
    """
    try:
        dataset = await catalog_for(request, server).dataset(id_or_name)
    except NotFoundError:
        raise no_dataset(id_or_name) from None
    if not sees(request, user, dataset):
        raise no_dataset(id_or_name)
    return dataset


def sees(request: Request, user: Identity | None, dataset: Dataset) -> bool:
    """Return whether the caller may see a dataset.

    Parameters
    ----------
    request
        The request.
    user
        Who sent it, if known.
    dataset
        The dataset.
    """
    if not dataset.private:
        return True
    looking = viewer(request, user)
    return looking.sees_all or bool(looking.user_id and looking.user_id == dataset.creator)
