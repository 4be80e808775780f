"""Which names a cell reads before it assigns them: one line of the table per way to do so."""

import ast
import sys

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from rexec_jupyter.capture.names import analyse

NEEDS = [
    ("a", "a"),
    ("a + b.c", "a b"),
    ("x = a; x", "a"),
    ("x = x + 1", "x"),
    ("x += 1", "x"),
    ("x: int = a", "int a"),
    ("x: int", "int"),
    ("a.b = c", "c a"),
    ("a[i] = c", "c a i"),
    ("a.n += 1", "a"),
    ("x = y = a; y", "a"),
    ("(x, *y) = a; x, y", "a"),
    ("del x", "x"),
    ("x = 1; del x", ""),
    ("for i in a: b(i)", "a b"),
    ("while a: x = 1", "a"),
    ("with a as x, x.y as z: z", "a"),
    ("try:\n  x = a\nexcept E as e:\n  e\n  raise\nx", "a E"),
    ("try:\n  x = 1\nfinally:\n  y = 2\nx, y", ""),
    ("try:\n  pass\nexcept* E as e: e", "E"),
    ("if a: x = 1\nelse: x = 2\nx", "a"),
    ("if a: x = 1\nelse: raise E\nx", "a E"),
    ("import a.b as c; c", ""),
    ("import a.b; a", ""),
    ("from a import b as c, d; c, d", ""),
    ("from a import *", ""),
    ("assert a, b", "a b"),
    ("raise a from b", "a b"),
    ("f'{a!r:>{b}} {c=}'", "a b c"),
    ("(y := a) + y", "a"),
    ("if (n := len(a)) > 1: n", "len a"),
    ("lambda x, y=a: x + b", "a b"),
    ("f = lambda: g", "g"),
    ("[x for x in a if x > b]", "a b"),
    ("[x for x in x]", "x"),
    ("{k: v for k, v in a.items() for w in b}", "a b"),
    ("[[y for y in x] for x in a]", "a"),
    ("any((last := x) for x in a); last", "any a"),
    ("(lambda: [x for x in xs])()", "xs"),
    ("def f(x): return x + a", "a"),
    ("def f(x=a): return x", "a"),
    ("def f(x: A) -> B: pass", "A B"),
    ("def f(n): return f(n - 1)", ""),
    ("def f():\n  x = a\n  def g(): return x + b\n  return g", "a b"),
    ("def f():\n  global k\n  k = 1\nf()", ""),
    ("def f():\n  n = 0\n  def g():\n    nonlocal n\n    n += a\n  g()", "a"),
    ("def f():\n  import m\n  from m import n\n  m, n", ""),
    ("def f():\n  try: pass\n  except E as e: e", "E"),
    ("def f():\n  for i in a: i\n  return [j for j in i]", "a"),
    ("def f():\n  [last := x for x in a]\n  return last", "a"),
    (
        "def f(x):\n  match x:\n    case [p, *q]: return p, q\n    case {'k': r, **s}: return r, s",
        "",
    ),
    ("def f(): return x\nx = 3\nf()", ""),
    ("def f(): return x\nf()\nx = 3", "x"),
    ("def f(): return x\nx = 3", ""),
    ("def f(): return g()\ndef g(): return a", "a"),
    ("@deco\ndef f(): return a", "deco a"),
    ("async def f(): return await a", "a"),
    ("await a", "a"),
    ("async with a as x: x", "a"),
    ("class A(B, metaclass=M):\n  n = a\n  m = n\n  def f(self): return n + A", "B M a n"),
    ("class A:\n  def f(self): return helper()\nA()", "helper"),
    ("class A:\n  x = [y for y in a]", "a"),
    ("class A:\n  x = x", "x"),
    ("def f():\n  class A:\n    n = a\n    def g(self): return n\n  return A", "a n"),
    (
        "match a:\n  case {'k': v, **rest} if v > b: rest\n  case [x, *y]: x\n  case C() as w: w",
        "a b C",
    ),
    ("match a:\n  case 1: x = 1\n  case _: x = 2\nx", "a"),
    ("a and (x := b)", "a b"),
    ("print(*a, sep=b, **c)", "print a b c"),
    ("a[b:c, d]", "a b c d"),
    ("a if b else c", "b a c"),
    ("yield_ = (a for a in b)", "b"),
    ("!ls {path} $name $$pid {a + b:>3}", "path a b name"),
    ("files = !ls {path}", "path"),
    ("!awk '{print $1}'", ""),
    ("%cd {folder}", "folder"),
    ("%time f(a)", "f a"),
    ("%timeit -n 10 -r3 f(a)", "f a"),
    ("%%time\nx = a\nx", "a"),
    ("%%timeit b\na", "b a"),
    ("%%capture out\nprint(a)", "print a"),
    ("%%bash -s {a}\necho {b} $c", "a"),
    ("%%time\n!ls {a}", "a"),
    ("def f():\n  !ls {a}", "a"),
    ("a?", "a"),
    ("a.b??", "a"),
]

