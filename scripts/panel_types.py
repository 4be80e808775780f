"""Write the panel's types: labextension/src/messages.ts, from rexec_jupyter.labapp.messages.

With ``--check`` it only tells whether the file is as it would be written.
"""

import inspect
import sys
import types
import typing
from pathlib import Path

import msgspec

from rexec_jupyter.labapp import messages

PLACE = Path(__file__).parents[1] / "labextension/src/messages.ts"
HEAD = """\
// Made by scripts/panel_types.py from rexec_jupyter/labapp/messages.py, which explains all of it.

"""
_PLAIN = {str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}


def written(kind: object) -> str:
    """Return a type as TypeScript writes it."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if origin is typing.Literal:
        return " | ".join(f"'{each}'" for each in arguments)
    if origin in (typing.Union, types.UnionType):
        # What may be missing is not there at all.
        names = dict.fromkeys(written(each) for each in arguments if each is not type(None))
        return " | ".join(names)
    if origin is list:
        inner = written(arguments[0])
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    if origin is dict:
        return f"Record<string, {written(arguments[1])}>"
    if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
        return f"I{kind.__name__}"
    raise TypeError(f"{kind} has no name in TypeScript yet")


def interface(kind: type[msgspec.Struct]) -> str:
    """Return the interface of a message."""
    info = typing.cast("msgspec.inspect.StructType", msgspec.inspect.type_info(kind))
    hints = typing.get_type_hints(kind)
    asked = kind.__struct_config__.forbid_unknown_fields
    sparse = kind.__struct_config__.omit_defaults
    lines = [f"  type: '{info.tag}';"] if isinstance(info.tag, str) else []
    for field in info.fields:
        optional = not field.required and (asked or sparse)
        mark = "?" if optional or type(None) in typing.get_args(hints[field.name]) else ""
        lines.append(f"  {field.encode_name}{mark}: {written(hints[field.name])};")
    summary = (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")
    return "\n".join([f"/** {summary} */", f"export interface I{kind.__name__} {{", *lines, "}"])


def content() -> str:
    """Return what the file holds."""
    found = [
        each
        for each in vars(messages).values()
        if inspect.isclass(each)
        and issubclass(each, messages.Message)
        and each is not messages.Message
    ]
    parts = [f"export const PROTOCOL = {messages.PROTOCOL};", *map(interface, found)]
    streamed = [f"I{each.__name__}" for each in found if each.__struct_config__.tag is not None]
    parts.append(f"export type StreamMessage = {' | '.join(streamed)};")
    return HEAD + "\n\n".join(parts) + "\n"


def main() -> int:
    """Write the file, or check it."""
    text = content()
    if "--check" in sys.argv[1:]:
        if PLACE.read_text() == text:
            return 0
        print(f"{PLACE} is not up to date: run python {Path(__file__).name}", file=sys.stderr)
        return 1
    PLACE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
