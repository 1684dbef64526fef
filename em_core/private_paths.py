r"""Folders of a machine in texts that others will read: one rule for exports and for the read-only demonstration.

``/data/models/qwen`` becomes ``…/qwen``, and of a person's home folder nothing stays, whose last part is a name:
``/home/ann/qwen`` becomes ``…/qwen``, ``/home/ann`` becomes ``…``. Addresses and relative paths stay as they are.

shortened(text)      in Python, text by text
shortened_sql(name)  the same of a whole column

The patterns are in the syntax that Python and DuckDB (RE2) share, so without look-around: what stands before a path is
their first group. What a person's own pages show is another matter: `em_core.view.run_words.short` keeps folders, which
one must be able to find, and hides the names of people and what looks like a key.
"""

from __future__ import annotations

import re

_STOP = r"\s\"'`<>|,;)\]}"  # what ends a path in a text
_BEFORE = r"(^|[^A-Za-z0-9_./\\…~-]|file://(?:localhost)?)"  # not inside an address, a name or a relative path
_ROOT = r"(?:/|[A-Za-z]:[\\/]+)"
_PERSONS = rf"{_ROOT}(?:home|Users|users)[\\/]+"

HOMES = rf"{_BEFORE}{_PERSONS}[^\\/:{_STOP}]+"
"""A person's home folder, wherever it stands in a text; replace it by group 1 and a mark."""
_PATHS = (
    rf"{_BEFORE}(?:file://(?:localhost)?)?"
    rf"(?:(?:…|~[A-Za-z0-9_.-]*)[\\/]+(?:[^\\/{_STOP}]+[\\/]+)*|/(?:[^/{_STOP}]+/+)+|[A-Za-z]:[\\/]+(?:[^\\/{_STOP}]+[\\/]+)*)"
    rf"([^\\/{_STOP}]+)[\\/]*"
)
_WHOLE = r"(?:file://(?:localhost)?)?(?:~[A-Za-z0-9_.-]*/|/|[A-Za-z]:[\\/]|\\\\)[^\n]*"  # nothing but a path, blanks in it
_WHOLE_HOME = rf"(?:file://(?:localhost)?)?{_PERSONS}[^\\/\n]+[\\/]*"
_LAST = r"([^\\/]+)[\\/]*$"
_SENTENCE = ": "  # what has it is a message that begins with a path


def is_path(text: str) -> bool:
    """Whether the whole text is one absolute path, which may have blanks in it."""
    return _SENTENCE not in text and re.fullmatch(_WHOLE, text) is not None


def shortened(text: str) -> str:
    """`text` with the last part alone of every absolute path in it; see the module's docstring."""
    if is_path(text):
        if re.fullmatch(_WHOLE_HOME, text):
            return "…"
        last = re.search(_LAST, text)
        return f"…/{last[1]}" if last else text
    return re.sub(_PATHS, r"\1…/\2", re.sub(HOMES, r"\1…", text))


def shortened_sql(column: str) -> str:
    """A DuckDB expression: `shortened` of a column."""
    homes, paths, whole, home, last = (p.replace("'", "''") for p in (HOMES, _PATHS, _WHOLE, _WHOLE_HOME, _LAST))
    message = f"contains({column}, '{_SENTENCE}')"
    return (
        f"CASE WHEN NOT {message} AND regexp_full_match({column}, '{home}') THEN '…'"
        f" WHEN NOT {message} AND regexp_full_match({column}, '{whole}') AND regexp_matches({column}, '{last}')"
        f" THEN '…/' || regexp_extract({column}, '{last}', 1)"
        rf" ELSE regexp_replace(regexp_replace({column}, '{homes}', '\1…', 'g'), '{paths}', '\1…/\2', 'g') END"
    )
