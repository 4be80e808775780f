"""Which names a function, comprehension, class or line magic reads from outside itself."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

_SHELL_NAME = re.compile(r"(?<!\$)\$([A-Za-z_]\w*)")
_MAGIC_CALLS = {"system": 1, "getoutput": 1, "run_line_magic": 2, "run_cell_magic": 3}


class Walker:
    """Walks a syntax tree; `_visitors` tells what to do at which kind of node."""

    _visitors: ClassVar[Mapping[type[ast.AST], Callable[[Any, Any], None]]] = {}

    def visit(self, node: ast.AST) -> None:
        """Visit a node, by default its children."""
        visitor = self._visitors.get(type(node), Walker.visit_children)
        visitor(self, node)

    def visit_all(self, nodes: Iterable[ast.AST]) -> None:
        """Visit nodes in order."""
        for node in nodes:
            self.visit(node)

    def visit_children(self, node: ast.AST) -> None:
        """Visit the children of a node."""
        self.visit_all(ast.iter_child_nodes(node))


class Scope(Walker):
    """What a piece of code with names of its own reads from outside.

    Parameters
    ----------
    node
        A function, lambda, comprehension or class; or an expression, which has no names of
        its own.

    Attributes
    ----------
    now
        Read where it is defined: defaults, annotations, bases, the body of a class.
    outward
        Assigned in the scope around it: declared global, or by a walrus.
    magics
        Magics that it uses.
    """

    def __init__(self, node: ast.AST) -> None:
        self.now: dict[str, None] = {}
        self.outward: set[str] = set()
        self.magics: set[str] = set()
        self._bound: set[str] = set()
        self._declared: set[str] = set()
        self._loads: dict[str, None] = {}
        self._is_class = isinstance(node, ast.ClassDef)
        self._is_comprehension = isinstance(node, Comprehension)
        self._enter(node)

    def free(self) -> list[str]:
        """Names read from the scope around it, whenever it runs."""
        return [name for name in self._loads if name not in self._bound]

    def _enter(self, node: ast.AST) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._parameters(node.args)
                self._outside([node.returns] if node.returns else [])
                self.visit_all(node.body)
            case ast.Lambda():
                self._parameters(node.args)
                self.visit(node.body)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                # The first iterable is evaluated outside: in [x for x in x] they are two.
                first, *others = node.generators
                self._outside([first.iter])
                self.visit_all([first.target, *first.ifs, *others])
                result = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
                self.visit_all(result)
            case ast.ClassDef():
                self._outside([*node.bases, *node.keywords])
                self.visit_all(node.body)
            case _:
                self.visit(node)
        self._bound |= {parameter.name for parameter in getattr(node, "type_params", ())}
        self._bound -= self._declared
        if self._is_class:
            self._bound.clear()  # its functions do not see its names

    def _parameters(self, args: ast.arguments) -> None:
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs]
        every += [arg for arg in (args.vararg, args.kwarg) if arg is not None]
        self._bound |= {arg.arg for arg in every}
        self._outside(arg.annotation for arg in every if arg.annotation is not None)
        self._outside(args.defaults)
        self._outside(default for default in args.kw_defaults if default is not None)

    def _outside(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            scope = Scope(node)
            self.now |= scope.now | dict.fromkeys(scope.free())
            self.magics |= scope.magics

    def _inner(self, node: ast.AST) -> Scope:
        scope = Scope(node)
        for name in scope.now:
            self._load(name)
        self._loads |= dict.fromkeys(scope.free())
        self.magics |= scope.magics
        return scope

    def _load(self, name: str) -> None:
        if not self._is_class:
            self._loads.setdefault(name)
        elif name not in self._bound:
            self.now.setdefault(name)

    def _name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self._bound.add(node.id)
        else:
            self._load(node.id)

    def _walrus(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        (self.outward if self._is_comprehension else self._bound).add(node.target.id)

    def _assign(self, node: ast.Assign) -> None:
        self.visit_all([node.value, *node.targets])

    def _augment(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._load(node.target.id)
        self.visit_children(node)

    def _global(self, node: ast.Global) -> None:
        self._declared |= set(node.names)
        self.outward |= set(node.names)

    def _nonlocal(self, node: ast.Nonlocal) -> None:
        self._declared |= set(node.names)
        self._loads |= dict.fromkeys(node.names)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        self._bound |= set(imported(node))

    def _capture(self, node: ast.ExceptHandler | ast.MatchAs | ast.MatchStar) -> None:
        if node.name:
            self._bound.add(node.name)
        self.visit_children(node)

    def _rest(self, node: ast.MatchMapping) -> None:
        if node.rest:
            self._bound.add(node.rest)
        self.visit_children(node)

    def _define(self, node: Function | ast.ClassDef) -> None:
        self.visit_all(node.decorator_list)
        self._bound.add(node.name)
        self.outward |= self._inner(node).outward

    def _lambda(self, node: ast.Lambda) -> None:
        self._inner(node)

    def _comprehension(self, node: Comprehension) -> None:
        (self.outward if self._is_comprehension else self._bound).update(self._inner(node).outward)

    def _call(self, node: ast.Call) -> None:
        magic = magic_call(node)
        if magic is None:
            self.visit_children(node)
            return
        if magic[0].startswith("run_"):
            self.magics.add(magic[1][0])
        for name in (name for text in magic[1] for name in expanded(text)):
            self._load(name)

    _visitors: ClassVar[Mapping[type[ast.AST], Callable[[Any, Any], None]]] = {
        ast.Name: _name,
        ast.NamedExpr: _walrus,
        ast.Assign: _assign,
        ast.AugAssign: _augment,
        ast.Global: _global,
        ast.Nonlocal: _nonlocal,
        **dict.fromkeys((ast.Import, ast.ImportFrom), _import),
        **dict.fromkeys((ast.ExceptHandler, ast.MatchAs, ast.MatchStar), _capture),
        ast.MatchMapping: _rest,
        **dict.fromkeys((ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef), _define),
        ast.Lambda: _lambda,
        **dict.fromkeys((ast.ListComp, ast.SetComp, ast.DictComp), _comprehension),
        ast.GeneratorExp: _comprehension,
        ast.Call: _call,
    }


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Yield the names that an import statement binds; none for ``*``."""
    for alias in node.names:
        if alias.asname or alias.name != "*":
            whole = isinstance(node, ast.Import)
            yield alias.asname or (alias.name.partition(".")[0] if whole else alias.name)


def magic_call(node: ast.Call) -> tuple[str, list[str]] | None:
    """Return method and arguments of what IPython makes of ``!cmd`` and ``%magic``."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=method),
            args=args,
        ):
            texts = [str(arg.value) for arg in args if isinstance(arg, ast.Constant)]
            if len(texts) == len(args) == _MAGIC_CALLS.get(method):
                return method, texts
    return None


def expanded(text: str) -> Iterator[str]:
    """Yield the names that IPython fills in for ``{expression}`` and ``$name``."""
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(text) if field]
    except ValueError:
        fields = []
    for field in fields:
        try:
            expression = ast.parse(field.strip(), mode="eval")
        except SyntaxError:
            continue  # IPython leaves such a text alone, awk's {print $1} for one
        yield from Scope(expression).free()
    yield from _SHELL_NAME.findall(text)
