"""Which results are looked at: one frozen value that pages, figures, exports and links share."""

from __future__ import annotations

from dataclasses import dataclass, replace

from em_core import definitions
from em_core.definitions import Definition
from em_core.stats import IntervalKind


@dataclass(frozen=True)
class Selection:
    """What a page, a figure or an export shows; every field is data, so it is a cache key and a link.

    Args:
        definition: A definition's name, or a rule of one's own as its expression.
        interval: ``questions`` or ``population`` (`em_core.stats`).
        judge_id: Whose scores; None = whatever there is (a caller that draws lines must then refuse a mixture).
        run_ids: The runs, newest first; None = all.
        question_sets: None = all.
        in_domain: Only questions in the run's own training domain (True), only others (False), or both (None).
        pooled: Question sets together, the training domain's questions and the others apart (so in_domain is of no use).
        at: Which checkpoint of each run a figure of one checkpoint shows: ``final``, ``peak`` or a step's number
            (`em_core.store.comparing.cells`); other figures take no notice.
        judges: For figures of several judges: at least two ids, the first is the reference; empty = all.
    """

    definition: str = definitions.DEFAULT
    interval: IntervalKind = "questions"
    judge_id: str | None = None
    run_ids: tuple[str, ...] | None = None
    question_sets: tuple[str, ...] | None = None
    in_domain: bool | None = None
    pooled: bool = False
    judges: tuple[str, ...] = ()
    at: str = "final"

    @property
    def rule(self) -> Definition:
        """The definition itself.

        Raises:
            BadInput: There is none of that name, and it is no expression.
        """
        return definitions.get(self.definition)

    def but(self, **changes: object) -> Selection:
        """The same selection with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]
