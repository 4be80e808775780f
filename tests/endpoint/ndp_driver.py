"""Runs in the environment of a released client, and does with it what a test says line by line.

It is run by path, by another interpreter, and imports nothing of this repository. Each line that
it reads is the JSON of one call, and each that it writes is the JSON of what came of it.
"""

import base64
import json
import os
import sys

from ndp_ep import APIClient


def main():
    """Answer calls until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # what the libraries print is no answer
    client = None
    for line in sys.stdin:
        call = json.loads(line, object_hook=_decoded)
        try:
            if call["name"] == "APIClient":
                client = APIClient(*call["args"], **call["kwargs"])
                result = client.api_version
            elif call["name"] == "remote_func":
                result = _remote_state()
            elif call["name"] in ("set_api_url", "set_environment"):
                result = _of_rexec(call["name"], *call["args"], **call["kwargs"])
            else:
                result = getattr(client, call["name"])(*call["args"], **call["kwargs"])
            answer = {"result": result}
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is to judge
            answer = {"raised": type(error).__name__, "text": str(error)}
        print(json.dumps(answer, default=_encoded), file=answers, flush=True)


def _remote_state():
    from rexec.client_api import remote_func

    return {
        name: getattr(remote_func, name)
        for name in ("broker_addr", "broker_port", "rexec_api_url", "exec_token")
    }


def _of_rexec(name, *arguments, **options):
    from rexec.client_api import remote_func

    answer = getattr(remote_func, name)(*arguments, **options)
    return None if answer is None else {"status": answer.status_code} | answer.json()


def _encoded(value):
    return {"base64": base64.b64encode(value).decode()}


def _decoded(item):
    return base64.b64decode(item["base64"]) if item.keys() == {"base64"} else item


if __name__ == "__main__":
    main()
