"""Write what follows from the chart's values: schemas, the page of them, and shared pieces.

The files values.yaml are the source. A comment above a name explains it; a line ``# @schema``
in it says what else the value must fulfil: the name of a shape in `SHAPES`, or JSON Schema.

Usage: python scripts/chart.py          write
       python scripts/chart.py --check  only tell what is not up to date
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import AliasChoices, SecretStr
from pydantic_settings import BaseSettings

from rexec_deploy_api.profiles import Profile
from rexec_deploy_api.settings import DeploySettings
from rexec_deploy_api.spawner.kubernetes.settings import KubernetesSettings
from rexec_ep_api.settings import EndpointSettings

ROOT = Path(__file__).parents[1]
UMBRELLA = ROOT / "helm/rexec"
PARTS = ("broker", "deploy-api", "ep-api", "postgresql")
PAGE = ROOT / "docs/chart-values.md"
HELPERS = "templates/_shared.tpl"
BEGIN, END = "# --- global: ", "# --- end of global\n"

Schema = dict[str, Any]

# ------------------------------------------------------------------------------- shapes

_QUANTITY = {"type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]+)?([KMGTP]i?|m|k)?$"}
_QUANTITIES = {"type": "object", "additionalProperties": _QUANTITY}
_DURATION = {"type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]+)?\s*(ms|s|m|min|h|d)?$"}
_NAME = {"type": "string", "minLength": 1}


def _closed(**properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _ports(least: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": 65535}


SHAPES: dict[str, Schema] = {
    "port": _ports(1),
    "anyPort": _ports(0),
    "ports": {"type": "array", "items": _ports(1)},
    "nodePort": {"type": "integer", "minimum": 1024, "maximum": 65535},
    "noOrNodePort": {
        "type": "integer",
        "oneOf": [{"const": 0}, {"minimum": 1024, "maximum": 65535}],
    },
    "strings": {"type": "object", "additionalProperties": {"type": "string"}},
    "names": {"type": "array", "items": _NAME},
    "object": {"type": "object"},
    "objects": {"type": "array", "items": {"type": "object"}},
    "pullSecrets": {
        "type": "array",
        "items": _closed(name=_NAME) | {"required": ["name"]},
        "uniqueItems": True,
    },
    "resources": _closed(requests=_QUANTITIES, limits=_QUANTITIES),
    "duration": _DURATION,
    "size": {"type": "string", "pattern": r"^[0-9]+([KMGT]i)?$"},
}


def _profiles() -> Schema:
    """Return what a profile may be; the deploy API checks the rest when it starts."""
    shape = Profile.model_json_schema()
    properties = {
        name: {"type": ["string", "number"]} if name in _MEASURED else _plain(each, shape["$defs"])
        for name, each in shape["properties"].items()
    }
    return {"type": "array", "items": _closed(**properties) | {"required": ["name"]}}


_MEASURED = {
    *("memory", "home", "cpu"),
    *("idle_timeout", "orphan_timeout", "max_lifetime", "start_timeout"),
}
_WORDS = {"default", "title", "description", "$ref"}


def _plain(schema: Any, definitions: Schema) -> Any:
    """Return a schema of pydantic without references and words for people."""
    if isinstance(schema, list):
        return [_plain(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]] | schema
    if schema.get("type") == "object" and "properties" in schema:
        inner = {name: _plain(each, definitions) for name, each in schema["properties"].items()}
        return _closed(**inner) | {"required": schema.get("required", [])}
    return {key: _plain(each, definitions) for key, each in schema.items() if key not in _WORDS}


# ------------------------------------------------------------------- variables of services

_GLOBAL = {
    "AUTH_API_URL": "global.authApiUrl",
    "JWKS_URL": "global.jwt.jwksUrl",
    "JWT_ISSUER": "global.jwt.issuer",
    "JWT_AUDIENCE": "global.jwt.audience",
    "ENABLE_GROUP_BASED_ACCESS": "global.enableGroupBasedAccess",
    "GROUP_NAMES": "global.groupNames",
    "AFFINITIES_EP_UUID": "global.affinitiesEpUuid",
    "DEVELOPMENT": "global.development.enabled",
    "DEVELOPMENT_TOKEN_FILE": "global.development.enabled",
    "TEST_TOKEN": "global.development.enabled",
}
_OWN = {
    "ep-api": {
        "ROOT_PATH": "global.epApi.path",
        "DATABASE_URL": "ep-api.database",
    },
    "deploy-api": {
        "APP_ROOT_PATH": "global.deployApi.path",
        "BROKER_HOST": "global.broker.host",
        "BROKER_PORT": "global.broker.externalPort",
        "BROKER_SERVERS": "deploy-api.broker.servers",
        "BROKER_HEALTH_URL": "deploy-api.broker.healthUrl",
        "PROFILES": "deploy-api.servers.profiles",
        "PYTHON": "deploy-api.servers.python",
        "ALLOW_URLS": "deploy-api.servers.allowUrls",
        "MAX_SERVERS": "deploy-api.servers.maxPerUser",
        "IDLE_TIMEOUT": "deploy-api.servers.idleTimeout",
        "ORPHAN_TIMEOUT": "deploy-api.servers.orphanTimeout",
        "MAX_LIFETIME": "deploy-api.servers.maxLifetime",
        "START_TIMEOUT": "deploy-api.servers.startTimeout",
        "IMAGE": "deploy-api.servers.image",
        "SHARED_NAMESPACE": "deploy-api.sharedNamespace",
        "INSTALLER": "deploy-api.servers.installer",
        "RUNTIME_CLASS": "deploy-api.servers.runtimeClassName",
        "PRIORITY_CLASS": "deploy-api.servers.priorityClassName",
        "GPU_RESOURCE": "deploy-api.servers.gpuResource",
        "CPU_REQUEST": "deploy-api.servers.cpuRequest",
        "MEMORY_REQUEST": "deploy-api.servers.memoryRequest",
        "DEFAULT_CPU": "deploy-api.servers.defaultCpu",
        "DEFAULT_MEMORY": "deploy-api.servers.defaultMemory",
        "DRAIN_GRACE": "deploy-api.servers.drainGrace",
        "QUOTA_CPU": "deploy-api.servers.quota.cpu",
        "QUOTA_MEMORY": "deploy-api.servers.quota.memory",
        "QUOTA_STORAGE": "deploy-api.servers.quota.storage",
        "QUOTA_PODS": "deploy-api.servers.quota.pods",
        "CACHE": "deploy-api.servers.cache.size",
        "STORAGE_CLASS": "deploy-api.servers.cache.storageClass",
        "ACCESS_MODE": "deploy-api.servers.cache.accessMode",
        "INTERNET": "deploy-api.servers.egress.internet",
        "EGRESS_ALLOWED": "deploy-api.servers.egress.allowed",
        "NAMESPACE_TTL": "deploy-api.servers.namespaceTtl",
        "PULL_POLICY": "global.image.pullPolicy",
        "PULL_FILES": "global.imagePullSecrets",
        "BROKER_LABELS": "deploy-api.broker.labels",
        "DNS_NAMESPACE": "global.networkPolicy.dns.namespace",
        "DNS_NETWORKS": "global.networkPolicy.dns.cidrs",
    },
}
# Follow from the rest; nobody sets them.
_FIXED = {
    *("SPAWNER", "DIRECTORY", "SIGNING_KEY_FILE", "SECRET_FILE", "BROKER_KEY", "BROKER_KEY_FILE"),
    *("NAMESPACE", "SERVICE_ACCOUNT", "SESSION_ROLE", "KUBECONFIG", "INSTANCE", "LEASE"),
    "AUDIENCE",
}
_MODELS: dict[str, tuple[tuple[type[BaseSettings], str], ...]] = {
    "ep-api": ((EndpointSettings, "REXEC_EP_"),),
    "deploy-api": (
        (DeploySettings, "REXEC_DEPLOY_"),
        (KubernetesSettings, "REXEC_KUBERNETES_"),
    ),
}


def _variables(part: str) -> Iterator[tuple[str, str, bool]]:
    """Yield the name of each variable of a service, the same without its prefix, and if secret."""
    for model, prefix in _MODELS[part]:
        for field, told in model.model_fields.items():
            alias = told.validation_alias
            names = [str(each) for each in alias.choices] if isinstance(alias, AliasChoices) else []
            if isinstance(alias, str):
                names = [alias]
            if model is KubernetesSettings:
                names = [prefix + field.upper()]
            name = next((each for each in names if each.startswith(prefix)), field.upper())
            yield name, name.removeprefix(prefix), told.annotation is SecretStr


def environment(part: str) -> tuple[Schema, Schema]:
    """Return the shapes of `env` and `secretEnv` of a service."""
    plain: Schema = {}
    secret: Schema = {}
    reference = _closed(name=_NAME, key=_NAME) | {"required": ["name", "key"]}
    places = _GLOBAL | _OWN[part]
    for name, short, hidden in sorted(_variables(part)):
        if short in _FIXED or name == "REXEC_KUBERNETES_BROKER_PORT":
            continue
        if place := places.get(short):
            plain[name] = instead(place)
        elif hidden:
            plain[name] = instead(f"{part}.secretEnv.{name}")
            secret[name] = reference
        else:
            plain[name] = {"type": ["string", "boolean", "number"]}
    return _closed(**plain), _closed(**secret)


# ----------------------------------------------------------------------------- old names


def instead(place: str) -> Schema:
    """Return what refuses a value, and names the one in its place in the message."""
    return {"const": f"(not here: use {place})"}


# Of the charts that were there before this one.
MOVED = {
    "rexec": {
        "rexec-broker": "broker",
        "rexec-server-deployment-api": "deploy-api",
        "deploymentApi": "deploy-api",
        "ndp-ep-api": "ep-api",
        "epApi": "ep-api",
    },
    "broker": {
        "authApiUrl": "global.authApiUrl",
        "image.pullPolicy": "global.image.pullPolicy",
        "service": "global.broker, with nodePort for external.clientNodePort; "
        "there is no control port",
    },
    "deploy-api": {
        "image.pullPolicy": "global.image.pullPolicy",
        "ingress": "global.ingress, global.host, global.deployApi.path and global.tls",
        "env.rexecServerNamespacePrefix": "no prefix: it is always rexec-u-",
        "env.enableGroupBasedAccess": "global.enableGroupBasedAccess",
        "env.groupNames": "global.groupNames",
        "env.rootPath": "global.deployApi.path",
    },
    "ep-api": {
        "image.pullPolicy": "global.image.pullPolicy",
        "ingress": "global.ingress, global.host, global.epApi.path and global.tls",
        "rootPath": "global.epApi.path",
    },
    "postgresql": {},
}


# ------------------------------------------------------------------------------ reading


class Values:
    """One file of values, with what its comments say.

    Attributes
    ----------
    rows
        Path, value and explanation of each value that has no values in it.
    schema
        What values may be.
    """

    def __init__(self, chart: str, path: Path) -> None:
        self.chart = chart
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self._lines = self.text.splitlines()
        self.rows: list[tuple[str, Any, str]] = []
        node = yaml.compose(self.text, Loader=yaml.SafeLoader)
        assert isinstance(node, yaml.MappingNode)  # noqa: S101 - a defect of the file
        self.schema = self._mapping(node, "")
        for part in PARTS if chart == "rexec" else ():
            self.schema["properties"][part] = {"type": "object"}
        for old, place in MOVED[chart].items():
            *parents, last = old.split(".")
            target = self.schema
            for parent in parents:
                target = target["properties"][parent]
            target["properties"][last] = instead(place)
        self.schema = {"$schema": "http://json-schema.org/draft-07/schema#", **self.schema}

    def _mapping(self, node: yaml.MappingNode, within: str) -> Schema:
        properties: Schema = {}
        for key, value in node.value:
            name = str(key.value)
            path = f"{within}{name}"
            words, told = self._comment(key.start_mark.line)
            if not words and path != "global":
                raise SystemExit(f"{self.path}: {path} has no explanation")
            if isinstance(value, yaml.MappingNode) and value.value and told is None:
                shape = self._mapping(value, f"{path}.")
            else:
                content = yaml.safe_load(yaml.serialize(value))
                self.rows.append((path, content, words))
                shape = self._shape(path, content, told)
            properties[name] = {"description": words, **shape} if words else shape
        return _closed(**properties)

    def _comment(self, line: int) -> tuple[str, str | None]:
        """Return the explanation above a line, and what it says of the schema."""
        words: list[str] = []
        told = None
        while line and (match := re.fullmatch(r"\s*# ?(.*)", self._lines[line := line - 1])):
            text = match[1]
            if text.startswith("---"):
                break
            if text.startswith("@schema "):
                told = text.removeprefix("@schema ")
            else:
                words.insert(0, text)
        return " ".join(words), told

    def _shape(self, path: str, content: Any, told: str | None) -> Schema:
        kinds = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array"}
        shape: Schema = {"type": kinds[type(content)]} if type(content) in kinds else {}
        if told is None:
            if not shape or shape["type"] == "array":
                raise SystemExit(f"{self.path}: {path} has no schema")
            return shape
        word, _, rest = told.partition(" ")
        if word in ("env", "secretEnv"):
            return environment(rest)[word == "secretEnv"]
        if word == "profiles":
            return _profiles()
        return SHAPES[word] if word in SHAPES else shape | yaml.safe_load(told)


# ------------------------------------------------------------------------------ writing

HEAD = """\
# Values of the chart

