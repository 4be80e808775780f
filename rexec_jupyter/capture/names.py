"""Which names a cell reads before it assigns them, and which it assigns.

The code is read, not run, in the order in which Python would run it. Where that depends on
data (a loop that may not run, a branch, an exception) a name counts as assigned only
if it is on every path, and a later read of it as *possible*.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rexec_jupyter.capture.scopes import (
    Comprehension,
    Function,
    Scope,
    Walker,
    expanded,
    imported,
    magic_call,
)

CODE_MAGICS = frozenset(("time", "timeit", "capture", "prun", "pinfo", "pinfo2"))
_MAGIC_OPTIONS = re.compile(r"^(?:-\w+(?:\s*\d+)?\s+)*")


@dataclass(slots=True)
class CellNames:
    """What a cell does with global names.

    Attributes
    ----------
    needs
        Read before the cell assigned them, in order of appearance.
    maybe
        Read where the cell may or may not have assigned them already.
    stores
        Assigned, imported or defined somewhere.
    deletes
        Deleted, and not assigned again after that.
    changes
        Changed in place: ``x[...] = v``, ``x.a = v``.
    imports
        Packages that the cell imports.
    magics
        Magics that the cell uses.
    """

    needs: dict[str, None] = field(default_factory=dict)
    maybe: dict[str, None] = field(default_factory=dict)
    stores: set[str] = field(default_factory=set)
    deletes: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    magics: set[str] = field(default_factory=set)


def analyse(tree: ast.Module, transform: Callable[[str], str] = str) -> CellNames:
    """Tell what the code of a cell does with global names.

    Parameters
    ----------
    tree
        The code after IPython's input transformation.
    transform
        That transformation, for code within magics.
    """
    reader = _Reader(transform)
    reader.visit(tree)
    reader.finish()
    return reader.names


class _Reader(Walker):
    """Walks module-level code in the order of execution."""

    def __init__(self, transform: Callable[[str], str]) -> None:
        self.names = CellNames()
        self._transform = transform
        self._assigned: set[str] = set()
        self._starred = False
        # What functions and classes defined here will read, until they are first used.
        self._deferred: dict[str, list[str]] = {}

    def finish(self) -> None:
        """Account for functions that are defined but not used in this cell."""
        for name in list(self._deferred):
            self._use(name)

    # ------------------------------------------------------------------ single names

    def _read(self, name: str) -> None:
        if name not in self._assigned:
            doubtful = self._starred or name in self.names.stores
            (self.names.maybe if doubtful else self.names.needs).setdefault(name)
        self._use(name)

    def _use(self, name: str) -> None:
        for free in self._deferred.pop(name, ()):
            self._read(free)

    def _store(self, name: str) -> None:
        self.names.stores.add(name)
        self.names.deletes.discard(name)
        self._assigned.add(name)
        self._deferred.pop(name, None)

    @contextmanager
    def _branch(self) -> Iterator[set[str]]:
        """Walk code that may not run; gives what is assigned at its end (filled on leaving)."""
        before = set(self._assigned)
        end: set[str] = set()
        yield end
        end |= self._assigned
        self._assigned = before

    def _optional(self, *nodes: ast.AST) -> None:
        with self._branch():
            self.visit_all(nodes)

    # ------------------------------------------------------------------ expressions

    def _name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self._store(node.id)
            return
        self._read(node.id)
        if isinstance(node.ctx, ast.Del):
            self._assigned.discard(node.id)
            self.names.deletes.add(node.id)

    def _part(self, node: ast.Attribute | ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            whole: ast.expr = node
            while isinstance(whole, ast.Attribute | ast.Subscript):
                whole = whole.value
            if isinstance(whole, ast.Name):
                self.names.changes.add(whole.id)
        self.visit_children(node)

    def _walrus(self, node: ast.NamedExpr) -> None:
        self.visit_all([node.value, node.target])

    def _either(self, node: ast.BoolOp) -> None:
        self.visit(node.values[0])
        self._optional(*node.values[1:])

    def _conditional(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        self._optional(node.body)
        self._optional(node.orelse)

    def _scope(self, node: ast.Lambda | Comprehension) -> None:
        scope = Scope(node)
        for name in [*scope.now, *scope.free()]:
            self._read(name)
        for name in scope.outward:
            self._store(name)
        self.names.magics |= scope.magics

    def _call(self, node: ast.Call) -> None:
        magic = magic_call(node)
        if magic is None:
            self.visit_children(node)
            return
        method, arguments = magic
        if method in ("system", "getoutput"):
            self._read_text(arguments[0])
        else:
            self.names.magics.add(arguments[0])
            self._read_text(arguments[1])
            if arguments[0] in CODE_MAGICS:
                self._read_magic(*arguments)

    def _read_text(self, text: str) -> None:
        for name in expanded(text):
            self._read(name)

    def _read_magic(self, name: str, line: str, body: str = "") -> None:
        if name == "capture":
            for word in line.split():
                if word.isidentifier():
                    self._store(word)
        else:
            self._read_code(_MAGIC_OPTIONS.sub("", line, count=1))
        self._read_code(body)

    def _read_code(self, text: str) -> None:
        try:
            tree = ast.parse(self._transform(text))
        except SyntaxError:
            return
        self.visit(tree)

    # ------------------------------------------------------------------ statements

    def _assign(self, node: ast.Assign) -> None:
        self.visit_all([node.value, *node.targets])

    def _augment(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._read(node.target.id)
        self.visit_all([node.value, node.target])

    def _annotate(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        if node.value is not None:
            self.visit_all([node.value, node.target])
        elif not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for name in imported(node):
            self._store(name)
        whole = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        within = node.module if isinstance(node, ast.ImportFrom) and not node.level else None
        for module in (*whole, *([within] if within else [])):
            self.names.imports.add(module.partition(".")[0])
        self._starred |= any(alias.name == "*" for alias in node.names)

    def _define(self, node: Function | ast.ClassDef) -> None:
        self.visit_all(node.decorator_list)
        scope = Scope(node)
        for name in scope.now:
            self._read(name)
        self.names.magics |= scope.magics
        self._store(node.name)
        self._deferred[node.name] = [name for name in scope.free() if name != node.name]
        if node.decorator_list:
            self._use(node.name)  # a decorator may call it
        self.names.stores |= scope.outward

    def _if(self, node: ast.If) -> None:
        self.visit(node.test)
        with self._branch() as then:
            self.visit_all(node.body)
        with self._branch() as otherwise:
            self.visit_all(node.orelse)
        if _leaves(node.body):
            self._assigned |= otherwise
        elif _leaves(node.orelse):
            self._assigned |= then
        else:
            self._assigned |= then & otherwise

    def _for(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self._optional(node.target, *node.body)
        self._optional(*node.orelse)

    def _while(self, node: ast.While) -> None:
        self.visit(node.test)
        self._optional(*node.body)
        self._optional(*node.orelse)

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        with self._branch() as smooth:
            self.visit_all([*node.body, *node.orelse])
        ends = [smooth]
        for handler in node.handlers:
            with self._branch() as caught:
                if handler.type is not None:
                    self.visit(handler.type)
                if handler.name:
                    self._store(handler.name)
                self.visit_all(handler.body)
            caught.discard(handler.name or "")
            if not _leaves(handler.body):
                ends.append(caught)
        self._assigned |= set.intersection(*ends)
        self.visit_all(node.finalbody)

    def _match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        ends = []
        for case in node.cases:
            with self._branch() as end:
                self.visit(case)
            if not _leaves(case.body):
                ends.append(end)
        last = node.cases[-1]
        if ends and last.guard is None and _catches_all(last.pattern):
            self._assigned |= set.intersection(*ends)

    def _capture(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self.visit_children(node)
        if node.name:
            self._store(node.name)

    def _rest(self, node: ast.MatchMapping) -> None:
        self.visit_children(node)
        if node.rest:
            self._store(node.rest)

    _visitors: ClassVar[Mapping[type[ast.AST], Callable[[Any, Any], None]]] = {
        ast.Name: _name,
        **dict.fromkeys((ast.Attribute, ast.Subscript), _part),
        ast.NamedExpr: _walrus,
        ast.BoolOp: _either,
        ast.IfExp: _conditional,
        **dict.fromkeys((ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), _scope),
        ast.Lambda: _scope,
        ast.Call: _call,
        ast.Assign: _assign,
        ast.AugAssign: _augment,
        ast.AnnAssign: _annotate,
        **dict.fromkeys((ast.Import, ast.ImportFrom), _import),
        **dict.fromkeys((ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef), _define),
        ast.If: _if,
        **dict.fromkeys((ast.For, ast.AsyncFor), _for),
        ast.While: _while,
        **dict.fromkeys((ast.Try, ast.TryStar), _try),
        ast.Match: _match,
        **dict.fromkeys((ast.MatchAs, ast.MatchStar), _capture),
        ast.MatchMapping: _rest,
    }


def _leaves(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Raise | ast.Continue | ast.Break | ast.Return)


def _catches_all(pattern: ast.pattern) -> bool:
    return isinstance(pattern, ast.MatchAs) and pattern.pattern is None
