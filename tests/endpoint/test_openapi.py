"""The OpenAPI document: complete, with an example for everything that is sent."""

import json
import re

import pytest
from openapi_spec_validator import validate

METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def document(endpoint):
    with endpoint.client() as client:
        return client.get("/openapi.json").json()


@pytest.fixture(scope="module")
def operations(document):
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }


def resolved(document, schema):
    while "$ref" in schema or "anyOf" in schema:
        if "anyOf" in schema:  # a body that may be left out
            schema = next(one for one in schema["anyOf"] if one.get("type") != "null")
            continue
        part = document
        for key in schema["$ref"].removeprefix("#/").split("/"):
            part = part[key]
        schema = part
    return schema


def test_it_is_valid(document):
    validate(document)


def test_every_operation_says_what_it_does(operations):
    lacking = [
        name
        for name, operation in operations.items()
        if not all(operation.get(key) for key in ("summary", "description", "tags", "operationId"))
    ]
    assert not lacking


def test_every_tag_is_described(document, operations):
    described = {tag["name"] for tag in document["tags"]}
    assert {tag for operation in operations.values() for tag in operation["tags"]} == described


def test_every_parameter_is_described(operations):
    lacking = [
        f"{name}: {parameter['name']}"
        for name, operation in operations.items()
        for parameter in operation.get("parameters", ())
        if not parameter.get("description")
    ]
    assert not lacking


def test_every_body_has_an_example(document, operations):
    lacking = []
    for name, operation in operations.items():
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            schema = resolved(document, content.get("schema", {}))
            shown = {"example", "examples"} & (content.keys() | schema.keys())
            by_field = all(
                {"example", "examples"} & field.keys()
                for field in schema.get("properties", {"": {}}).values()
            )
            if not shown and not by_field:
                lacking.append(f"{name} ({kind})")
    assert not lacking


def test_every_answer_in_json_has_an_example(operations):
    lacking = [
        f"{name}: {status}"
        for name, operation in operations.items()
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        and "application/json" in answer.get("content", {})
        and not {"example", "examples"} & answer["content"]["application/json"].keys()
    ]
    assert not lacking


def test_whoever_needs_a_token_is_told_that_it_may_be_refused(anonymous, operations):
    guarded = {name: operation for name, operation in operations.items() if "security" in operation}
    assert len(guarded) > 10
    for name, operation in guarded.items():
        method, path = name.split()
        if "redirect" in path:
            continue
        answer = anonymous.request(method, re.sub(r"\{\w+\}", "x", path))
        assert str(answer.status_code) in operation["responses"], f"{name}: {answer.status_code}"
        if answer.status_code == 401:
            assert "503" in operation["responses"], name


def test_every_error_has_the_one_form(document, operations):
    for name, operation in operations.items():
        for status, answer in operation["responses"].items():
            if status[0] in "45" and name != "GET /ready":
                schema = resolved(document, answer["content"]["application/json"]["schema"])
                assert "correlation_id" in schema["properties"], f"{name}: {status}"


def test_the_command_prints_the_same(endpoint, document):
    printed = endpoint.run("openapi")
    assert printed.returncode == 0, printed.stderr
    assert json.loads(printed.stdout)["paths"].keys() == document["paths"].keys()
