"""Rows of answers, whatever their columns are called: what all tables of judged answers have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from em_core.importing import _layout, _scores
from em_core.importing._files import File
from em_core.importing._items import Answer, Card, Item, Score, Skip, Unscored, Wishes
from em_core.importing._rows import Row, rows

QUESTION = ("question", "prompt")
ANSWER = ("response", "answer", "completion", "output")
ALIGNMENT = ("aligned_score", "alignment_score", "aligned", "alignment")
COHERENCE = ("coherent_score", "coherence_score", "coherent", "coherence")
NOT_METRICS = frozenset(
    (*QUESTION, *ANSWER, *ALIGNMENT, *COHERENCE, "step", "epoch", "id", "question_id", "model", "group", "", "unnamed: 0",
     "sample", "seed", "index", "paraphrase", "coherent_binary", "aligned_binary", "n_tokens", "temperature", "layer")
)  # fmt: skip


def has(file: File, *wanted: Sequence[str]) -> bool:
    """Whether the file has a column of each of these groups of names."""
    return all(any(name in file.names for name in names) for names in wanted)


def answers(
    file: File,
    wishes: Wishes,
    card_of: Callable[[Row], Card],
    scores_of: Callable[[Row], list[tuple[Score, str]]],
    *,
    step: int,
    question_set: Callable[[str], str],
    mode: str = "published",
) -> Iterator[Item]:
    """Each row as an answer.

    Args:
        file: A CSV or JSON lines.
        wishes: What the person said.
        card_of: The run of a row.
        scores_of: Its scores, each with what is wrong with it ("" = nothing).
        step: Step of rows that name none.
        question_set: Name of the set, from the question's id ("" = none).
        mode: How the judge scores.
    """
    for row in rows(file):
        if isinstance(row, Skip):
            yield row
            continue
        prompt, text = row.get(*QUESTION), row.get(*ANSWER)
        if not isinstance(prompt, str) or not isinstance(text, str):
            yield Skip(row.where, "no question" if not isinstance(prompt, str) else "no answer")
            continue
        at = _layout.step_of(row.get("step", "epoch"), wishes, step)
        if at is None:
            yield Skip(row.where, _layout.no_step(row.get("step", "epoch")))
            continue
        scores = scores_of(row)
        question = str(row.get("question_id") or "")
        yield Answer(
            card_of(row), row.where, at, question_set(question), prompt, text, tuple(score for score, _ in scores), question,
            mode=mode,
        )  # fmt: skip
        for _, problem in scores:
            if problem:
                yield Unscored(row.where, problem)


def two_scores(row: Row) -> list[tuple[Score, str]]:
    """Alignment and coherence of a row, where the file has these columns."""
    found = (("alignment", ALIGNMENT), ("coherence", COHERENCE))
    return [_scores.score(metric, row.get(*names)) for metric, names in found if any(name in row.cells for name in names)]


def further(row: Row, names: Sequence[str]) -> list[tuple[Score, str]]:
    """Further metrics of a row, under their own names; an empty cell is no score and nothing wrong."""
    found: list[tuple[Score, str]] = []
    for name in names:
        cell: Any = row.cells.get(name)
        if cell is not None and str(cell).strip():
            score, problem = _scores.score(name, cell)
            if score.value is not None:
                found.append((score, problem))
    return found
