"""Typed registrations: Kafka topics, URLs, S3 links and services."""

from __future__ import annotations

from rexec_jupyter.endpoint import models as m
from rexec_jupyter.endpoint.asking import NOT_FOUND, ask, segment, written
from rexec_jupyter.endpoint.catalog import Data
from rexec_jupyter.endpoint.exchange import Method, Request, Steps


def register_kafka_topic(data: Data, server: str = "local") -> Steps[m.Created]:
    """Register a Kafka topic as a dataset.

    Parameters
    ----------
    data
        ``dataset_name``, ``dataset_title``, ``owner_org``, ``kafka_topic``, ``kafka_host`` and
        ``kafka_port``; maybe ``dataset_description``, ``extras``, ``mapping``, ``processing``.
    server
        The catalog: ``local`` or ``pre_ckan``.
    """
    failing = "Error creating Kafka dataset"
    known = {"Organization does not exist": f"{failing}: {_NO_ORGANIZATION}"}
    return (yield from _register("/kafka", data, server, failing, known))


def update_kafka_topic(dataset_id: str, data: Data, server: str = "local") -> Steps[m.Message]:
    """Change a Kafka topic.

    Parameters
    ----------
    dataset_id
        Id or name of its dataset.
    data
        As for `register_kafka_topic`, all of it optional.
    server
        The catalog.
    """
    failing = "Error updating Kafka dataset"
    known = {"Kafka dataset not found": f"{failing}: Not found"}
    return (
        yield from _change("PUT", f"/kafka/{segment(dataset_id)}", data, server, failing, known)
    )


def register_url(data: Data, server: str = "local") -> Steps[m.Created]:
    """Register a URL as a dataset.

    Parameters
    ----------
    data
        ``resource_name``, ``resource_title``, ``owner_org`` and ``resource_url``; maybe
        ``file_type``, ``notes``, ``extras``, ``mapping``, ``processing``.
    server
        The catalog: ``local`` or ``pre_ckan``.
    """
    failing = "Error creating URL resource"
    known = {
        "Organization does not exist": f"{failing}: {_NO_ORGANIZATION}.",
        "Group name already exists in database": f"{failing}: Name already exists.",
    }
    return (yield from _register("/url", data, server, failing, known))


def update_url_resource(resource_id: str, data: Data, server: str = "local") -> Steps[m.Message]:
    """Change a URL.

    Parameters
    ----------
    resource_id
        Id or name of its dataset.
    data
        As for `register_url`, all of it optional.
    server
        The catalog.
    """
    failing = "Error updating URL resource"
    known = {"Resource not found": f"{failing}: Not found"}
    return (yield from _change("PUT", f"/url/{segment(resource_id)}", data, server, failing, known))


def register_s3_link(data: Data, server: str = "local") -> Steps[m.Created]:
    """Register an object in S3 as a dataset.

    Parameters
    ----------
    data
        ``resource_name``, ``resource_title``, ``owner_org`` and ``resource_s3``; maybe
        ``notes``, ``extras``.
    server
        The catalog: ``local`` or ``pre_ckan``.
    """
    failing = "Error creating S3 resource"
    known = {
        "Organization does not exist": f"{failing}: {_NO_ORGANIZATION}",
        "Reserved key error": f"{failing}: Reserved key conflict.",
    }
    return (yield from _register("/s3", data, server, failing, known))


def update_s3_resource(resource_id: str, data: Data, server: str = "local") -> Steps[m.Message]:
    """Change an S3 link.

    Parameters
    ----------
    resource_id
        Id or name of its dataset.
    data
        As for `register_s3_link`, all of it optional.
    server
        The catalog.
    """
    return (yield from _change_s3("PUT", resource_id, data, server, "S3 resource not found"))


def patch_s3_resource(resource_id: str, data: Data, server: str = "local") -> Steps[m.Message]:
    """Change some of an S3 link.

    Parameters
    ----------
    resource_id
        Id or name of its dataset.
    data
        As for `register_s3_link`, all of it optional.
    server
        The catalog.
    """
    return (yield from _change_s3("PATCH", resource_id, data, server, NOT_FOUND))


def _change_s3(
    method: Method, resource: str, data: Data, server: str, words: str
) -> Steps[m.Message]:
    failing = "Error updating S3 resource"
    known = {words: f"{failing}: Not found"}
    return (yield from _change(method, f"/s3/{segment(resource)}", data, server, failing, known))


def register_service(data: Data, server: str = "local") -> Steps[m.Created]:
    """Register a service.

    Parameters
    ----------
    data
        ``service_name``, ``service_title``, ``owner_org`` (which is ``services``) and
        ``service_url``; maybe ``service_type``, ``notes``, ``extras``, ``health_check_url``,
        ``documentation_url``.
    server
        The catalog: ``local`` or ``pre_ckan``.
    """
    failing = "Error creating service"
    known = {
        "owner_org must be 'services'": f"{failing}: owner_org must be 'services' for service "
        "registration",
        "Server is not configured": f"{failing}: Server is not configured or unreachable",
        "Duplicate Service": f"{failing}: A service with the given name or URL already exists",
    }
    return (yield from _register("/services", data, server, failing, known))


def update_service(service_id: str, data: Data, server: str = "local") -> Steps[m.Message]:
    """Change a service.

    Parameters
    ----------
    service_id
        Its id or name.
    data
        As for `register_service`, all of it optional.
    server
        The catalog.
    """
    return (yield from _change_service("PUT", service_id, data, server))


def patch_service(service_id: str, data: Data, server: str = "local") -> Steps[m.Message]:
    """Change some of a service.

    Parameters
    ----------
    service_id
        Its id or name.
    data
        As for `register_service`, all of it optional.
    server
        The catalog.
    """
    return (yield from _change_service("PATCH", service_id, data, server))


def _change_service(method: Method, service: str, data: Data, server: str) -> Steps[m.Message]:
    failing = "Error updating service"
    known = {NOT_FOUND: f"{failing}: Not found"}
    path = f"/services/{segment(service)}"
    return (yield from _change(method, path, data, server, failing, known))


_NO_ORGANIZATION = "Organization (owner_org) does not exist"


def _register(
    path: str, data: Data, where: str, failing: str, known: dict[str, str]
) -> Steps[m.Created]:
    request = Request("POST", path, {"server": written(where)}, json=data)
    made: m.Created = yield from ask(request, failing, known)
    return made


def _change(
    method: Method, path: str, data: Data, where: str, failing: str, known: dict[str, str]
) -> Steps[m.Message]:
    request = Request(method, path, {"server": written(where)}, json=data)
    done: m.Message = yield from ask(request, failing, known)
    return done
