"""Print the page of the error catalogue, docs/errors.md, as the classes describe it.

Usage: python scripts/error_page.py > docs/errors.md
"""

import inspect
import re

from rexec_jupyter.core.errors import CATALOGUE, RemoteError, RexecError

HEAD = """\
# Errors

<!-- Made by scripts/error_page.py from rexec_jupyter/core/errors.py: change it there. -->

Every error of rexec is a `rexec_jupyter.RexecError`. Its text tells the cause, names the object
and says what to do next; it has the attributes `code`, `hint` and `job` (the job concerned, or
`None`). An exception that your own code raised remotely is none of these: it is raised with its
own type, and its `remote_traceback` has the remote frames.
"""
SYNTAX = """\
## R13 `SyntaxError`

Python's own: the code cannot be parsed.

**When.** A cell is checked before anything is sent, and the error points at its line in the
notebook. Nothing was executed.

**What to do.** Correct the code.

```text
  Cell In[3], line 2
    def f(:
          ^
SyntaxError: invalid syntax
```
"""
SECTION = re.compile(r"^(\w[\w ]*)\n-{4,}\n", re.MULTILINE)


def entry(kind: type[RexecError]) -> str:
    """Return what the page says of one class."""
    head, *rest = SECTION.split(inspect.cleandoc(kind.__doc__ or ""))
    sections = {title: text.strip() for title, text in zip(rest[::2], rest[1::2], strict=True)}
    message, hint = kind.example
    if issubclass(kind, RemoteError):
        error: RexecError = kind("GridError", message)
    else:
        error = kind(message, hint=hint)
    lines = [
        f"## {kind.code} `{kind.__name__}`\n",
        f"{markdown(head)}\n",
        f"**When.** {markdown(sections['When'])}\n",
        f"**What to do.** {markdown(sections['What to do'])}\n",
    ]
    if kind is not RexecError and "Attributes" in sections:
        lines.append(f"{attributes(sections['Attributes'])}\n")
    lines.append(f"```text\n{error}\n```\n")
    return "\n".join(lines)


def attributes(text: str) -> str:
    """Return attributes of a class as a list."""
    found = re.findall(r"^(\w+)\n((?: {4}.*\n?)+)", text, re.MULTILINE)
    items = [f"- `{name}`: {' '.join(told.split())}" for name, told in found]
    return "\n".join(["It also has:\n", *items])


def markdown(text: str) -> str:
    """Turn the marks of docstrings into those of Markdown."""
    return re.sub(r"(?<!`)`([\w.]+)`(?!`)", r"`\1`", text.strip()).replace("``", "`")


def page() -> str:
    """Return the whole page."""
    entries = []
    for kind in CATALOGUE:
        if kind.code == "R14":
            entries.append(SYNTAX)
        entries.append(entry(kind))
    return "\n".join([HEAD, *entries])


if __name__ == "__main__":
    print(page(), end="")
