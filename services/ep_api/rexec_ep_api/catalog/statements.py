"""The statements that find datasets, made once for each shape that a search can have.

Their values are parameters, so a statement is the same whatever is looked for: making it and
turning it into SQL would take longer than the database does.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Select,
    Text,
    bindparam,
    func,
    literal,
    not_,
    or_,
    select,
)

from rexec_ep_api.catalog import datasets as whole
from rexec_ep_api.catalog import index
from rexec_ep_api.catalog.models import datasets as table
from rexec_ep_api.catalog.models import organizations, resources

Sees = Literal["all", "own", "public"]
"""Which private datasets somebody sees."""
Limit = Literal["start", "end"]
"""What a period may have."""

# A search has a handful of terms at most, but nobody keeps users from trying.
_KEPT = 512


@dataclass(frozen=True, slots=True)
class Shape:
    """What a search looks like, whatever it looks for.

    Attributes
    ----------
    dialect
        Of the database.
    indexed
        Whether the index is asked: parameter ``match``.
    keys
        For each text how many keys there are of which one must have it, 0 for anywhere:
        parameters ``text_0``, ``key_0_0`` and so on.
    sees
        Which private datasets are among those looked at; with ``own`` those of the parameter
        ``creator``.
    part
        Columns of one and the same resource that are given: parameters ``part_url`` and so on.
    period
        Limits of the timestamp that are given, which are parameters of these names; with
        ``nearest`` the nearest to them comes first.
    """

    dialect: str
    indexed: bool
    keys: tuple[int, ...]
    sees: Sees
    part: tuple[str, ...]
    period: tuple[Limit | Literal["nearest"], ...] | None


@lru_cache(_KEPT)
def hits(shape: Shape) -> Select[Any]:
    """Return the statement that gives the hits as one text, with commas between them."""
    found = _matching(shape, [table.c.hit], owners=False).subquery()
    # One row rather than a thousand: for each, the thread would have to wait for its turn.
    join = func.group_concat if shape.dialect == "sqlite" else func.string_agg
    return select(join(found.c.hit, literal(",")))


@lru_cache(_KEPT)
def datasets(shape: Shape) -> Select[Any]:
    """Return the statement that gives datasets with the columns that `datasets.of_rows` needs."""
    return _matching(shape, list(whole.COLUMNS), owners=True)


def visible(sees: Sees) -> list[ColumnElement[bool]]:
    """Return the condition that a dataset may be seen."""
    public = not_(table.c.private)
    match sees:
        case "all":
            return []
        case "own":
            return [or_(public, table.c.creator == bindparam("creator", type_=Text))]
        case _:
            return [public]


def _matching(shape: Shape, columns: list[Any], *, owners: bool) -> Select[Any]:
    source, conditions, newest = index.matching(shape.dialect, asked=shape.indexed)
    if owners:
        source = source.join(organizations, organizations.c.id == table.c.organization_id)
    texts = [bindparam(f"text_{number}", type_=Text) for number in range(len(shape.keys))]
    conditions += [index.occurs(shape.dialect, table.c.search_text, text) for text in texts]
    for number, count in enumerate(shape.keys):
        keys = [bindparam(f"key_{number}_{each}", type_=Text) for each in range(count)]
        if keys:
            conditions.append(index.has(shape.dialect, keys, texts[number]))
    conditions += visible(shape.sees)
    if shape.part:
        conditions.append(_with_part(shape.part))
    order = [newest]
    if shape.period is not None:
        moment = table.c.timestamp
        conditions.append(moment.is_not(None))
        if "start" in shape.period:
            conditions.append(moment >= bindparam("start", type_=DateTime))
        if "end" in shape.period:
            conditions.append(moment <= bindparam("end", type_=DateTime))
        if "nearest" in shape.period:
            order.insert(0, moment.asc() if "start" in shape.period else moment.desc())
    return (
        select(*columns)
        .select_from(source)
        .where(*conditions)
        .order_by(*order)
        .limit(bindparam("limit", type_=BigInteger))
        .offset(bindparam("offset", type_=BigInteger))
    )


def _with_part(names: tuple[str, ...]) -> ColumnElement[bool]:
    given = [resources.c[name] == bindparam(f"part_{name}", type_=Text) for name in names]
    within = resources.c.dataset_seq == table.c.seq
    return select(resources.c.id).where(within, *given).correlate(table).exists()
