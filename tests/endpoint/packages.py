"""A package index of the tests' own."""

import io
import zipfile

from tests.endpoint.answering import Reply
from tests.endpoint.service import PATIENCE


def offer(index, name, go_on):
    """Have an index offer a package whose files it sends as soon as `go_on` is set."""
    file, about = f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as parts:
        parts.writestr(f"{name}.py", "answer = 42\n")
        parts.writestr(f"{about}/METADATA", metadata)
        parts.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        parts.writestr(f"{about}/RECORD", "")

    def send(handler):
        assert go_on.wait(PATIENCE)
        handler.send_response(200)
        handler.send_header("content-length", str(len(wheel.getvalue())))
        handler.end_headers()
        handler.wfile.write(wheel.getvalue())

    page = f'<a href="/{file}" data-core-metadata="true">{file}</a>'.encode()
    index.answer("GET", f"/simple/{name}/", Reply(200, page, {"content-type": "text/html"}))
    index.answer("GET", f"/{file}.metadata", Reply(200, metadata.encode()))
    index.answer("GET", f"/{file}", Reply(content=send))
