"""What the catalog refuses, and why; each message is shown to the user as it is."""


class CatalogError(Exception):
    """The catalog did not do what it was asked; nothing of it was done."""


class NotFoundError(CatalogError):
    """There is nothing of that name or identifier."""


def no_dataset(id_or_name: str) -> NotFoundError:
    """Return the error that tells that there is no such dataset."""
    return NotFoundError(
        f"Dataset not found: there is none with the name or identifier {id_or_name!r}. "
        "GET /search finds those there are."
    )


def no_resource(identifier: str) -> NotFoundError:
    """Return the error that tells that there is no such resource."""
    return NotFoundError(
        f"Resource not found: there is none with the identifier {identifier!r}. "
        "GET /resources/search lists those there are."
    )


class DuplicateError(CatalogError):
    """The name is taken."""


class UnknownOrganizationError(CatalogError):
    """The organization that shall own a dataset is not there."""


class InvalidError(CatalogError):
    """What was given cannot be kept, or contradicts itself."""


class OccupiedError(CatalogError):
    """What shall be deleted still owns something."""


class UnavailableError(CatalogError):
    """The database cannot be reached, or is too busy; the same request may succeed later."""
