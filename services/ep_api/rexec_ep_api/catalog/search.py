"""Finding datasets and resources in a transaction."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Select,
    func,
    or_,
    select,
)

from rexec_ep_api.catalog import datasets as whole
from rexec_ep_api.catalog import index, parts, statements
from rexec_ep_api.catalog.models import datasets as datasets_table
from rexec_ep_api.catalog.models import organizations as organizations_table
from rexec_ep_api.catalog.models import resources as resources_table
from rexec_ep_api.catalog.records import (
    SERVICES,
    Count,
    Dataset,
    FoundResource,
    Period,
    Query,
    ResourceFilter,
    ResourceQuery,
    Term,
    Viewer,
)
from rexec_ep_api.catalog.sample import Sample
from rexec_ep_api.catalog.statements import Limit, Sees, Shape, visible
from rexec_ep_api.catalog.texts import dump, fold, hit, keys_of, possible

# They are counted, so all are looked at whatever the limit is.
_ALL: Final = 1_000_000


def hits(connection: Connection, query: Query, sample: Sample) -> bytes:
    """Find datasets; see `Catalog.search_json`."""
    if query.resources:
        found = [
            hit_of_parts(dataset, query.resources)
            for dataset in datasets(connection, query, sample)
        ]
        return dump(found).encode()
    asked = _asked(connection, query, sample)
    if asked is None:
        return b"[]"
    shape, values = asked
    prepared = connection.execute(statements.hits(shape), values).scalar_one()
    return f"[{prepared or ''}]".encode()


def datasets(connection: Connection, query: Query, sample: Sample) -> list[Dataset]:
    """Find datasets; see `Catalog.search`."""
    asked = _asked(connection, query, sample)
    if asked is None:
        return []
    shape, values = asked
    rows = connection.execute(statements.datasets(shape), values).mappings().all()
    return whole.of_rows(connection, rows)


def resources(
    connection: Connection, query: ResourceQuery, sample: Sample
) -> tuple[int, list[FoundResource]]:
    """Find resources; see `Catalog.search_resources`."""
    table = resources_table.c
    wanted = {
        table.folded_name: query.name,
        table.folded_url: query.url,
        table.folded_description: query.description,
    }
    texts = [fold(text) for text in (query.q, *wanted.values()) if text]
    if not all(possible(text) for text in (*texts, query.format or "")):
        return 0, []
    # What occurs in a resource occurs in its dataset, which the index finds.
    dialect = connection.dialect.name
    match = index.match_of(connection, texts, sample, _ALL)
    source, conditions, _ = index.matching(dialect, asked=match is not None)
    values = {"match": match, "creator": query.viewer.user_id}
    conditions += visible(_sees(query.viewer))
    conditions += [index.occurs(dialect, datasets_table.c.search_text, text) for text in texts]
    for column, text in wanted.items():
        if text:
            conditions.append(index.occurs(dialect, column, fold(text)))
    if query.q:
        occurring = [index.occurs(dialect, column, fold(query.q)) for column in wanted]
        conditions.append(or_(*occurring))
    if query.format is not None:
        conditions.append(table.folded_format == fold(query.format))
    joined = source.join(resources_table, table.dataset_seq == datasets_table.c.seq)
    count: int = connection.execute(
        select(func.count()).select_from(joined).where(*conditions), values
    ).scalar_one()
    owner = datasets_table.c
    statement = (
        select(
            *parts.COLUMNS,
            owner.id.label("dataset_id"),
            owner.name.label("dataset_name"),
            owner.title.label("dataset_title"),
        )
        .select_from(joined)
        .where(*conditions)
        .order_by(table.modified.desc(), table.id)
        .limit(query.limit)
        .offset(query.offset)
    )
    return count, [
        FoundResource(parts.of(row, row["dataset_id"]), row["dataset_name"], row["dataset_title"])
        for row in connection.execute(statement, values).mappings()
    ]


def count(connection: Connection) -> Count:
    """Count everything; see `Catalog.count`."""

    def rows(statement: Select[Any]) -> int:
        number: int = connection.execute(statement).scalar_one()
        return number

    services = rows(
        select(func.count())
        .select_from(datasets_table.join(organizations_table))
        .where(organizations_table.c.name == SERVICES)
    )
    return Count(
        organizations=rows(select(func.count()).select_from(organizations_table)),
        datasets=rows(select(func.count()).select_from(datasets_table)) - services,
        services=services,
        resources=rows(select(func.count()).select_from(resources_table)),
    )


def _asked(
    connection: Connection, query: Query, sample: Sample
) -> tuple[Shape, dict[str, Any]] | None:
    """Return what a search looks like, and its values; None if nothing can be what it asks for."""
    terms = [Term(fold(term.text), term.key) for term in query.terms if term.text]
    texts = [term.text for term in terms]
    part = _part(query.resources)
    named = (term.key or "" for term in terms)
    if not all(possible(text) for text in (*texts, *named, *part.values())):
        return None
    keys = [() if term.key is None else keys_of(term.key) for term in terms]
    match = index.match_of(connection, texts, sample, query.limit + query.offset)
    period = _limits(query.period)
    values: dict[str, Any] = {
        **{f"text_{number}": text for number, text in enumerate(texts)},
        **{
            f"key_{number}_{each}": key
            for number, some in enumerate(keys)
            for each, key in enumerate(some)
        },
        **{f"part_{name}": text for name, text in part.items()},
        **{str(name): moment for name, moment in (period or {}).items()},
        "match": match,
        "creator": query.viewer.user_id,
        "limit": query.limit,
        "offset": query.offset,
    }
    nearest = query.period is not None and query.period.nearest
    if nearest:
        values["limit"] = min(query.limit, 1)
    shape = Shape(
        dialect=connection.dialect.name,
        indexed=match is not None,
        keys=tuple(map(len, keys)),
        sees=_sees(query.viewer),
        part=tuple(part),
        period=None if period is None else (*period, *(("nearest",) if nearest else ())),
    )
    return shape, values


def _sees(viewer: Viewer) -> Sees:
    if viewer.sees_all:
        return "all"
    return "own" if viewer.user_id else "public"


def _part(wanted: ResourceFilter) -> dict[str, str]:
    """Return what one resource must have, by column."""
    columns = {
        "url": wanted.url,
        "name": wanted.name,
        "description": wanted.description,
        "folded_format": None if wanted.format is None else fold(wanted.format),
    }
    return {name: text for name, text in columns.items() if text is not None}


def _limits(period: Period | None) -> dict[Limit, datetime] | None:
    if period is None:
        return None
    limits: dict[Limit, datetime | None] = {"start": period.start, "end": period.end}
    return {name: moment for name, moment in limits.items() if moment is not None}


def hit_of_parts(dataset: Dataset, wanted: ResourceFilter) -> dict[str, Any]:
    """Return a dataset as searches show it, with no other resources than those wanted."""
    matching = tuple(
        resource
        for resource in dataset.resources
        if all(
            text is None or getattr(resource, name) == text
            for name, text in (
                ("url", wanted.url),
                ("name", wanted.name),
                ("description", wanted.description),
            )
        )
        and (wanted.format is None or fold(resource.format or "") == fold(wanted.format))
    )
    return hit(replace(dataset, resources=matching))
