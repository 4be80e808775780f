"""A small CKAN for the tests: its Action API with what CKAN 2.10 answers, in memory."""

import fnmatch
import json
import re
import threading
import uuid
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_HELP = "/api/3/action/help_show?name="
_NAME = re.compile(r"[a-z0-9_-]{2,100}")
_CLAUSE = re.compile(r"(text|id):(\S+)")


class CkanError(Exception):
    """What CKAN answers with another status than 200."""

    def __init__(self, status, kind, **reasons):
        super().__init__(kind)
        self.status = status
        self.error = {**reasons, "__type": kind}


def _missing():
    return CkanError(404, "Not Found Error", message="Not found")


def _locked():
    return CkanError(403, "Authorization Error", message="Access denied: not authorized")


def _invalid(**reasons):
    return CkanError(409, "Validation Error", **{name: [text] for name, text in reasons.items()})


class CkanServer:
    """A CKAN on a free port of the loopback; use it in a ``with`` statement.

    Parameters
    ----------
    key
        The API key that may write and see private datasets.

    Attributes
    ----------
    packages, organizations
        What it holds, by id.
    calls
        The actions that were asked for, with their arguments.
    reply
        Status and body to answer with in place of the truth; None for the truth.
    purges
        Whether the key may purge, as administrators may.
    """

    def __init__(self, key=""):
        self.key = key
        self.packages, self.organizations = {}, {}
        self.reset()

    def reset(self):
        self.calls = []
        self.reply = None
        self.purges = True

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}/catalog"

    def add_organization(self, name, **more):
        group = {
            "id": str(uuid.uuid4()),
            "name": name,
            "title": name.title(),
            "description": "",
            "created": _now(),
            "state": "active",
            "type": "organization",
            "is_organization": True,
            "extras": [],
            **more,
        }
        self.organizations[group["id"]] = group
        return group

    def add_package(self, name, organization, **more):
        moment = _now()
        package = {
            "id": str(uuid.uuid4()),
            "name": name,
            "title": name.replace("-", " ").title(),
            "notes": None,
            "owner_org": organization["id"],
            "organization": {k: organization[k] for k in ("id", "name", "title")},
            "author": None,
            "license_id": None,
            "version": None,
            "private": False,
            "state": "active",
            "type": "dataset",
            "metadata_created": moment,
            "metadata_modified": moment,
            "extras": [],
            "groups": [],
            "tags": [],
            "resources": [],
            **more,
        }
        package["resources"] = [self.resource(one, package) for one in package["resources"]]
        self.packages[package["id"]] = package
        return package

    def resource(self, given, package):
        return {
            "id": str(uuid.uuid4()),
            "package_id": package["id"],
            "name": None,
            "description": None,
            "format": "",
            "mimetype": None,
            "size": None,
            "hash": "",
            "state": "active",
            "created": _now(),
            "last_modified": None,
            "metadata_modified": _now(),
            **given,
        }

    # What it can do

    def status_show(self, _, **__):
        return {"ckan_version": "2.10.4", "site_url": self.url, "extensions": ["datastore"]}

    def organization_list(self, _, offset=0, all_fields=False, include_extras=False, **__):
        groups = sorted(self.organizations.values(), key=lambda one: one["name"])
        if not all_fields:
            return [one["name"] for one in groups][offset : offset + 1000]
        hidden = () if include_extras else ("extras",)
        return [
            {key: value for key, value in one.items() if key not in hidden}
            for one in groups[offset : offset + 25]
        ]

    def organization_show(self, _, id, **__):  # noqa: A002 - as CKAN calls it
        for one in self.organizations.values():
            if id in {one["id"], one["name"]}:
                return one
        raise _missing()

    def organization_create(self, writer, name, **more):
        self.check(writer)
        if any(one["name"] == name for one in self.organizations.values()):
            raise _invalid(name="Group name already exists in database")
        if not _NAME.fullmatch(name):
            raise _invalid(name="Must be purely lowercase alphanumeric (ascii) and these: -_")
        return self.add_organization(name, **more)

    def package_search(self, writer, q="*:*", rows=10, start=0, include_private=False, **__):
        found = [
            one
            for one in self.packages.values()
            if one["state"] == "active"
            and (not one["private"] or (writer and include_private))
            and _found(q, one)
        ]
        found.sort(key=lambda one: one["metadata_created"], reverse=True)
        return {
            "count": len(found),
            "facets": {},
            "results": found[start : start + min(rows, 1000)],
            "sort": "metadata_created desc",
            "search_facets": {},
        }

    def package_show(self, writer, id, **__):  # noqa: A002
        for one in self.packages.values():
            if id in {one["id"], one["name"]} and one["state"] == "active":
                if one["private"] and not writer:
                    raise _locked()
                return one
        raise _missing()

    def package_create(self, writer, name, owner_org, **more):
        self.check(writer)
        if any(one["name"] == name for one in self.packages.values()):
            raise _invalid(name="That URL is already in use.")
        try:
            organization = self.organization_show(writer, owner_org)
        except CkanError:
            raise _invalid(owner_org="Organization does not exist") from None
        for tag in more.get("tags", ()):
            if not re.fullmatch(r"[\w .-]{2,}", tag["name"]):
                raise _invalid(tags=f'Tag "{tag["name"]}" must be alphanumeric')
        return self.add_package(name, organization, **more)

    def package_patch(self, writer, id, **values):  # noqa: A002
        self.check(writer)
        package = self.package_show(writer, id)
        for one in self.packages.values():
            if one is not package and one["name"] == values.get("name"):
                raise _invalid(name="That URL is already in use.")
        if "owner_org" in values:
            try:
                organization = self.organization_show(writer, values.pop("owner_org"))
            except CkanError:
                raise _invalid(owner_org="Organization does not exist") from None
            package["owner_org"] = organization["id"]
            package["organization"] = {k: organization[k] for k in ("id", "name", "title")}
        package.update(values, metadata_modified=_now())
        package["resources"] = [self.resource(one, package) for one in package["resources"]]
        return package

    def package_delete(self, writer, id, **__):  # noqa: A002
        self.check(writer)
        self.package_show(writer, id)["state"] = "deleted"

    def dataset_purge(self, writer, id, **__):  # noqa: A002
        if not (writer and self.purges):
            raise _locked()
        del self.packages[self.package_show(writer, id)["id"]]

    def resource_show(self, _, id, **__):  # noqa: A002
        for package in self.packages.values():
            for one in package["resources"]:
                if one["id"] == id:
                    return one
        raise _missing()

    def resource_patch(self, writer, id, **values):  # noqa: A002
        self.check(writer)
        found = self.resource_show(writer, id)
        found.update(values, last_modified=_now())
        return found

    def resource_delete(self, writer, id, **__):  # noqa: A002
        self.check(writer)
        found = self.resource_show(writer, id)
        self.packages[found["package_id"]]["resources"].remove(found)

    def check(self, writer):
        if not writer:
            raise _locked()

    # How it answers

    def answer(self, action, authorization, arguments):
        self.calls.append((action, arguments, authorization))
        if self.reply is not None:
            return self.reply
        if authorization not in {"", self.key}:
            return 403, _failure(action, _locked().error)
        try:
            result = getattr(self, action)(bool(authorization), **arguments)
        except CkanError as error:
            return error.status, _failure(action, error.error)
        told = {"help": _HELP + action, "success": True, "result": result}
        return 200, json.dumps(told).encode()

    def __enter__(self):
        class Handler(_Handler):
            ckan = self

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ckan = None

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        action = self.path.removeprefix("/catalog/api/3/action/")
        authorization = self.headers.get("Authorization", "")
        status, content = self.ckan.answer(action, authorization, json.loads(body))
        self.send_response(status)
        self.send_header("Content-Type", "application/json;charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _failure(action, error):
    return json.dumps({"help": _HELP + action, "success": False, "error": error}).encode()


def _found(query, package):
    """Tell whether a search engine that knows words, and stems of them, finds a package."""
    if query == "*:*":
        return True
    texts = [package[key] or "" for key in ("name", "title", "notes")]
    texts += [tag["name"] for tag in package["tags"]]
    texts += [str(extra.get("value")) for extra in package["extras"]]
    texts.append(package["organization"]["name"] if package["organization"] else "")
    for one in package["resources"]:
        texts += [one[key] or "" for key in ("name", "description", "format", "url")]
    words = {_stem(word) for text in texts for word in re.findall(r"[^\W_]+", text.lower())}

    def holds(field, wanted):
        if field == "id":
            return fnmatch.fnmatchcase(package["id"], wanted)
        if "*" in wanted:
            return any(fnmatch.fnmatchcase(word, wanted) for word in words)
        return _stem(wanted) in words

    for part in query.split(" AND "):
        assert re.fullmatch(r"\((text|id):[*\w]+( OR (text|id):[*\w]+)*\)", part), query
        if not any(holds(*pair) for pair in _CLAUSE.findall(part.strip("()"))):
            return False
    return True


def _stem(word):
    return word.removesuffix("s")


def _now():
    return datetime.now(UTC).replace(tzinfo=None).isoformat()
