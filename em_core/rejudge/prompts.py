"""The judge prompts that question files carry, found again for answers that were sampled earlier.

An event file holds what was asked, not the file's judge templates. The file is looked for by the
set's name among those that ship, then at the paths in the specs of the runs, and counts only when
its hash is the recorded one: the questions are then the same, word for word.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from em_core import questions
from em_core.errors import EMError
from em_core.questions import QuestionSet
from em_core.spec import QuestionSetUse


class QuestionPrompts:
    """Templates by question.

    Args:
        spec_jsons: Specs of the runs concerned (JSON), whose question sets may name files.
    """

    def __init__(self, spec_jsons: Iterable[str | None] = ()) -> None:
        self._places = sorted({name for text in spec_jsons for name in _names(text)})
        self._found: dict[tuple[str, str], dict[str, dict[str, str]] | None] = {}
        self.lost: dict[str, str] = {}
        """Question sets whose file was not found as it was, each with the reason."""

    def of(self, question_set: str, question_set_hash: str, question_id: str) -> dict[str, str]:
        """``{metric: template}`` of one question; empty when it carries none, or when its file is `lost`."""
        key = (question_set, question_set_hash)
        if key not in self._found:
            self._found[key] = self._load(*key)
        return (self._found[key] or {}).get(question_id, {})

    def _load(self, name: str, digest: str) -> dict[str, dict[str, str]] | None:
        reason = "its question file is not here any more"
        for place in [name, *self._places]:
            try:
                found: QuestionSet = questions.load(QuestionSetUse(name=place))
            except EMError:
                continue
            if found.name == name and found.hash == digest:
                return {entry.id: dict(entry.judge_prompts) for entry in found.entries}
            if found.name == name:
                reason = "its question file has changed since"
        self.lost[name] = reason
        return None


def _names(spec_json: str | None) -> list[str]:
    """The question sets that a spec names."""
    try:
        uses = json.loads(spec_json or "{}")["evaluation"]["question_sets"]
        return [str(use["name"]) for use in uses]
    except (ValueError, TypeError, LookupError):
        return []
