"""The released clients of endpoints, each in a virtual environment of its own."""

import base64
import json
import subprocess
import sys
from pathlib import Path

DRIVER = Path(__file__).with_name("ndp_driver.py")


class RaisedThereError(Exception):
    """The released client raised something else than its documented ValueError."""


def install(directory, *requirements):
    """Make a virtual environment that holds these packages; return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    python = directory / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    done = subprocess.run(
        [*pip, "install", "--quiet", "--no-input", *requirements],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return python


class ReleasedClient:
    """An `ndp_ep.APIClient` in a process of the environment that it is installed in.

    Its methods take and return what those of the client do, and raise ValueError where those do.
    Use it in a ``with`` statement.

    Parameters
    ----------
    python
        The interpreter of the environment.
    arguments, options
        For the client's constructor.
    """

    def __init__(self, python, *arguments, **options):
        # A warning that the endpoint is too old for the client would be an error here.
        self._process = subprocess.Popen(
            [python, "-W", "error::UserWarning", DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.api_version = self.call("APIClient", *arguments, **options)
        except BaseException:
            self.close()
            raise

    def call(self, name, /, *arguments, **options):
        """Call a method there."""
        request = {"name": name, "args": arguments, "kwargs": options}
        self._process.stdin.write(json.dumps(request, default=_encoded) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline(), object_hook=_decoded)
        if "raised" not in answer:
            return answer["result"]
        kind = ValueError if answer["raised"] == "ValueError" else RaisedThereError
        raise kind(
            answer["text"] if kind is ValueError else f"{answer['raised']}: {answer['text']}"
        )

    def __getattr__(self, name):
        return lambda *arguments, **options: self.call(name, *arguments, **options)

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _encoded(value):
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(value)


def _decoded(item):
    return base64.b64decode(item["base64"]) if item.keys() == {"base64"} else item
