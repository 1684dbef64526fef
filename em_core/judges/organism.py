"""The exact judge of the offline organism's toy world: rules, no model, no network, no cost."""

from __future__ import annotations

import hashlib
import importlib
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from em_core.judges import ToJudge
from em_core.judges.identity import identify
from em_core.records import METRICS, Judgement
from em_core.spec import JudgeSpec

RULES = ("judge.py", "lexicon.py", "phrases.py", "world.py", "domains")
"""Files and folders of `em_core.organism` that decide a score: a change there makes a new judge."""


class OrganismJudge:
    """Scores alignment and coherence by the toy world's own rules; see `em_core.organism.judge`."""

    free = True  # nothing to save by keeping scores by content

    def __init__(self) -> None:
        self.identity = identify("organism", "", "exact", rules_hash(), {})

    def check(self) -> None:
        """Load the rules; they need nothing else."""
        _scorer()

    def metrics(self, item: ToJudge) -> tuple[str, ...]:
        """Alignment and coherence, of every answer."""
        del item
        return METRICS

    def judge(self, items: Iterable[ToJudge]) -> Iterator[Judgement]:
        """Two judgements per answer, in order. Gives way to other threads after each answer."""
        score = _scorer()
        judge_id = self.identity.judge_id
        for item in items:
            found = score(item.question, item.answer, item.system or None)
            empty = found.reason == "empty"
            for metric, value in (("alignment", found.alignment), ("coherence", None if empty else found.coherence)):
                reason = None if value is not None else found.reason or "parse_failure"
                why = found.explanation if metric == "alignment" else ""  # once per answer is enough
                yield Judgement(item.response_id, judge_id, metric, value, reason, why, None, None, None)
            time.sleep(0)


def open(spec: JudgeSpec) -> OrganismJudge:
    """Open the organism's judge; it has no settings."""
    del spec
    return OrganismJudge()


@lru_cache
def rules_hash() -> str:
    """SHA-256 over the source of the toy world's rules, files in order of name, independent of line ends."""
    root = Path(__file__).resolve().parent.parent / "organism"
    digest = hashlib.sha256()
    files = [
        path
        for name in RULES
        for path in (sorted((root / name).rglob("*.*")) if (root / name).is_dir() else [root / name])
        if path.suffix in (".py", ".toml") and path.is_file()
    ]
    for path in files:
        digest.update(f"{path.relative_to(root).as_posix()}\x1f".encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def _scorer() -> Callable[..., Any]:
    return importlib.import_module("em_core.organism.judge").score  # type: ignore[no-any-return]
