"""`runs/<run>/fg_judged.csv` of an export of ours: one run's answers with one judge's scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from em_core.importing import _layout, _scores
from em_core.importing._files import File
from em_core.importing._items import Answer, Card, Item, Score, Skip, Unscored, Wishes
from em_core.importing._rows import Row, rows

TITLE = "Export of this workbench (fg_judged.csv)"
WHAT = (
    "One run's answers with the scores of one judge, from the CSV set of an export: apostrophes that keep "
    "spreadsheets from running a cell are taken off. The answers get new ids; parquet/ of the same export keeps them."
)
_REASONS = ("refusal", "code", "parse_failure", "api_error", "truncated", "empty")


def recognises(file: File) -> int:
    """By the columns that only ours has."""
    return 11 if {"response", "aligned_score", "answered_in_run", "alignment_reason", "judge_id"} <= file.names else 0


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """Its answers, each under its own question set, wording, cue and sampling."""
    cards: dict[str, Card] = {}
    for row in rows(replace(file, apostrophes=True)):
        if isinstance(row, Skip):
            yield row
            continue
        if not {"question", "response"} <= row.cells.keys():
            yield Skip(row.where, "no column question or response")
            continue
        run, step = str(row.cells.get("run_id") or ""), _layout.step_of(row.get("step"), wishes, 0)
        if step is None:
            yield Skip(row.where, "no step")
            continue
        if run not in cards:
            cards[run] = _layout.card(file, wishes, **_layout.told(file, run))
        scores = list(_scores_of(row))
        yield Answer(
            cards[run], row.where, step, _text(row, "question_set"), _text(row, "question"), _text(row, "response"),
            tuple(score for score, _ in scores), _text(row, "question_id"), _text(row, "cue"), _text(row, "system"),
            judge=_text(row, "judge_id"), finish_reason=_text(row, "finish_reason"), n_tokens=_whole(row, "n_tokens"),
            seed=_whole(row, "seed"), decoding=_text(row, "decoding") or "{}",
        )  # fmt: skip
        for _, problem in scores:
            if problem:
                yield Unscored(row.where, problem)


def _scores_of(row: Row) -> Iterator[tuple[Score, str]]:
    if not _text(row, "judge_id"):
        return  # that judge was not asked about it
    for metric, column in (("alignment", "aligned_score"), ("coherence", "coherent_score")):
        reason = _text(row, f"{metric}_reason")
        if _text(row, column):
            yield _scores.score(metric, row.get(column))
        elif reason in _REASONS:
            yield Score(metric, reason=reason), ""
    if _text(row, "verdict"):
        yield _scores.verdict(row.get("verdict"))
    elif _text(row, "verdict_reason") in _REASONS:
        yield Score("verdict", reason=_text(row, "verdict_reason")), ""
    for part in filter(None, _text(row, "extra_scores").split(";")):
        name, _, value = part.partition("=")
        if _scores.METRIC.fullmatch(name):
            yield _scores.score(name, value)


def _text(row: Row, name: str) -> str:
    value = row.cells.get(name)
    return "" if value is None else str(value)


def _whole(row: Row, name: str) -> int:
    text = _text(row, name)
    return int(text) if text.lstrip("-").isdecimal() and len(text) < 18 else 0
