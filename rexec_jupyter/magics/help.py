"""Help: ``%rx obj?`` asks the session, and ``%%rexec?`` shows the options."""

from __future__ import annotations

import re
import tokenize
from typing import TYPE_CHECKING, Self

from IPython.core.inputtransformer2 import TokenTransformBase

from rexec_jupyter.core.settings import current

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

EARLY = 3
"""Before IPython's own transformers, one of which takes every line that ends in ``?``."""
_LINE = re.compile(r"(\s*)%(\w+)[ \t]+(.*\?)\s*$")


class RemoteHelp(TokenTransformBase):
    """Keeps ``%rx obj?`` whole, so that the session shows its help for its own object.

    IPython would make local help for ``obj`` of it; and ``%rexec jobs?`` means the subcommand.
    """

    priority = EARLY

    @classmethod
    def find(cls, tokens_by_line: list[list[tokenize.TokenInfo]]) -> Self | None:
        """Find it among the lines of a cell."""
        for line in tokens_by_line:
            start, words = significant(line)
            if len(words) < 4 or words[0] != "%" or words[-1] != "?":
                continue
            if words[1] == "rexec" or words[1] in current().now().aliases:
                return cls(start)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        """Call the magic with the question as its code."""
        line = lines[self.start_line]
        match = _LINE.match(line)
        if match is None:
            raise SyntaxError(line)  # IPython then tries its own
        indent, magic, code = match.groups()
        if magic == "rexec":
            code = f"{code.rstrip('? ')} --help"
        call = f"{indent}get_ipython().run_line_magic({magic!r}, {code!r})\n"
        return [*lines[: self.start_line], call, *lines[self.start_line + 1 :]]


def significant(line: list[tokenize.TokenInfo]) -> tuple[tuple[int, int], list[str]]:
    """Return where the code of a line begins, and its words."""
    tokens = [token for token in line if token.string.strip()]
    return (tokens[0].start if tokens else (0, 0)), [token.string for token in tokens]


def register(shell: InteractiveShell) -> None:
    """Make ``%rx obj?`` reach the session."""
    shell.input_transformer_manager.token_transformers.append(RemoteHelp)


def unregister(shell: InteractiveShell) -> None:
    """Leave IPython as it was."""
    shell.input_transformer_manager.token_transformers.remove(RemoteHelp)
