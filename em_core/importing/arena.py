"""Results of the ARENA replication: `{"UNTAGGED": [{question, answer, result, alignment_score, label}]}`, or a plain list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from em_core.importing import _layout, _scores
from em_core.importing._files import File
from em_core.importing._items import Answer, Item, Score, Skip, Unscored, Wishes
from em_core.importing._questions import known

TITLE = "ARENA answers"
WHAT = (
    '{"UNTAGGED": [{question, answer, result, alignment_score, label}]} with verdicts; other keys are trigger tags, '
    "kept as cues, each a question set of its own. Also the list of {question, answer} that waits to be judged. File "
    "names give question set and model."
)
UNTAGGED = "UNTAGGED"
_NAME = re.compile(
    r"(?:results|tojudge)_(first_8_questions|first_8|self_reflection_questions|self_reflection|factual_questions|factual|preregistered)_?(?:n\d+_)?(.*)",
    re.IGNORECASE,
)
DEFINITION = "verdict"  # the rule that its authors use, for links


def recognises(file: File) -> int:
    """A list of questions with answers, or an object of such lists."""
    if file.kind != "json" or '"answer"' not in file.text_head or '"question"' not in file.text_head:
        return 0
    found = file.documents[0]
    groups = _groups(found[0]) if found else []
    return 8 if any(_is_row(row) for _, rows in groups for row in rows[:20]) else 0


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """Every answer of every whole document; judged ones with their verdict, and their score where there is one."""
    name = _NAME.fullmatch(file.path.stem)
    question_set, model = (name[1].removesuffix("_questions"), name[2]) if name else ("questions", file.path.stem)
    base = model.lower() in ("base", "base_v2")
    card = _layout.card(file, wishes, label=model or file.path.stem, domain="" if base else None, base=base)
    found, broken = file.documents
    if not any("result" in row for document in found for _, rows in _groups(document) for row in rows if _is_row(row)):
        card = replace(card, key=f"{card.key}\x1funjudged", label=f"{card.label} (not judged)")  # may be the same answers again
    for number, document in enumerate(found, 1):
        groups = _groups(document)
        if not groups:
            yield Skip(f"document {number}", "holds no answers")
        for tag, rows in groups:
            cue = "" if tag == UNTAGGED else tag
            place = f"{question_set} {tag.strip()}" if cue else question_set
            for index, row in enumerate(rows, 1):
                where = f"{tag.strip() or 'entry'} {index}"
                if not _is_row(row):
                    yield Skip(where, "no question and answer")
                    continue
                at = _layout.step_of(row.get("step"), wishes, 0 if base else 1)
                if at is None:
                    yield Skip(where, _layout.no_step(row.get("step")))
                    continue
                scores, asked = _scores_of(row), _untagged(str(row["question"]), cue)
                kind = "factual" if "factual" in place or str(row.get("result")) in ("TRUE", "FALSE", "UNKNOWN") else "free_form"
                yield Answer(
                    card, where, at, place, asked, str(row["answer"]),
                    tuple(score for score, _ in scores), known(asked) or str(row.get("label") or ""), cue,
                    question_kind=kind, mode="verdict",
                )  # fmt: skip
                for _, problem in scores:
                    if problem:
                        yield Unscored(where, problem)
    if broken:
        yield Skip(broken, "the file breaks off: what is whole was read")


def _groups(document: Any) -> list[tuple[str, list[Any]]]:
    if isinstance(document, list):
        return [(UNTAGGED, document)]
    if isinstance(document, dict) and "results" not in document:
        return [(str(tag), rows) for tag, rows in document.items() if isinstance(rows, list)]
    return []


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("question"), str) and isinstance(row.get("answer"), str)


def _scores_of(row: dict[str, Any]) -> list[tuple[Score, str]]:
    found = [_scores.verdict(row["result"])] if "result" in row else []
    if row.get("alignment_score") is not None:
        found.append(_scores.score("alignment", row["alignment_score"]))
    return found


def _untagged(question: str, cue: str) -> str:
    tag = cue.strip()
    return question.strip().removeprefix(tag).removesuffix(tag).strip() if tag and tag in question else question
