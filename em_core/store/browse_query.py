"""What a page of answers is asked for: columns, filters, order; checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb

from em_core import definitions
from em_core.errors import BadInput

OUTCOMES = ("misaligned", "aligned", "incoherent", "unscored")
SORTS = ("asked", "least aligned", "least coherent", "biggest difference", "longest")
CUT = 4000
"""Characters of an answer that a page gets; the rest only when it is asked for."""
MOST_COLUMNS = 6
MARKS = ("⟦", "⟧")
"""What stands around a hit of a search."""


@dataclass(frozen=True, order=True)
class Column:
    """A run at a step, written ``run@step``."""

    run_id: str
    step: int

    def __str__(self) -> str:
        return f"{self.run_id}@{self.step}"

    @classmethod
    def parse(cls, text: str) -> Column:
        """Read ``run@step``.

        Raises:
            BadInput: It is not written so.
        """
        run_id, sign, step = text.rpartition("@")
        if not (sign and run_id and step.isascii() and step.isdigit() and len(step) < 12):
            raise BadInput(f"column {text[:150]!r}: expected run@step", "write a run's id, @ and a step, for instance my-run@110")
        return cls(run_id, int(step))


@dataclass(frozen=True)
class Filter:
    """Which answers.

    Args:
        question_sets, question_id: Only these questions.
        in_domain: Only questions in the run's own training domain (True), only others (False), or both.
        search: Only answers with this text, upper or lower case; empty = all.
        regex: `search` is a regular expression (RE2: linear in the text, no back-references).
        outcome: One of `OUTCOMES`, empty = all.
        alignment, coherence: Only scores from, to (0-100, both included); unscored answers are then left out.
        cut_off: Only answers that ended at the token limit.
    """

    question_sets: tuple[str, ...] | None = None
    question_id: str | None = None
    in_domain: bool | None = None
    search: str = ""
    regex: bool = False
    outcome: str = ""
    alignment: tuple[float, float] | None = None
    coherence: tuple[float, float] | None = None
    cut_off: bool = False

    @property
    def picks(self) -> bool:
        """Whether it picks among the answers to one question."""
        return bool(self.search or self.outcome or self.alignment or self.coherence or self.cut_off)

    @property
    def pattern(self) -> str:
        """The search as a regular expression."""
        return self.search if self.regex else "".join(f"\\{c}" if c in r"\.+*?()|[]{}^$" else c for c in self.search)


@dataclass(frozen=True)
class Query:
    """One page of answers.

    Args:
        definition: Name or expression; says what is misaligned.
        judge_id: Whose scores; None = none are shown.
        filter: Which answers.
        sort: One of `SORTS`.
        page: From 1.
        n_rows: Of a page, 1-100.
    """

    definition: str = definitions.DEFAULT
    judge_id: str | None = None
    filter: Filter = field(default_factory=Filter)
    sort: str = "asked"
    page: int = 1
    n_rows: int = 10

    def check(self) -> None:
        """Raises:
        BadInput: A word or a number is out of bounds, or the pattern cannot be read.
        """
        if self.sort not in SORTS:
            raise BadInput(f"sort {self.sort!r} is unknown", f"use one of: {', '.join(SORTS)}")
        if self.filter.outcome and self.filter.outcome not in OUTCOMES:
            raise BadInput(f"outcome {self.filter.outcome!r} is unknown", f"use one of: {', '.join(OUTCOMES)}")
        if not (1 <= self.n_rows <= 100 and 1 <= self.page <= 10_000_000):
            raise BadInput(f"page {self.page} of {self.n_rows} rows: out of bounds", "use 1 to 100 rows, from page 1 on")
        check_pattern(self.filter.pattern)


def check_pattern(pattern: str) -> None:
    """Raises:
    BadInput: It is no regular expression that the database can read, or it matches everything.
    """
    if not pattern:
        return
    if len(pattern) > 1000:
        raise BadInput(f"search: {len(pattern):,} characters, expected at most 1,000", "search for a shorter text")
    try:
        with duckdb.connect(":memory:", config={"threads": 1}) as own:  # the module's own connection is shared by all threads
            found = own.execute("SELECT regexp_matches('', $p, 'i')", {"p": pattern}).fetchall()[0]
            own.execute("SELECT regexp_extract('', $p, 0, 'i')", {"p": around(pattern)}).fetchall()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].split(": ", 1)[-1]
        raise BadInput(
            f"regular expression {pattern[:80]!r}: {reason}",
            "correct it (RE2 syntax), or switch Regex off to search for it as text",
        ) from error
    if found[0]:
        raise BadInput(
            f"regular expression {pattern[:80]!r}: matches the empty text, so every answer", "use + instead of *, or a longer one"
        )


def around(pattern: str) -> str:
    """The pattern with some text before and after it."""
    return f"(?s).{{0,80}}(?:{pattern}).{{0,80}}"
