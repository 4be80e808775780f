"""What Kubernetes takes: its own objects, and those of APIs that somebody may have installed."""

import functools
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

VERSION = "1.34"
CRDS = sorted((Path(__file__).parent / "crds").glob("*.yaml"))


def validate(each):
    """Raise `jsonschema.ValidationError` if Kubernetes would refuse an object, or ignore a part."""
    kind = each["apiVersion"], each["kind"]
    if kind in foreign():
        jsonschema.validate(each, foreign()[kind])
    else:
        kubernetes_validate.validate(each, VERSION, strict=True)


@functools.cache
def foreign():
    """Return the schemas of kinds that are not Kubernetes' own."""
    found = {}
    for path in CRDS:
        spec = yaml.safe_load(path.read_text())["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            key = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
            found[key] = _strict(schema)
    return found


def _strict(schema):
    """Return a schema that refuses what it does not name; an API server would drop it."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {name: _strict(each) for name, each in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        strict.setdefault("additionalProperties", False)
    return strict
