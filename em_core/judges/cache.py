"""Scores by content, shared by all runs: what a judge said of the same text is not paid for twice.

    with JudgementCache(home.judge_cache) as cache:
        JudgingPipeline(judges, write, already, cache)

A cache and nothing more: the event files are the truth, and deleting the file loses nothing but
money. Several processes may use it at once. When it is damaged, locked or read-only, judging goes
on without it (`trouble` says why, once on the log). It holds texts' digests and judge replies,
never a key. A call that failed (`api_error`) is never kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import threading
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from em_core.judges import ToJudge
from em_core.judges.rubrics import question_templates
from em_core.records import Judgement

VERSION = 1
"""Version of what a key is made of; another one is another cache."""
BUSY_S = 2.0
"""Longest wait for another process's write."""

_IDENTITY = ("response_id", "judge_id", "metric", "cached")
_CONTENT = tuple(f.name for f in fields(Judgement) if f.name not in _IDENTITY)
_log = logging.getLogger(__name__)


def key(judge_id: str, metric: str, item: ToJudge) -> bytes:
    """Digest of everything that decides what this judge says of this metric (32 bytes).

    The judge's id covers model, mode, rubric and decoding; the rest is the content. `repeat` tells
    wanted repetitions apart, which matters when the judge samples its reply.
    """
    own = question_templates(item.judge_prompts).get(metric)
    prompts: Any = own if own is not None else sorted(item.judge_prompts.items())
    parts = [VERSION, judge_id, metric, item.question, item.answer, item.system, prompts, item.domain, item.repeat]
    return hashlib.sha256(json.dumps(parts).encode()).digest()


class JudgementCache:
    """The cache file; safe for several threads and processes. A context manager.

    Args:
        path: SQLite file; made, with its folder, when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS judged (key BLOB PRIMARY KEY, t REAL, body TEXT) WITHOUT ROWID")
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def get(self, judge_id: str, metric: str, item: ToJudge) -> Judgement | None:
        """What this judge said of the same content before, as a judgement of this answer with ``cached=True``."""
        with self._lock:
            if self._db is None:
                return None
            try:
                row = self._db.execute("SELECT body FROM judged WHERE key = ?", (key(judge_id, metric, item),)).fetchone()
            except sqlite3.Error as error:
                self._give_up(error)
                return None
        if row is None:
            return None
        try:
            body = dict.fromkeys(_CONTENT) | {name: value for name, value in json.loads(row[0]).items() if name in _CONTENT}
            return Judgement(item.response_id, judge_id, metric, cached=True, **body)
        except (ValueError, TypeError, AttributeError):
            return None  # a damaged row is as good as none

    def put(self, judgement: Judgement, item: ToJudge) -> None:
        """Keep what was said of that item's content."""
        self.put_as(key(judgement.judge_id, judgement.metric, item), judgement)

    def put_as(self, content: bytes, judgement: Judgement) -> None:
        """Keep what was said of the content with that `key`, for callers who have the text no more."""
        if judgement.unscored_reason == "api_error":
            return
        body = {name: getattr(judgement, name) for name in _CONTENT}
        row = (content, time.time(), json.dumps(body))
        with self._lock:
            if self._db is None:
                return
            try:
                self._db.execute("INSERT OR REPLACE INTO judged VALUES (?, ?, ?)", row)
            except sqlite3.Error as error:
                self._give_up(error)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def __enter__(self) -> JudgementCache:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _give_up(self, error: Exception) -> None:
        self.trouble = f"{self.path}: judge cache not usable ({error}); judging goes on without it"
        _log.warning("%s", self.trouble)
        if self._db is not None:
            self._db.close()
            self._db = None


def shared(judgement: Judgement, item: ToJudge) -> Judgement:
    """The same judgement for another answer with the same content."""
    return replace(judgement, response_id=item.response_id, cached=True)
