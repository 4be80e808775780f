"""The index that datasets are found by, in the words of each database.

It knows of every dataset which three characters in a row it has, in any field: FTS5 in SQLite,
where triggers keep it, a tsvector in PostgreSQL. A term is found by its own, one of fewer
characters by all that begin with it, and then looked for in the text itself, so that what is
found has it in one piece.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Text,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
    true,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY

from rexec_ep_api.catalog.models import datasets
from rexec_ep_api.catalog.sample import Sample
from rexec_ep_api.catalog.texts import GRAM, plain, trigrams

_MOST: Final = 5
# Shares of all datasets above which looking at one after the other is quicker: from 5 in 100 for
# a few hits to 15 in 100 for a thousand.
_COMMON: Final = 0.05
_COSTLY: Final = 0.0001
# That begin with one or two characters; one of which more do is no better than looking at all.
_MOST_WORDS: Final = 200
_LAST: Final = GRAM * chr(0x10FFFF)
# What FTS5 finds nowhere.
_NOTHING: Final = '""'

_found = table("dataset_search", column("rowid"), column("seq"), column("words"))

_BEGINNING = sql(
    "SELECT term FROM dataset_words WHERE term >= :first AND term <= :last LIMIT :limit"
)
_PUT = sql(
    "INSERT INTO dataset_search (seq, words) VALUES (:seq, array_to_tsvector(:words)) "
    "ON CONFLICT (seq) DO UPDATE SET words = excluded.words"
).bindparams(bindparam("words", type_=ARRAY(Text)))


def put(connection: Connection, seq: int, search_text: str) -> None:
    """Have a dataset found by a text from now on."""
    if connection.dialect.name == "postgresql":
        connection.execute(_PUT, {"seq": seq, "words": trigrams(plain(search_text))})


def match_of(
    connection: Connection, texts: Sequence[str], sample: Sample, wanted: int
) -> str | None:
    """Return what the index is asked for to find the datasets that hold folded texts.

    Parameters
    ----------
    connection
        Of the database that is asked.
    texts
        What must occur in one and the same value each.
    sample
        What other datasets are like.
    wanted
        How many are asked for. If many datasets hold the texts, the newest of all are soon
        found by looking at one after the other; else the index tells which to look at.

    Returns
    -------
    str or None
        None if it is better not to ask it.
    """
    grams = sample.rarest(texts, _MOST)
    common = _COMMON + wanted * _COSTLY
    if not grams:
        # What is shorter than a word says little and costs more.
        grams = [text for text in texts if text and "\0" not in text][:_MOST]
        common = _COMMON
    if not grams or sample.more_than(common, texts):
        return None
    if connection.dialect.name == "sqlite":
        words = [_beginning(connection, gram) for gram in grams]
        if [] in words:
            return _NOTHING
        return " AND ".join(_one_of(some) for some in words if len(some) <= _MOST_WORDS) or None
    return " & ".join(plain(gram) if len(gram) == GRAM else f"{plain(gram)}:*" for gram in grams)


def matching(
    dialect: str, *, asked: bool
) -> tuple[FromClause, list[ColumnElement[bool]], ColumnElement[Any]]:
    """Return where datasets come from, on what condition, and what has the newest first.

    Parameters
    ----------
    dialect
        Of the database.
    asked
        Whether the index is asked; what for is the parameter ``match``.
    """
    if not asked:
        return datasets, [], datasets.c.seq.desc()
    match = bindparam("match", type_=Text)
    if dialect == "sqlite":
        condition = literal_column("dataset_search").bool_op("MATCH")(match)
        source = _found.join(datasets, datasets.c.seq == _found.c.rowid)
        return source, [condition], _found.c.rowid.desc()
    # First of all, and in order: the planner cannot know how many there are, and would look at
    # every dataset among them even if the newest will do.
    found = (
        select(_found.c.seq)
        .where(_found.c.words.bool_op("@@")(cast(match, TSQUERY)))
        .order_by(_found.c.seq.desc())
        .offset(literal_column("0"))
        .subquery("found")
    )
    source = found.join(datasets, datasets.c.seq == found.c.seq)
    return source, [], found.c.seq.desc()


def _beginning(connection: Connection, text: str) -> list[str]:
    """Return the words in the index of SQLite that begin with a text; one too many if too many."""
    if len(text) == GRAM:
        return [text]
    limits = {"first": text, "last": text + _LAST, "limit": _MOST_WORDS + 1}
    return list(connection.execute(_BEGINNING, limits).scalars())


def _one_of(words: Sequence[str]) -> str:
    """Return what FTS5 is asked for to find any of some words."""
    quoted = ('"' + word.replace('"', '""') + '"' for word in words)
    return f"({' OR '.join(quoted)})"


def occurs(dialect: str, value: Any, text: Any) -> ColumnElement[bool]:
    """Return the condition that a text occurs in a value, with no character being special."""
    find = func.instr if dialect == "sqlite" else func.strpos
    condition: ColumnElement[bool] = find(value, text) > literal_column("0")
    return condition


def has(dialect: str, keys: Sequence[Any], text: Any) -> ColumnElement[bool]:
    """Return the condition that a text occurs in a value of one of some fields of a dataset."""
    fields = datasets.c.fields
    one: Select[Any] = select(literal_column("1"))
    if dialect == "sqlite":
        field = func.json_each(fields).table_valued("key", "value", name="field")
        item = func.json_each(field.c.value).table_valued("value", name="item")
        query = one.select_from(field.join(item, true()))
        query = query.where(or_(*(field.c.key == key for key in keys)))
        return query.where(occurs(dialect, item.c.value, text)).correlate(datasets).exists()
    conditions = []
    for key in keys:
        values = fields.op("->")(cast(key, Text))
        found = func.jsonb_array_elements_text(values).column_valued("item")
        held = one.where(occurs(dialect, found, text)).correlate(datasets)
        conditions.append(held.exists())
    return or_(*conditions)
