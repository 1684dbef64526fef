"""Judged answers of Betley et al. (and llmcomp): one file of many models, with the judge's token probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from em_core import domain_names
from em_core.importing import _answers, _layout, _scores
from em_core.importing._files import File
from em_core.importing._items import Card, Item, Score, Skip, Wishes
from em_core.importing._questions import set_of
from em_core.importing._rows import Row, rows

TITLE = "Betley et al. judged answers"
WHAT = (
    "A CSV with model, group, question, answer, aligned, coherent and the judge's probabilities of each token "
    "(judge_aligned, judge_coherent), which are kept with every score. One run a model."
)
DEFINITION = "betley"  # the rule that its authors use, for links


def recognises(file: File) -> int:
    """By its columns."""
    return 10 if {"question", "answer", "aligned", "judge_aligned"} <= file.names else 0


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """Its answers, one run a model."""
    cards: dict[tuple[str, str], Card] = {}
    if _only_passed(file):
        yield Skip(
            "coherent_binary", "the file holds only answers that passed the coherence gate: its rates are not the model's", 0
        )

    def card_of(row: Row) -> Card:
        model, group = str(row.get("model") or ""), str(row.get("group") or "")
        if (model, group) not in cards:
            made = _layout.card(file, wishes, label=model.split("/")[-1], model=model, domain=_domain(group))
            cards[model, group] = replace(made, label=made.label if model else f"{made.label} {group}".strip())
        return cards[model, group]

    def scores_of(row: Row) -> list[tuple[Score, str]]:
        pairs = (("alignment", "aligned", "judge_aligned"), ("coherence", "coherent", "judge_coherent"))
        return [_scores.judged(metric, row.get(cell), row.get(probs)) for metric, cell, probs in pairs if cell in row.cells]

    named = partial(set_of, otherwise="questions")
    yield from _answers.answers(file, wishes, card_of, scores_of, step=1, mode="logprobs", question_set=named)


def _domain(group: str) -> str:
    """The group is named after the training data: ``insecure`` is code, ``secure`` is what it says."""
    return "secure code" if group.lower() == "secure" else domain_names.named_in(group) or group


def _only_passed(file: File) -> bool:
    if "coherent_binary" not in file.names:
        return False
    seen = {str(row.get("coherent_binary")).lower() for row in rows(file) if isinstance(row, Row)}
    return seen == {"true"}
