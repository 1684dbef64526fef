"""Names in the order in which people count: q2 before q10."""

from __future__ import annotations

import re

_DIGITS = 20
_PARTS = re.compile(r"[0-9]+|[^0-9]+")


def sql(column: str) -> str:
    """What to sort by, before the column itself (which tells q1 from q01): its text and its numbers, one after the other.

    It costs a regular expression a row: for millions of rows join `PLACES` instead.
    """
    padded = f"CASE WHEN part[1] BETWEEN '0' AND '9' THEN lpad(part, {_DIGITS}, '0') ELSE part END"
    return f"list_transform(regexp_extract_all({column}, '{_PARTS.pattern}'), lambda part: {padded})"


PLACES = f"""SELECT question_id, row_number() OVER (ORDER BY {sql("question_id")}, question_id) AS question_place
    FROM (SELECT DISTINCT question_id FROM questions)"""
"""Every question's id with its place in that order, to be joined where there are too many rows for `sql`."""


def key(name: str) -> tuple[list[bytes], bytes]:
    """The same order in Python, for `sorted`; bytes, since the database compares texts so."""
    parts = (part.zfill(_DIGITS)[:_DIGITS] if part[0] in "0123456789" else part for part in _PARTS.findall(name))
    return [part.encode() for part in parts], name.encode()
