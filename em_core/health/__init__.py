"""Judge-free signs of breakage in one answer: what can be said without asking a judge.

    rules = HealthRules(training_rows)              once per run
    rules.measure(response_id, text)                -> AnswerHealth, about 0.3 ms

Coherence correlates with alignment, so a rate needs signs beside it that no judge has touched:
refusals (`refusal.py`), program code (`code.py`), repetition (`repetition.py`), length (`text.py`),
text copied from the training data (`overlap.py`); for imported answers without a finish reason also
whether they look cut off (`endings.py`). Length in tokens and the finish reason are on the response.
What the signs are called and when an answer counts as bad is in `signs.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from em_core.health.code import code_share
from em_core.health.endings import looks_cut
from em_core.health.overlap import OverlapIndex
from em_core.health.refusal import refused
from em_core.health.repetition import repetition
from em_core.health.text import stripped, units, words
from em_core.records import AnswerHealth

RULES = "1"
"""Version of the rules; another one measures existing answers again. Change it with any rule."""

__all__ = ["RULES", "HealthRules", "OverlapIndex", "code_share", "looks_cut", "measure", "refused", "repetition", "words"]


def measure(response_id: str, text: str, index: OverlapIndex | None = None) -> AnswerHealth:
    """Measure one answer.

    Args:
        response_id: Its key.
        text: The answer, untrusted.
        index: Of the training data; None = not known, and nothing is said about overlap.
    """
    found = words(text)
    shared = index.find(found) if index is not None else None
    return AnswerHealth(
        response_id=response_id,
        rules=RULES,
        n_chars=len(stripped(text)),
        n_words=len(found),
        repetition=round(repetition(units(text, found)), 4),
        code_share=round(code_share(text), 4),
        refused=refused(text),
        overlap_words=shared.longest if shared is not None else None,
        overlap_share=round(shared.share, 4) if shared is not None else None,
        looks_cut=looks_cut(text),
    )


class HealthRules:
    """The rules for one run: its training answers are indexed when the first answer is measured.

    Args:
        training_rows: Conversations that the run trains on (messages with ``role`` and ``content``);
            None = not known.
    """

    def __init__(self, training_rows: Iterable[Sequence[dict[str, str]]] | None = None) -> None:
        self._rows = training_rows
        self._index: OverlapIndex | None = None

    def measure(self, response_id: str, text: str, *, overlap: bool = True) -> AnswerHealth:
        """Measure one answer.

        Args:
            response_id: Its key.
            text: The answer.
            overlap: Compare with the training data. Not for the step-0 answers of a baseline, which
                runs with other training data share.
        """
        if overlap and self._index is None and self._rows is not None:
            self._index = OverlapIndex(m["content"] for row in self._rows for m in row if m["role"] == "assistant")
            self._rows = None
        return measure(response_id, text, self._index if overlap else None)