<!-- Made by scripts/chart.py from the files values.yaml in helm/rexec: change it there. -->

What `helm install` can be told; [administration.md](administration.md) tells how to install. If all
is installed together, values of a part stand below its name: `deploy-api.replicaCount`. What is
below `global` counts for all parts.
"""


def page(charts: list[Values]) -> str:
    """Return the page of all values."""
    lines = [HEAD]
    for values in charts:
        title = "All parts" if values.chart == "rexec" else f"`{values.chart}`"
        lines += [f"## {title}\n", "| value | default | what |", "|---|---|---|"]
        for path, content, words in values.rows:
            if values.chart != "rexec" and path.startswith("global."):
                continue
            default = json.dumps(content, ensure_ascii=False).replace("|", "\\|")
            lines.append(f"| `{path}` | `{default}` | {words.replace('|', chr(92) + '|')} |")
        lines.append("")
    return "\n".join(lines)


def made() -> dict[Path, str]:
    """Return every file that is made, with its content."""
    top = (UMBRELLA / "values.yaml").read_text(encoding="utf-8")
    start = top.index(BEGIN)
    shared = top[start : top.index(END) + len(END)]
    files: dict[Path, str] = {}
    charts = [Values("rexec", UMBRELLA / "values.yaml")]
    for part in PARTS:
        folder = UMBRELLA / "charts" / part
        values = folder / "values.yaml"
        text = values.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        renewed = before + shared + rest.partition(END)[2]
        if renewed != text:
            files[values] = renewed
            continue
        charts.append(Values(part, values))
        files[folder / HELPERS] = (UMBRELLA / HELPERS).read_text(encoding="utf-8")
    for each in charts:
        schema = json.dumps(each.schema, indent=1, ensure_ascii=False) + "\n"
        files[each.path.with_name("values.schema.json")] = schema
    files[PAGE] = page(charts)
    return files


def main() -> int:
    """Write, or tell what is not up to date."""
    check = "--check" in sys.argv[1:]
    stale = 0
    # The second round reads what the first one copied.
    for _ in range(1 if check else 2):
        for path, content in made().items():
            if not path.exists() or path.read_text(encoding="utf-8") != content:
                stale += 1
                print(f"{'not up to date' if check else 'wrote'}: {path.relative_to(ROOT)}")
                if not check:
                    path.write_text(content, encoding="utf-8")
    if check and stale:
        print("run: python scripts/chart.py")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
