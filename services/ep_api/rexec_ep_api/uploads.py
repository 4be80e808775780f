"""A form with one file in it, read as it comes in.

What fits into memory is never more than a piece of the file, and nothing is read before somebody
asks for it: whoever may not upload has not filled a disk by then.
"""

from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, NamedTuple

from fastapi import HTTPException
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_FILE: Final = "file"
_LONGEST_FIELD: Final = 64 * 1024
_MOST_FIELDS: Final = 20


class _Part(NamedTuple):
    name: str
    filename: str
    content_type: str


class _End(NamedTuple):
    """The end of a part, or of the form."""

    of_form: bool


class UploadForm:
    """The form of a request.

    `open` reads up to the file, `pieces` the rest. Only after the last piece it is certain that
    the form was complete.

    Parameters
    ----------
    content_type
        The header of that name.
    body
        The body of the request as it comes in.

    Attributes
    ----------
    fields
        What the form holds besides the file, as far as it was read.
    filename, content_type
        Of the file.
    """

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise _invalid("The body is no form of the type multipart/form-data")
        self.fields: dict[str, str] = {}
        self.filename = self.content_type = ""
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._found: deque[_Part | bytes | _End] = deque()
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as error:
            raise _unreadable(error) from None
        self._events = self._read(body)

    async def open(self) -> None:
        """Read up to the file."""
        part = await self._part()
        while part is not None and part.name != _FILE:
            await self._field(part)
            part = await self._part()
        if part is None:
            raise _invalid(f"The form has no part {_FILE!r}")
        self.filename, self.content_type = part.filename, part.content_type

    async def pieces(self) -> AsyncIterator[bytes]:
        """Return the file piece by piece, and read what comes after it."""
        async for piece in self._content():
            yield piece
        while (part := await self._part()) is not None:
            if part.name == _FILE:
                raise _invalid(f"The form has more than one part {_FILE!r}; send them one by one")
            await self._field(part)

    async def _part(self) -> _Part | None:
        """Return the next part, or None after the last one."""
        async for found in self._events:
            if isinstance(found, _Part):
                return found
            if isinstance(found, _End) and found.of_form:
                return None
        raise _invalid("The form ends before its last part does")

    async def _content(self) -> AsyncIterator[bytes]:
        """Yield what the part holds that was returned last."""
        async for found in self._events:
            if not isinstance(found, bytes):
                return
            yield found

    async def _field(self, part: _Part) -> None:
        value = bytearray()
        async for piece in self._content():
            value += piece
            if len(value) > _LONGEST_FIELD:
                raise _invalid(f"The part {part.name[:80]!r} of the form is too long")
        if len(self.fields) >= _MOST_FIELDS:
            raise _invalid("The form has too many parts")
        self.fields[part.name] = _text(bytes(value))

    async def _read(self, body: AsyncIterator[bytes]) -> AsyncIterator[_Part | bytes | _End]:
        async for chunk in body:
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise _unreadable(error) from None
            while self._found:
                yield self._found.popleft()

    def _callbacks(self) -> "MultipartCallbacks":
        def on_header_field(data: bytes, start: int, end: int) -> None:
            self._name += data[start:end]

        def on_header_value(data: bytes, start: int, end: int) -> None:
            self._value += data[start:end]

        def on_header_end() -> None:
            self._headers[self._name.lower()] = self._value
            self._name = self._value = b""

        def on_headers_finished() -> None:
            _, options = parse_options_header(self._headers.get(b"content-disposition"))
            name, filename = options.get(b"name", b""), options.get(b"filename", b"")
            kind = self._headers.get(b"content-type", b"")
            self._found.append(_Part(_text(name), _text(filename), _text(kind)))

        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": on_header_field,
            "on_header_value": on_header_value,
            "on_header_end": on_header_end,
            "on_headers_finished": on_headers_finished,
            "on_part_data": lambda data, start, end: self._found.append(data[start:end]),
            "on_part_end": lambda: self._found.append(_End(of_form=False)),
            "on_end": lambda: self._found.append(_End(of_form=True)),
        }


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _invalid("The form holds text that is not UTF-8") from None


def _unreadable(error: FormParserError) -> HTTPException:
    return _invalid(f"The form cannot be read ({error})")


def _invalid(what: str) -> HTTPException:
    return HTTPException(
        422, f"{what}. Send a form of the type multipart/form-data with a part {_FILE!r}."
    )
