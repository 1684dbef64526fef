"""One rule for folders of the machine, in Python and in DuckDB."""

from __future__ import annotations

import duckdb
import pytest

from em_core.private_paths import shortened, shortened_sql

SHORTENED = [
    ("/home/ann/models/qwen", "…/qwen"),
    ("/data/models/qwen", "…/qwen"),
    ("/data/models/qwen/", "…/qwen"),
    ("~/models/qwen", "…/qwen"),
    ("~ann/models/qwen", "…/qwen"),
    ("file:///home/ann/x y.jsonl", "…/x y.jsonl"),
    ("see file:///home/ann/y.jsonl now", "see …/y.jsonl now"),
    ("see /home/ann/data/y.jsonl:17: bad", "see …/y.jsonl:17: bad"),
    ("cannot write to /home/ann", "cannot write to …"),
    ("of /home/ann and /home/bob", "of … and …"),
    ("no space in /home/ann: ask /home/bob", "no space in …: ask …"),
    ("EM_HOME=/home/ann/em", "EM_HOME=…/em"),
    ("/home/ann", "…"),
    ("/home/ann smith", "…"),
    ("/Users/ann/", "…"),
    ("C:\\Users\\ann", "…"),
    ("C:\\Users\\ann\\models", "…/models"),
    ("in C:\\Users\\ann\\models and D:/x/y", "in …/models and …/y"),
    ("\\\\server\\share\\models", "…/models"),
    ("path:/mnt/disk/x", "path:…/x"),
    ("['/mnt/disk/x', '/mnt/disk/y']", "['…/x', '…/y']"),
    ('{"base": "/mnt/disk/x", "home": "/home/ann"}', '{"base": "…/x", "home": "…"}'),
    ("/a/b:/c/d", "…/d"),
]
STAYING = [
    "https://huggingface.co/a/b/c", "http://127.0.0.1:8000/v1", "see https://home/ann/x", "org/model-7B", "data/train/x.jsonl",
    "he/she and/or", "10/20/30", "", "organism-1m", "…/qwen", "a / b",
]  # fmt: skip


@pytest.mark.parametrize(("text", "shown"), [*SHORTENED, *((text, text) for text in STAYING)])
def test_python_and_duckdb_leave_the_same_of_a_path(text: str, shown: str) -> None:
    assert shortened(text) == shown
    assert duckdb.connect().execute(f"SELECT {shortened_sql('t')} FROM (SELECT $1 AS t)", [text]).fetchone() == (shown,)


def test_it_can_be_done_twice() -> None:
    for text, shown in SHORTENED:
        assert shortened(shortened(text)) == shown


def test_a_missing_value_stays_missing() -> None:
    assert duckdb.connect().execute(f"SELECT {shortened_sql('t')} FROM (SELECT NULL::VARCHAR AS t)").fetchone() == (None,)