MAYBE = [
    ("def f():\n  global k\n  k += 1", "k"),
    ("if a: x = 1\nx", "x"),
    ("for i in a: x = i\nx, i", "x i"),
    ("while a: x = 1\nx", "x"),
    ("try: x = 1\nexcept E: pass\nx", "x"),
    ("a and (x := b); x", "x"),
    ("match a:\n  case 1: x = 1\nx", "x"),
    ("from a import *\nx", "x"),
    ("x = 1; del x; x", "x"),
]

STORES = [
    ("x = 1", "x"),
    ("(x, [*y]), z.w, v[0] = a", "x y"),
    ("import a.b, c as d\nfrom e import f", "a d f"),
    ("for i in a: j = 1", "i j"),
    ("def f(): y = 1\nclass C: z = 1", "f C"),
    ("def f():\n  global g\n  g = 1", "f g"),
    ("[y := x for x in a]", "y"),
    ("with a as (x, y): pass", "x y"),
    ("match a:\n  case [x, *y]: pass\n  case {**z}: pass\n  case w: pass", "x y z w"),
    ("x = !ls", "x"),
    ("%%time\nx = 1", "x"),
    ("%%capture --no-stderr out\nx = 1", "out x"),
    ("x: int", ""),
    ("x += 1", "x"),
]

OURS = {"rexec", "rx"}


CHANGES = [
    ("x[0] = 1", "x"),
    ("x.a = 1", "x"),
    ("x.a[0].b += 1", "x"),
    ("del x[0], y.a", "x y"),
    ("x.a, (y[0], *z[1:]) = v", "x y z"),
    ("for x.i in v: pass", "x"),
    ("with v as x.f: pass", "x"),
    ("x: int = 1; y.a: int = 1", "y"),
    ("f(x)[0] = 1", ""),
    ("x.append(1); y[x.a]; [x[0] for y in v]", ""),
]


def names(source):
    manager = TransformerManager()
    tree = ast.parse(manager.transform_cell(source))
    return analyse(tree, manager.transform_cell)


@pytest.mark.parametrize(("source", "expected"), NEEDS)
def test_a_name_read_before_it_is_assigned_is_needed(source, expected):
    found = names(source)
    assert set(found.needs) == set(expected.split()) | ({"get_ipython"} & set(found.needs))
    assert not found.maybe
    assert found.magics.isdisjoint(OURS)


@pytest.mark.parametrize(("source", "expected"), MAYBE)
def test_a_name_that_only_some_paths_assign_may_be_needed(source, expected):
    assert set(names(source).maybe) == set(expected.split())


@pytest.mark.parametrize(("source", "expected"), STORES)
def test_what_a_cell_assigns_is_known(source, expected):
    assert names(source).stores == set(expected.split())


@pytest.mark.parametrize(("source", "expected"), CHANGES)
def test_what_a_cell_changes_in_place_is_known(source, expected):
    assert names(source).changes == set(expected.split())


def test_needed_names_come_in_the_order_in_which_they_are_read():
    assert list(names("b = c + a\nd[b] = e").needs) == ["c", "a", "e", "d"]


def test_a_deleted_name_is_no_longer_there_unless_it_is_assigned_again():
    found = names("x = 1; y = 1; del x, y; y = 2")
    assert found.deletes == {"x"}


@pytest.mark.parametrize(
    "source",
    ["%rexec", "%rx f()", "if True:\n  %rx f()", "%%rexec\nx", "def f():\n  %rx f()", "%%rx\nx"],
)
def test_rexec_within_a_remote_cell_is_noticed(source):
    assert names(source).magics & OURS


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax came with Python 3.12")
def test_type_parameters_are_not_needed():
    assert set(names("def f[T](x: T) -> list[T]: return x\nclass C[U]: y: U").needs) <= {"list"}
