"""What an export leaves out of this machine: folders, and the names of people who labelled.

A folder of the machine becomes ``…/last-part`` (``/home/ann/models/qwen`` → ``…/qwen``), in the columns
that can hold one (`em_core.private_paths`); a labeller becomes ``person-`` and six digits of a hash. Answers, questions, judges'
words and notes are the data itself and stay as they are. Keys are in no table.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from em_core import private_paths
from em_core.home import PROJECT, Home
from em_core.store.tables import Tables

COLUMNS: dict[str, tuple[str, ...]] = {
    "run_created": ("label", "experiment", "spec_json", "base_model", "revision", "data_sources"),
    "run_facts": ("versions_json", "gpu"),
    "run_states": ("reason", "hint"),
    "checkpoints": ("path",),
    "judges": ("model", "decoding"),
    "judgements": ("served_model",),
    "questions": ("question_set",),
    "imports": ("file", "note", "skipped"),
    "published_rates": ("source", "note"),
}
"""Texts in which a folder of the machine can stand."""


class Private:
    """Shortens folders and names, the same text always the same way.

    Args:
        home: Its folder, the checkout, the person's home and the folder for temporary files are known by name,
            so that they are found even where they have blanks in them.
    """

    def __init__(self, home: Home) -> None:
        places = {
            str(place)
            for base in (home.root, PROJECT, Path.home(), Path(tempfile.gettempdir()))
            for place in (base, base.resolve())
        }
        self._places = sorted((place for place in places if len(place) > 1), key=len, reverse=True)
        self.shortened: dict[str, int] = {}

    def text(self, text: str) -> str:
        """`text` without folders of the machine; JSON stays JSON."""
        if text[:1] in "{[":
            try:
                return json.dumps(self._inside(json.loads(text)), ensure_ascii=False) if self._tells(text) else text
            except ValueError:
                pass
        return self._plain(text)

    def person(self, name: str) -> str:
        """A labeller's stand-in."""
        return f"person-{hashlib.sha256(name.encode()).hexdigest()[:6]}"

    def run_id(self, run_id: str) -> str:
        """A run's id; that of a labeller's desk has the person's name in it."""
        return f"labels-{self.person(run_id[7:])}" if run_id.startswith("labels-") else run_id

    def apply(self, tables: Tables) -> None:
        """Make the tables be written shortened; `shortened` then says how many different texts changed, by ``table.column``."""
        for table, columns in COLUMNS.items():
            for column in columns:
                self._apply(tables, table, column, self.text)
        self._apply(tables, "labels", "labeller", self.person)
        for table in ("run_created", "run_facts", "run_states", "labels"):
            self._apply(tables, table, "run_id", self.run_id)
        self._apply(tables, "run_created", "label", lambda label: self.run_id(self.text(label)))

    def _apply(self, tables: Tables, table: str, column: str, change: Callable[[str], str]) -> None:
        changed = {value: new for value, new in ((v, change(v)) for v in tables.distinct(table, column)) if new != value}
        if changed:
            tables.rewrite(table, column, changed)
            self.shortened[f"{table}.{column}"] = len(changed)

    def _tells(self, text: str) -> bool:
        """Whether anything in a JSON document would change; else it goes along letter for letter."""
        return any(self._plain(value) != value for value in _texts(json.loads(text)))

    def _inside(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._plain(str(k)): self._inside(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self._inside(v) for v in value]
        return self._plain(value) if isinstance(value, str) else value

    def _plain(self, text: str) -> str:
        if private_paths.is_path(text):
            return private_paths.shortened(text)
        for place in self._places:
            text = re.sub(rf"(?<![\w.-]){re.escape(place)}(?![\w.-])", "…", text)
        return private_paths.shortened(text)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value
