"""Answers that are files: to be kept, and never to be run by a browser."""

import re
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote

from fastapi.responses import StreamingResponse

_RANGE: Final = re.compile(r"bytes=(\d+-\d*|-\d+)")


def wanted_range(header: str | None) -> str | None:
    """Return the part of a file that the header ``Range`` asks for, if it asks for one part."""
    return header if header and _RANGE.fullmatch(header) else None


def file_response(
    pieces: AsyncIterator[bytes],
    name: str,
    *,
    media_type: str,
    size: int | None,
    content_range: str | None = None,
    **headers: str,
) -> StreamingResponse:
    """Return the answer that a file comes in, piece by piece.

    Parameters
    ----------
    pieces
        What it holds.
    name
        What it is called.
    media_type
        What it is.
    size
        Bytes that come, if known.
    content_range
        Which part of the file comes, if it is not all.
    **headers
        More headers, with ``_`` in place of ``-``.
    """
    more = {
        # As it was told: as a media type, text would be said to be UTF-8.
        "Content-Type": media_type,
        # Whatever somebody stored is shown neither as a page of this endpoint nor runs in one.
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name or 'file', safe='')}",
        "Content-Security-Policy": "sandbox",
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        **{header.replace("_", "-"): value for header, value in headers.items()},
    }
    if size is not None:
        more["Content-Length"] = str(size)
    if content_range:
        more["Content-Range"] = content_range
    status = 206 if content_range else 200
    return StreamingResponse(pieces, status, headers=more)
