"""Whatever the OpenAPI document allows, and what it does not: nothing makes the endpoint fail."""

from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.endpoint.canary import inspect

# What answers when a part is off, or a service behind the endpoint does not answer.
EXPECTED = {502, 503, 504}
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]

bounded = settings(
    max_examples=5,
    phases=[Phase.generate],
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def operations(endpoint):
    document = schemathesis.openapi.from_url(f"{endpoint.url}/openapi.json")
    found = [each.ok() for each in document.get_all_operations()]
    assert len(found) > 60
    return found


@pytest.mark.slow
@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("who", ["writer", None])
def test_no_request_makes_it_fail(operations, identity, subtests, who, mode):
    headers = {"Authorization": f"Bearer {identity.token(who)}"} if who else {}
    for operation in operations:

        @bounded
        @given(operation.as_strategy(generation_mode=mode))
        def holds(case):
            hold(case, headers)

        # Where nothing can be said, nothing can be said wrongly.
        with subtests.test(operation.label), suppress(Unsatisfiable):
            holds()


def hold(case, headers):
    """Send a request; make sure that the answer is one that the document tells of."""
    response = case.call(headers=headers)
    status = response.status_code
    assert status < 500 or status in EXPECTED, response.text
    if status >= 400:
        told = response.json()
        assert isinstance(told["detail"], str), told
        assert told["detail"], told
        inspect(response.text, f"the answer to {case.method} {case.path}")
        if "holds a NUL character" in told["detail"]:
            return  # it was refused before any operation saw it
    elif not headers:
        assert case.method in ("GET", "POST"), "somebody unknown changed something"
    case.validate_response(response, checks=CHECKS)
